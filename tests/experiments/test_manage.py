"""What status says of runs/, and that clean removes what it was told and nothing else."""

import json
import os
from pathlib import Path
from time import time

import pytest
from fuzz_targets import run_folder

from optima_lab.cli import main
from optima_lab.errors import ConfigError
from optima_lab.experiments.code_fingerprint import code_fingerprint
from optima_lab.experiments.manage import RunStatus, age, chosen, clean, parts, report, size, survey
from optima_lab.experiments.records import write_json
from optima_lab.files import locked, temporary_path

NAME = "vqa/smoke-s0-12345678"


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """One experiment of three finished runs."""
    run_folder(tmp_path)
    for run in (tmp_path / "runs" / NAME).glob("s*"):
        (run / "student.safetensors").write_bytes(b"x" * 1000)
    return tmp_path / "runs"


def state(runs: Path) -> tuple[str, str]:
    (entry,) = survey(runs)
    return entry.state, entry.why


def test_a_finished_experiment_is_done(runs: Path) -> None:
    (entry,) = survey(runs)
    assert (entry.state, entry.finished, entry.runs, entry.step, entry.steps) == ("done", 3, 3, 32, 32)
    assert entry.size_bytes == sum(path.stat().st_size for path in (runs / NAME).rglob("*") if path.is_file())
    assert 0 <= entry.age_seconds < 3600


def a_day_ago(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        os.utime(path, (time() - 90_000, time() - 90_000))


def test_an_unfinished_one_is_interrupted_or_stale_or_training(runs: Path) -> None:
    (runs / NAME / "s1" / "done.json").unlink()
    (entry,) = survey(runs)
    assert (entry.state, entry.finished, entry.runs, entry.step) == ("interrupted", 2, 3, 24)
    with locked(runs / NAME, "ours"):
        assert state(runs)[0] == "training"
    assert state(runs)[0] == "interrupted"
    a_day_ago(runs / NAME)
    assert state(runs)[0] == "stale"


def test_a_folder_in_which_nothing_has_begun_is_interrupted(runs: Path) -> None:
    (runs / "coco" / "smoke-s0-00000000").mkdir(parents=True)
    (runs / "coco" / "smoke-s0-00000000" / ".lock").touch()  # its teacher is being made, or was
    assert [entry.state for entry in survey(runs)] == ["interrupted", "done"]


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("experiment.json", "{", "must be JSON"),
        ("experiment.json", '{"config": {"task": "vqa", "more": 1}}', "must hold a configuration of this version"),
        ("s0/run.json", "[]", "must hold a strategy's name, got []"),
        ("s0/student.safetensors", None, "s0 is done but lacks student.safetensors"),
    ],
)
def test_what_cannot_be_read_is_broken_and_says_why(runs: Path, name: str, content: str | None, why: str) -> None:
    path = runs / NAME / name
    path.write_text(content) if content is not None else path.unlink()
    found = state(runs)
    assert found[0] == "broken" and why in found[1]


def test_status_fits_80_columns(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    long = runs / "nlvr2" / f"{'long' * 20}-s0-01234567"
    long.mkdir(parents=True)
    (long / "experiment.json").write_text("{")
    assert main(["status", "--runs", str(runs)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == ["experiment", "state", "runs", "step", "age", "size"]
    (line,) = [line for line in lines if line.startswith(NAME)]
    assert line.split()[1:4] == ["done", "3/3", "32/32"]
    assert lines[-1].startswith("1 done, 1 broken; ")
    assert next(report(runs / "nowhere")).startswith("nothing is recorded below ")


@pytest.mark.parametrize(
    ("seconds", "text"), [(5, "5 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (200_000, "2 d")]
)
def test_ages_are_short(seconds: float, text: str) -> None:
    assert age(RunStatus(Path("x"), "done", age_seconds=seconds)) == text


def test_sizes_are_short() -> None:
    assert [size(n) for n in (0, 999, 1000, 3_140_000, 5e12)] == ["0 B", "999 B", "1.0 kB", "3.1 MB", "5000.0 GB"]


def test_clean_removes_what_is_named_after_a_yes(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[str] = []
    answers = iter(["", "n", "maybe", "y"])

    def ask(question: str) -> str:
        asked.append(question)
        return next(answers)

    for _ in range(3):
        assert clean(runs, [f"{NAME}/s1"], ask) == ["nothing was removed"]
    assert (runs / NAME / "s1" / "run.json").exists()
    assert clean(runs, [f"{NAME}/s1"], ask) == [f"removed {NAME}/s1"]
    assert f"{NAME}/s1" in asked[0] and asked[0].endswith("remove 1? [y/N] ")
    assert sorted(path.name for path in (runs / NAME).glob("s*")) == ["s0", "s2"]

    assert main(["clean", "--runs", str(runs), "--yes", NAME]) == 0
    assert capsys.readouterr().out == f"removed {NAME}\n"
    assert list((runs / "vqa").iterdir()) == []


def test_nobody_there_to_answer_is_a_no(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(_: str) -> str:
        raise EOFError

    monkeypatch.setattr("builtins.input", closed)
    assert main(["clean", "--runs", str(runs), NAME]) == 0
    assert (runs / NAME / "experiment.json").exists()


def test_words_name_what_status_calls_so(runs: Path) -> None:
    assert [chosen(runs, [word]) for word in ("stale", "broken", "parts")] == [[], [], []]
    assert clean(runs, ["stale", "broken", "parts"], None) == ["nothing to remove"]
    (runs / NAME / "s1" / "done.json").unlink()
    assert chosen(runs, ["stale"]) == [] and chosen(runs, ["interrupted"]) == [runs / NAME]
    a_day_ago(runs / NAME)
    assert chosen(runs, ["stale"]) == [runs / NAME]
    (runs / NAME / "experiment.json").write_text("{")
    assert chosen(runs, ["broken"]) == [runs / NAME]
    assert chosen(runs, ["stale"]) == []


def test_parts_are_half_written_files_where_nobody_works(runs: Path) -> None:
    left = runs / "cache" / "models" / "base-1" / "model.safetensors.host-1-01234567.part"
    left.parent.mkdir(parents=True)
    left.write_text("half")
    with locked(left.parent, "ours"):
        assert parts(runs) == []
    assert parts(runs) == [left]
    assert clean(runs, ["parts"], None) == ["removed cache/models/base-1/model.safetensors.host-1-01234567.part"]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (
            "..",
            "clean must be told a folder such as vqa/laptop-s0-1a2b3c4d, or interrupted, stale, broken or parts",
        ),
        ("vqa", "clean must be told a folder"),
        ("vqa/../..", "clean must be told a folder"),
        ("/etc/ssl", "clean must be told a folder"),
        ("cache/models", "clean must be told a folder"),
        ("vqa/none", "must be a folder; there is none"),
        ("behind/inside", "must not lie behind a link"),
    ],
)
def test_names_that_lead_elsewhere_are_refused(runs: Path, name: str, told: str) -> None:
    (runs.parent / "outside" / "inside").mkdir(parents=True)
    (runs / "behind").symlink_to(runs.parent / "outside")
    with pytest.raises(ConfigError, match=told):
        clean(runs, [name], None)
    with pytest.raises(ConfigError, match="clean must be told what to remove"):
        clean(runs, [], None)


def test_a_link_is_removed_and_not_what_it_leads_to(runs: Path) -> None:
    (runs.parent / "outside").mkdir()
    (runs.parent / "outside" / "mine").write_text("mine")
    (runs / "vqa" / "smoke-s1-00000000").symlink_to(runs.parent / "outside")
    (runs / NAME / "s1" / "done.json").unlink()
    (runs / NAME / "s1" / "done.json").symlink_to(runs.parent / "outside" / "mine")
    (runs / NAME / "link").symlink_to(runs.parent / "outside")
    assert clean(runs, ["vqa/smoke-s1-00000000", NAME], None) == [
        "removed vqa/smoke-s1-00000000",
        f"removed {NAME}, but for what is not ours: link",
    ]
    assert os.listdir(runs / "vqa") == [Path(NAME).name] and os.listdir(runs / NAME) == ["link"]
    assert (runs.parent / "outside" / "mine").read_text() == "mine"


def test_what_is_being_written_is_left_alone(runs: Path) -> None:
    with locked(runs / NAME, "ours"):
        for name in (NAME, f"{NAME}/s1"):
            with pytest.raises(ConfigError, match="must be left alone: a process is writing there"):
                clean(runs, [name], None)
    assert json.loads((runs / NAME / "s1" / "done.json").read_text())["steps"] == 24


def test_status_of_a_run_that_has_only_begun(runs: Path) -> None:
    write_json(runs / NAME / "s9" / "run.json", {"strategy": "Img"}) if (runs / NAME / "s9").mkdir() is None else None
    (entry,) = survey(runs)
    assert (entry.state, entry.finished, entry.runs, entry.step) == ("interrupted", 3, 4, 0)


# ---- what is not ours -----------------------------------------------------------------------------------------------


def everything(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.mark.parametrize(
    ("place", "content"),
    [
        ("mine/results/notes.txt", "mine"),
        ("vqa/my-plots/one.png", "mine"),
        ("vqa/other-tool/experiment.json", '{"lr": 0.1}'),
        ("vqa/other-tool/config/run.json", "{}"),
        ("vqa/broken/experiment.json", "{"),
        ("vqa/smoke-s0-0123456/experiment.json", "{"),
        ("vqa/smoke-s0-89abcdef/notes.txt", "a folder named like ours, without a record"),
        ("wandb/smoke-s0-01234567/experiment.json", "{"),
        ("vqa/empty/.gitkeep", ""),
        ("vqa/download.part", "half of a download"),
        ("cache/movie.mkv.2.part", "half of a download"),
        (f"{NAME}/.DS_Store", "in an experiment of ours"),
        (f"{NAME}/s1/notes.txt", "in a run of ours"),
        (f"{NAME}/s1/tensorboard/mine.txt", "among events of ours"),
        (f"{NAME}/analysis/run.py", "in an experiment of ours"),
    ],
)
def test_what_is_not_ours_is_neither_listed_nor_removed(runs: Path, place: str, content: str) -> None:
    mine = runs / place
    mine.parent.mkdir(parents=True, exist_ok=True)
    mine.write_text(content)
    (runs / NAME / "s0" / "tensorboard").mkdir()
    (runs / NAME / "s0" / "tensorboard" / "events.out.tfevents.1.host").write_text("ours")
    (runs / NAME / "s1" / "done.json").unlink()
    assert [entry.folder for entry in survey(runs)] == [runs / NAME]
    assert parts(runs) == []
    (said,) = clean(runs, ["interrupted", "broken", "parts"], None)
    assert said.startswith(f"removed {NAME}")
    wanted = {str(path.relative_to(runs)) for path in (mine, *mine.parents) if path.is_relative_to(runs)} | {"vqa"}
    assert everything(runs) | {"."} == wanted | {"."}
    assert mine.read_text() == content


@pytest.mark.parametrize("name", ["vqa/my-plots", "mine/results", f"{NAME}/analysis", "vqa/smoke-s0-89abcdef"])
def test_what_is_not_ours_is_not_removed_by_name(runs: Path, name: str) -> None:
    (runs / name).mkdir(parents=True)
    (runs / name / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="must hold records of this library; it holds none and is not ours to remove"):
        clean(runs, [name], None)
    assert (runs / name / "notes.txt").read_text() == "mine"


def test_an_experiment_under_another_name_is_ours_all_the_same(runs: Path) -> None:
    (runs / NAME).rename(runs / "vqa" / "best")
    assert [entry.folder.name for entry in survey(runs)] == ["best"]
    (runs / "coco").mkdir()
    (runs / "vqa" / "best").rename(runs / "coco" / "best")
    assert survey(runs) == [], "it says that it is of another task"


def test_status_tells_runs_of_other_code(runs: Path) -> None:
    (entry,) = survey(runs)
    assert entry.other_code == 3, "none of them says by which"
    for run, code in (("s0", code_fingerprint()), ("s1", "0" * 16)):
        about = json.loads((runs / NAME / run / "run.json").read_text())
        write_json(runs / NAME / run / "run.json", {**about, "code": code})
    (runs / NAME / "s2" / "done.json").unlink()  # not finished: it is not shown as anything yet
    (entry,) = survey(runs)
    assert entry.other_code == 1
    lines = [*report(runs)]
    assert "  1 of these runs were made by other code: keep them, or clean and train anew" in lines
    assert max(map(len, lines)) <= 80


def test_parts_of_a_process_at_work_are_left(runs: Path) -> None:
    own = temporary_path(runs / "cache" / "pictures.npy")
    own.parent.mkdir()
    own.write_text("half")
    assert parts(runs) == []


def test_home_is_expanded(runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("HOME", str(runs.parent))
    monkeypatch.chdir(runs.parent)
    assert main(["status", "--runs", "~/runs"]) == 0
    assert NAME in capsys.readouterr().out
    assert main(["clean", "--runs", "~/runs", "--yes", NAME]) == 0
    assert not (runs / NAME).exists() and not (runs.parent / "~").exists()
