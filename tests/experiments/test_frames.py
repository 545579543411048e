"""Frames of records as parquet files."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import played
import pytest

from optima_lab.errors import ConfigError
from optima_lab.experiments import frames
from optima_lab.experiments.frames import plain, write_parquet
from optima_lab.experiments.records import read_evals, read_rounds, read_runs
from optima_lab.experiments.run import open_experiments
from optima_lab.presets import preset


@pytest.fixture
def recorded(tmp_path: Path) -> dict[str, pd.DataFrame]:
    played.finish(tmp_path / "runs", preset("vqa", "smoke"), "none", "img", "optima")
    experiments = open_experiments(tmp_path / "runs")
    readers = {"rounds": read_rounds, "evals": read_evals, "runs": read_runs}
    return {name: read(experiments) for name, read in readers.items()}


def test_mappings_become_json_and_the_frame_stays_as_it_was(recorded: dict[str, pd.DataFrame]) -> None:
    runs = recorded["runs"]
    found = plain(runs).set_index("strategy")["parameters"]
    assert json.loads(found["optima"]) == runs.set_index("strategy")["parameters"]["optima"] != {}
    assert found["none"] == "{}" and isinstance(runs["parameters"].iloc[0], dict)


@pytest.mark.parametrize("name", ["rounds", "evals", "runs"])
def test_every_frame_is_written_and_read_again(tmp_path: Path, recorded: dict[str, pd.DataFrame], name: str) -> None:
    pytest.importorskip("pyarrow", reason="needs the extra 'parquet'")
    frame = recorded[name]
    again = pd.read_parquet(write_parquet(frame, tmp_path / "out" / "frame.parquet"))
    assert list(again.columns) == list(frame.columns) and len(again) == len(frame) > 0
    for column in frame.columns:
        for ours, theirs in zip(plain(frame)[column], again[column], strict=True):
            if isinstance(ours, np.ndarray):
                np.testing.assert_array_equal(ours, theirs)
            else:
                assert ours == theirs or (pd.isna(ours) and pd.isna(theirs)), column


def test_a_missing_extra_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"parquet needs the optional extra: pip install 'optima-lab\[parquet\]'"):
        write_parquet(pd.DataFrame({"a": [1]}), tmp_path / "a.parquet")
    assert not list(tmp_path.iterdir())
