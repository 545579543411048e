"""A run's folder alone suffices to train it again."""

from pathlib import Path

import pytest
from test_run import ask

from optima_lab.cli import main
from optima_lab.config.parameters import flat
from optima_lab.distill.strategies import parse_strategies
from optima_lab.errors import ConfigError, RecordError
from optima_lab.experiments.population import run_info
from optima_lab.experiments.records import read_json, write_json
from optima_lab.experiments.reproduce import rerun, strategy_text
from optima_lab.presets import preset

TEXTS = (
    "none,kl,dide,img,img+txt,random,optima,optima_calibrated,optima:decay=0.5,optima:reward=kl,"
    "img:attention=weights,optima:round_steps=4:decay=0.7,img+txt+multi:alpha_kl=0.5"
)


@pytest.mark.parametrize("text", TEXTS.split(","))
def test_the_records_say_which_strategy_it_was(tmp_path: Path, text: str) -> None:
    config = preset("vqa", "smoke")
    (strategy,) = parse_strategies(text, config)
    folder = tmp_path / strategy.id
    folder.mkdir()
    write_json(folder / "run.json", run_info(config, strategy))
    (again,) = parse_strategies(strategy_text(folder, config), config)
    assert (again.id, again.text) == (strategy.id, strategy.text)


def test_a_folder_that_does_not_say_what_it_was_is_refused(tmp_path: Path) -> None:
    config = preset("vqa", "smoke")
    for name in ("unknown", "optima-000000"):
        (tmp_path / name).mkdir()
        write_json(tmp_path / name / "run.json", {"strategy": "x"})
        with pytest.raises(RecordError, match=r"must hold (a|the) strategy"):
            strategy_text(tmp_path / name, config)
    with pytest.raises(RecordError, match=r"experiment\.json cannot be read"):
        rerun(tmp_path, tmp_path / "again")


def test_a_run_is_repeated_bit_by_bit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (first,) = ask(tmp_path / "runs", "img,optima:decay=0.5")
    with pytest.raises(ConfigError, match="runs must be another folder than the one that holds"):
        rerun(first.folder, tmp_path / "runs")
    assert main(["rerun", str(first.folder), "--runs", str(tmp_path / "again")]) == 0
    again = tmp_path / "again" / "vqa" / first.folder.name
    assert capsys.readouterr().out == f"{again}: {', '.join(first.only)}\n"
    for name in first.only:
        for file in ("steps.jsonl", "rounds.jsonl", "evals.jsonl", "student.safetensors", "run.json"):
            assert (again / name / file).read_bytes() == (first.folder / name / file).read_bytes(), file


def test_changed_data_are_told(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "vqa" / "smoke-s0-0"
    (folder / "img").mkdir(parents=True)
    config = flat(preset("vqa", "smoke"))
    write_json(folder / "experiment.json", {"config": config, "data_fingerprint": "another"})
    write_json(folder / "img" / "run.json", {"strategy": "Img"})
    with pytest.raises(ConfigError, match=r"data must be what the run saw \(another\), got the embedded world: world-"):
        rerun(folder / "img", tmp_path / "again")
    assert read_json(folder / "experiment.json")["config"]["task"] == "vqa"
    assert not (tmp_path / "again").exists()
