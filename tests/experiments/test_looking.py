"""A notebook in any folder of a project finds its runs; what will be trained, and how long, is said before."""

from pathlib import Path

import pytest
from asked_runs import record

import optima_lab
from optima_lab.errors import ConfigError, Interrupted
from optima_lab.experiments import run as experiment
from optima_lab.experiments.looking import announce, runs_folder
from optima_lab.presets import preset


def test_runs_of_the_project_above_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record(tmp_path / "runs", 30.0)
    (tmp_path / "my" / "notes").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "my" / "notes")
    assert runs_folder("runs") == tmp_path / "runs"
    assert [each.task for each in optima_lab.open_experiments()] == ["vqa"]
    assert runs_folder("elsewhere") == Path("elsewhere") and runs_folder(tmp_path / "x") == tmp_path / "x"
    Path("runs").mkdir()
    assert runs_folder("runs") == Path("runs"), "what is here goes before"


def test_a_line_says_what_will_be_trained_and_how_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trained = []
    monkeypatch.setattr(
        experiment, "run_seed", lambda config, runs, strategies, callbacks: trained.append((config, runs))
    )
    optima_lab.run(["vqa", "coco"], "smoke", seeds=[0, 3], runs=str(tmp_path), strategies="none,img")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"runs are looked for in {tmp_path}; to be trained: VQA seed 0, VQA seed 3, COCO Caption")
    assert "at smoke size: 8 students and their teachers, about " in line and line.endswith("s on two cores")
    assert [(config.task, config.seed) for config, _ in trained] == [("vqa", 0), ("vqa", 3), ("coco", 0), ("coco", 3)]


def test_recorded_seconds_are_believed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    known = record(tmp_path, 30.0)
    (known.folder / "seconds.json").write_text('{"students": 64.0}')  # 2 runs of 32 steps: a second a step
    announce(tmp_path, [(preset("vqa", "smoke", steps=64), 3)], tmp_path)
    assert capsys.readouterr().err.endswith("3 students, about 3 min as the runs there took\n")


def test_nothing_to_train_is_silent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    announce(tmp_path, [], tmp_path)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("seeds", [[], [1, 1], 0, "two", True])
def test_seeds_that_cannot_be(seeds: object) -> None:
    with pytest.raises(ConfigError, match="seeds must be a"):
        experiment.configurations("vqa", "smoke", seeds)  # pyright: ignore[reportArgumentType]


def test_our_errors_and_interrupts_are_one_line_in_a_notebook(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from IPython.core.interactiveshell import InteractiveShell

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(experiment, "run_seed", stopped)
    with pytest.raises(Interrupted):
        optima_lab.run("vqa", "smoke", runs=str(tmp_path))
    capsys.readouterr()
    shell = InteractiveShell()
    shell.run_cell("import optima_lab; optima_lab.run('vqua')")
    assert "ConfigError: task must be one of vqa, snli_ve, nlvr2, coco, got 'vqua'; did you mean 'vqa'?" in (
        said := capsys.readouterr().out
    )
    assert "Traceback" not in said and len(said.strip().splitlines()) == 1
    shell.run_cell(f"optima_lab.run('vqa', 'smoke', runs={str(tmp_path)!r})")
    assert capsys.readouterr().out.strip() == "Interrupted: what is finished is kept; run the cell again to go on"


def test_reprs_are_short(tmp_path: Path) -> None:
    known = record(tmp_path, 30.0)
    assert repr(known) == f"Experiment(vqa, seed 0, 2 runs in {known.folder})"
    assert repr(known.config) == "Config(vqa, smoke, seed 0: student 1/1/1, 32 steps in 16 rounds, γ = 0.98)"
    from optima_lab.distill.strategies import parse_strategies

    assert repr(parse_strategies("optima:decay=0.9", known.config)) == "(Strategy('optima:decay=0.9'),)"
