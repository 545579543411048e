"""A run that is read as it grows is, at every look, the run that is read from its start."""

import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import played
import pytest

from optima_lab.errors import RecordError
from optima_lab.experiments import records
from optima_lab.experiments.experiment import RecordFolder
from optima_lab.widgets.recording import RunReader, RunTrace, read_track

NAMES = ("OPTIMA", "OPTIMA calibrated", "Random", "D-UCB", "Img", "None")
ROUNDS = 30


def same(grown: RunTrace, whole: RunTrace) -> None:
    """Nothing differs, to the last digit."""
    assert list(grown.arrays) == list(whole.arrays)
    for name, array in whole.arrays.items():
        assert grown.arrays[name].dtype == array.dtype, name
        np.testing.assert_array_equal(grown.arrays[name], array, err_msg=name)
    for each in fields(RunTrace):
        if each.name != "arrays":
            assert getattr(grown, each.name) == getattr(whole, each.name), each.name


def followed(folder: Path) -> Callable[[], RunTrace]:
    """A look at a run: as it grew, compared with all of it."""
    reader, source = RunReader(folder), RecordFolder(folder.parent, (folder.name,), 0)

    def look() -> RunTrace:
        grown = reader.read(source)
        same(grown, read_track(source, folder))
        return grown

    return look


def add(folder: Path, name: str, *rows: played.Row) -> None:
    with (folder / f"{name}.jsonl").open("a") as file:
        file.write("".join(json.dumps(row) + "\n" for row in rows))


def begun(runs: Path, name: str, rounds: int = ROUNDS) -> tuple[Path, list[played.Row]]:
    """A run without its rounds and scores, and the rounds that will come."""
    folder = played.write(runs, name, rounds=rounds, done=False) / name.lower().replace(" ", "_")
    rows = played.lines(folder)
    for line in records.LINES:
        (folder / f"{line}.jsonl").write_text("")
    return folder, rows


@pytest.mark.parametrize("name", NAMES)
def test_every_new_round_and_score(tmp_path: Path, name: str) -> None:
    folder, rows = begun(tmp_path, name)
    look = followed(folder)
    with pytest.raises(RecordError, match="no round is recorded yet"):
        look()
    for number, row in enumerate(rows, 1):
        add(folder, "rounds", row)
        if number % 7 == 0:
            score = {"step": 6 * number, "round": number, "split": "dev", "metric": "score", "value": 30.0 + number}
            add(folder, "evals", score, {**score, "split": "test"})
        track = look()
        assert track.rounds == number and len(track.score) == number // 7
    look()
    records.write_json(folder / "done.json", {})
    assert look().notes == ()


@pytest.mark.parametrize("name", NAMES)
def test_files_that_shrink_grow_again_and_are_begun_anew(tmp_path: Path, name: str) -> None:
    folder, rows = begun(tmp_path, name)
    _, others = begun(tmp_path / "other", name)
    for row in others:
        row["reward"] += 0.25  # another run's
    look = followed(folder)
    add(folder, "rounds", *rows[:20])
    assert look().rounds == 20
    with records.Writer(folder, records.read_json(folder / "run.json"), done=rows[11]["step"]):
        assert look().rounds == 12, "resumed: its last rounds are gone"
    add(folder, "rounds", *others[12:25])
    assert look().rounds == 25 and look().arrays["reward"][24] == others[24]["reward"]
    (folder / "rounds.jsonl").write_text("")
    add(folder, "rounds", *rows[:28])
    assert look().arrays["reward"][24] == rows[24]["reward"], "begun anew, and longer than before at the next look"
    add(folder, "rounds", rows[28])
    assert look().rounds == 29


def test_other_parameters_rebuild_what_was_believed(tmp_path: Path) -> None:
    folder, rows = begun(tmp_path, "OPTIMA")
    look = followed(folder)
    add(folder, "rounds", *rows[:20])
    assert "deviation" in look().arrays
    about = records.read_json(folder / "run.json")
    records.write_json(folder / "run.json", {**about, "parameters": {**about["parameters"], "decay": 0.5}})
    assert "deviation" not in look().arrays, "such a sampler would have had other means"
    records.write_json(folder / "run.json", about)
    add(folder, "rounds", rows[20])
    assert "deviation" in look().arrays


def test_gaps_half_lines_and_columns_that_end(tmp_path: Path) -> None:
    folder, rows = begun(tmp_path, "OPTIMA")
    look = followed(folder)
    add(folder, "rounds", *rows[:16])
    look()
    text = json.dumps(rows[16]) + "\n"
    with (folder / "rounds.jsonl").open("a") as file:
        file.write(text[:40])
        file.flush()
        assert look().rounds == 16
        file.write(text[40:])
    assert look().rounds == 17
    add(folder, "rounds", {**rows[17], "reward": None}, rows[18])
    assert np.isnan(look().arrays["deviation"][18:]).all()
    add(folder, "rounds", {**rows[19], "draws": None, "mean_before": None})
    assert not {"draws", "mean"} & set(look().arrays) - {"mean"}
    add(folder, "rounds", rows[20])
    assert "draws" not in look().arrays, "what one round lacks is not drawn"


@pytest.mark.parametrize("spoilt", [{"draws": [0.1]}, {"arm": "Audio"}, {"reward": "much"}])
def test_what_spoils_a_record_is_said_alike_and_mended_alike(tmp_path: Path, spoilt: played.Row) -> None:
    folder, rows = begun(tmp_path, "OPTIMA")
    reader, source = RunReader(folder), RecordFolder(folder.parent, (folder.name,), 0)
    add(folder, "rounds", *rows[:20])
    reader.read(source)
    add(folder, "rounds", {**rows[20], **spoilt})
    told = []
    for read in (reader.read, lambda source: read_track(source, folder)):
        with pytest.raises(RecordError) as caught:
            read(source)
        told.append(str(caught.value))
    assert told[0] == told[1]
    played.rewrite(folder, rows[:22])
    same(reader.read(source), read_track(source, folder))
