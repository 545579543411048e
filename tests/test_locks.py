"""Two processes that ask for the same thing: one makes it, the other waits, and nothing is written twice."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from optima_lab.config.parameters import override
from optima_lab.data.datasets import locate
from optima_lab.errors import RecordError
from optima_lab.experiments import run as experiment
from optima_lab.experiments.ids import experiment_id
from optima_lab.experiments.records import read_lines, write_json
from optima_lab.files import locked, taken
from optima_lab.presets import preset

ROOT = Path(__file__).parents[1]
HOLD = "import sys; from pathlib import Path; from optima_lab.files import locked\n" + (
    "with locked(Path(sys.argv[1]), 'mine'):\n    print('inside', flush=True); sys.stdin.readline()"
)
SMALL = {"scenes": 64, "limit": 24, "pretrain_steps": 1, "base_steps": 1, "finetune_steps": 1} | {
    "steps": 6,
    "probe_size": 8,
    "eval_examples": 10,
}
TRAIN = """
import sys, optima_lab
from optima_lab import training
whole = training.distill
training.distill = lambda *parts: print('trained') or whole(*parts)
optima_lab.run('vqa', 'smoke', runs=sys.argv[1], strategies='random', changes=sys.argv[2])
"""


STARTED: list[subprocess.Popen[str]] = []


@pytest.fixture(autouse=True)
def none_is_left() -> Iterator[None]:
    """What a failed test started ends with it."""
    yield
    for process in STARTED:
        process.kill()
        process.communicate()
    STARTED.clear()


def start(*words: str) -> subprocess.Popen[str]:
    """A process of ours with open pipes."""
    pipe = subprocess.PIPE
    STARTED.append(
        subprocess.Popen([sys.executable, *words], cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
    )
    return STARTED[-1]


def holder(folder: Path) -> subprocess.Popen[str]:
    """A process that is inside `locked(folder)` until it reads a line."""
    process = start("-c", HOLD, str(folder))
    assert process.stdout and process.stdout.readline() == "inside\n"
    return process


def test_a_second_process_waits_and_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert not taken(folder)
    first = holder(folder)
    assert taken(folder)
    second = start("-c", HOLD, str(folder))
    assert second.stderr and second.stdout
    assert second.stderr.readline() == "mine: another process is writing it; waiting until it has ended\n"
    first.communicate("\n")
    assert second.stdout.readline() == "inside\n", "its turn"
    second.communicate("\n")
    assert (first.returncode, second.returncode) == (0, 0)
    assert not taken(folder)
    assert [path.name for path in folder.iterdir()] == [".lock"]


def test_a_killed_process_leaves_no_lock(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    process = holder(tmp_path)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not taken(tmp_path)
    with locked(tmp_path, "mine"):
        assert capsys.readouterr().err == "", "nobody to wait for"


def test_asking_who_is_there_creates_nothing(tmp_path: Path) -> None:
    assert not taken(tmp_path / "nowhere")
    assert not taken(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_fails_inside_frees_the_lock_and_stays_what_it_was(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="the disk"), locked(tmp_path, "mine"):
        raise OSError("the disk")
    assert not taken(tmp_path)


def test_a_place_that_cannot_be_locked_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(RecordError, match="file must be writable, to be locked: "), locked(tmp_path / "file", "x"):
        raise AssertionError("inside")
    (tmp_path / ".lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RecordError, match="must be writable, to be locked: "), locked(tmp_path, "x"):
        raise AssertionError("inside")
    assert not (tmp_path / "elsewhere").exists(), "a link is not followed"


def test_what_another_process_finished_meanwhile_is_not_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked before and after the lock is had: here the other process finishes between the two."""
    from optima_lab.experiments import population

    @contextmanager
    def waited(folder: Path, about: str) -> Iterator[None]:
        assert about == f"vqa/{folder.name}"
        (folder / "img").mkdir()
        write_json(folder / "img" / "done.json", {"steps": 6})
        write_json(folder / "experiment.json", {"by": "the other"})
        yield

    monkeypatch.setattr(experiment, "locked", waited)
    monkeypatch.setattr(population, "train_population", None)  # calling it fails
    (found,) = experiment.run("vqa", "smoke", runs=str(tmp_path), strategies="img", **SMALL)
    assert found.summary == {"by": "the other"}


@pytest.mark.slow
def test_processes_that_need_the_same_make_it_once(tmp_path: Path) -> None:
    """Two with one question, a third that shares their world and teacher; all are let go at one moment."""
    source = locate(config := preset("vqa", "smoke", **SMALL), tmp_path)
    folders = [tmp_path / "vqa" / experiment_id(override(config, {"seed": n}), source.fingerprint) for n in (0, 1)]
    changes = ",".join(f"{name}={value}" for name, value in SMALL.items())
    with locked(folders[0], "ours"), locked(source.folder, "ours", ".vqa.lock"):
        several = [start("-c", TRAIN, str(tmp_path), f"{changes},seed={seed}") for seed in (0, 0, 1)]
        waits = [process.stderr.readline() for process in several if process.stderr]
    said = [process.communicate(timeout=300) for process in several]
    assert [process.returncode for process in several] == [0, 0, 0], said
    assert sorted(out for out, _ in said[:2]) == ["", "trained\n"] and said[2][0] == "trained\n"
    wanted = [f"vqa/{folders[0].name}", f"vqa/{folders[0].name}", f"{source.folder.name}/vqa"]
    assert waits == [f"{name}: another process is writing it; waiting until it has ended\n" for name in wanted]

    runs = [path.parent for folder in folders for path in folder.glob("*/done.json")]
    assert len(runs) == 2
    for path in runs:
        assert [line["round"] for line in read_lines(path / "rounds.jsonl")] == [1, 2, 3]
        assert [line["step"] for line in read_lines(path / "steps.jsonl")] == [1, 2, 3, 4, 5, 6]
    models = [path.name for path in (tmp_path / "cache" / "models").iterdir()]
    assert sorted(name.rsplit("-", 1)[0] for name in models) == ["base", "teacher", "vqa-baselines", "vqa-teacher"]
    spent = [json.loads((folder / "seconds.json").read_text()) for folder in folders]
    assert sorted("teacher" in each for each in spent) == [False, True], "one made it, the other found it"
    assert not list(tmp_path.rglob("*.part"))
