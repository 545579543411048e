"""Killed at any moment, a run goes on and ends with the very records and weights of one that nobody disturbed."""

import os
import random
import shutil
import signal
from multiprocessing import get_context
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
import torch

from optima_lab import records
from optima_lab.distill import resume
from optima_lab.experiment import run
from optima_lab.records import read_json

STRATEGIES = "none,optima_calibrated,optima:round_steps=4"
SMALL = {
    "scenes": 64,
    "limit": 24,
    "pretrain_steps": 10,
    "base_steps": 8,
    "pretrain_batch": 8,
    "finetune_steps": 10,
    "finetune_batch": 8,
    "steps": 12,
    "round_steps": 2,
    "initial_plays": 0,
    "probe_size": 8,
    "batch_size": 4,
    "evaluations": 2,
    "eval_examples": 10,
}
server = get_context("forkserver")
server.set_forkserver_preload(["optima_lab.training", "optima_lab.data.scenes"])


def train(runs: str, writes_left: Any = None) -> None:
    """One experiment in a process of its own, which kills itself once it has no writes left."""
    torch.set_num_threads(1)
    resume.EVERY_SECONDS = 0.0
    if writes_left is not None:
        _count(writes_left)
    run("vqa", "smoke", runs=runs, strategies=STRATEGIES, **SMALL)


def _count(left: Any) -> None:
    """Count down whenever a file is about to be handed to the disk or to take its name; SIGKILL at zero."""

    def tick() -> None:
        left.value -= 1
        if left.value == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def counted(original):
        return lambda *args, **kwargs: (tick(), original(*args, **kwargs))[1]

    def append(self, name: str, lines, original=records.Writer.append) -> None:
        file = self._files[name]
        place = file.tell()
        file.write('{"step": 9')  # what a full buffer leaves behind
        file.flush()
        tick()
        file.truncate(place)
        file.seek(place)
        original(self, name, lines)

    os.replace, os.fsync, torch.save = counted(os.replace), counted(os.fsync), counted(torch.save)
    records.Writer.append = append


def finish(*arguments: Any, seconds: float | None = None) -> int | None:
    """The exit code of `train` in a process of its own, killed after some seconds where given."""
    child = server.Process(target=train, args=arguments)
    child.start()
    child.join(seconds)
    if child.is_alive():
        child.kill()
        child.join()
    return child.exitcode


def outcome(runs: Path) -> dict[str, object]:
    """Everything a run leaves but its seconds and where its data lies, bytes for bytes."""
    found: dict[str, object] = {}
    for path in sorted(p for p in runs.rglob("*") if p.is_file() and "world" not in str(p)):
        name = str(path.relative_to(runs))
        if path.name == "experiment.json":
            found[name] = {k: v for k, v in read_json(path).items() if k != "data"}
        elif path.name != "seconds.json" and "pictures" not in path.name:
            found[name] = path.read_bytes()
    return found


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runs folder with the world's pictures and nothing trained."""
    runs = tmp_path_factory.mktemp("world") / "runs"
    run("vqa", "smoke", runs=str(runs), strategies="none", **SMALL)
    shutil.rmtree(runs / "vqa")
    shutil.rmtree(runs / "cache" / "models")
    return runs


@pytest.fixture(scope="module")
def undisturbed(world: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, object], float, int]:
    """What an undisturbed run leaves, its seconds, and how often it wrote; the server's imports are done before."""
    runs = tmp_path_factory.mktemp("undisturbed") / "runs"
    shutil.copytree(world, runs)
    warm = server.Process(target=int)
    warm.start()
    warm.join()
    start, writes = monotonic(), server.Value("i", 0)
    assert finish(str(runs), writes) == 0
    return outcome(runs), monotonic() - start, -writes.value


@pytest.fixture(scope="module")
def places() -> list[str]:
    """What stood in the runs folder after each kill: the newest resume file's kind."""
    return []


@pytest.mark.parametrize("number", range(20))
def test_a_killed_run_ends_as_an_undisturbed_one(number: int, world: Path, undisturbed, places, tmp_path: Path):
    """Half of them killed by the clock, half in the middle of a write."""
    expected, seconds, writes = undisturbed
    draw = random.Random(number)
    runs = tmp_path / "runs"
    shutil.copytree(world, runs)
    if number % 2:
        tenth = number // 2  # each tenth of all writes has its turn
        write = draw.randint(1 + writes * tenth // 10, writes * (tenth + 1) // 10)
        assert finish(str(runs), server.Value("i", write)) == -signal.SIGKILL
    else:
        assert finish(str(runs), seconds=draw.uniform(0.3, 0.95) * seconds) in (0, -signal.SIGKILL)
    places += [path.parent.parent.name for path in runs.rglob("resume*.pt")]
    assert finish(str(runs)) == 0
    found = outcome(runs)
    assert found.keys() == expected.keys()  # no half-written file is left
    assert [name for name in found if found[name] != expected[name]] == []


def test_kills_came_while_teachers_and_while_students_were_trained(places: list[str]):
    assert places.count("models") >= 2
    assert places.count("vqa") >= 3
