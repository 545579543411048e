"""Killed at any moment, a run goes on and ends with the very records and weights of one that nobody disturbed.

So does a population from nothing, one student whose teacher is there, a teacher; and a notebook (test_resume_notebook).
All 20 moments of each: make test ARGS="-m slow" (or: pytest tests/test_resume.py tests/test_resume_notebook.py -m '').
"""

import os
import random
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
import torch

from optima_lab.distill import checkpoint
from optima_lab.experiments import population, records
from optima_lab.experiments.records import read_json
from optima_lab.experiments.run import run
from optima_lab.presets import preset

STRATEGIES = {"population": "none,optima_calibrated,optima:round_steps=4", "run": "optima"}
ALWAYS = {"population": 20, "run": 3, "teachers": 3}  # moments that every `make test` tries
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
server.set_forkserver_preload(["optima_lab.experiments.population", "optima_lab.data.synthetic.world"])


def train(kind: str, runs: str, writes_left: Any = None) -> None:
    """What a kind of test trains, in a process of its own, which kills itself once it has no writes left."""
    prepare(writes_left)
    if kind == "teachers":
        population.teach(preset("vqa", "smoke", **SMALL), Path(runs))
    else:
        run("vqa", "smoke", runs=runs, strategies=STRATEGIES[kind], **SMALL)


def prepare(writes_left: Any = None) -> None:
    """Let this process keep what it does after every step, and count its writes."""
    torch.set_num_threads(1)
    checkpoint.EVERY_SECONDS = 0.0
    if writes_left is not None:
        count_writes(writes_left)


def count_writes(left: Any) -> None:
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
    """Everything a run leaves but seconds, and what tells where data lie, bytes for bytes."""
    found: dict[str, object] = {}
    for path in sorted(p for p in runs.rglob("*") if p.is_file() and "world" not in str(p)):
        name = str(path.relative_to(runs))
        if path.name == "experiment.json":
            found[name] = {k: v for k, v in read_json(path).items() if k != "data"}
        elif path.name != "seconds.json" and not path.name.startswith(("pictures", "contents")):
            found[name] = path.read_bytes()
    return found


@dataclass(frozen=True)
class Undisturbed:
    """Where a kind of test begins, what it leaves if nobody disturbs it, its seconds, and how often it writes."""

    begin: Path
    left: dict[str, object]
    seconds: float
    writes: int


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Undisturbed]:
    """What a kind begins with and leaves: made once; the server's imports are done before."""
    world = tmp_path_factory.mktemp("world") / "runs"
    run("vqa", "smoke", runs=str(world), strategies="none", **SMALL)
    shutil.rmtree(world / "vqa")
    shutil.copytree(world, taught := tmp_path_factory.mktemp("taught") / "runs")
    shutil.rmtree(world / "cache" / "models")
    warm = server.Process(target=int)
    warm.start()
    warm.join()

    @cache
    def of(kind: str) -> Undisturbed:
        begin, runs = taught if kind == "run" else world, tmp_path_factory.mktemp(kind) / "runs"
        shutil.copytree(begin, runs)
        start, writes = monotonic(), server.Value("i", 0)
        assert finish(kind, str(runs), writes) == 0
        return Undisturbed(begin, outcome(runs), monotonic() - start, -writes.value)

    return of


@pytest.fixture(scope="module")
def places() -> list[str]:
    """What a population was at when it was killed: where its newest resume file was."""
    return []


def moments(always: dict[str, int]) -> list[Any]:
    """Twenty of each kind; those beyond the first few are slow."""
    slow = pytest.mark.slow
    return [pytest.param(kind, n, marks=[slow] * (n >= few)) for kind, few in always.items() for n in range(20)]


def write_of(number: int, writes: int) -> int:
    """A write to be killed in: each tenth of them has its turn in 20 moments, of which every other one is a write."""
    tenth = (number // 2 * 3 + 4) % 10
    return random.Random(number).randint(1 + writes * tenth // 10, writes * (tenth + 1) // 10)


@pytest.mark.parametrize(("kind", "number"), moments(ALWAYS))
def test_what_was_killed_ends_as_if_undisturbed(kind: str, number: int, undisturbed, places, tmp_path: Path):
    """Half of them killed by the clock, half in the middle of a write."""
    known, runs = undisturbed(kind), tmp_path / "runs"
    shutil.copytree(known.begin, runs)
    if number % 2:
        writes = server.Value("i", write_of(number, known.writes))
        assert finish(kind, str(runs), writes) == -signal.SIGKILL
    else:
        seconds = random.Random(number).uniform(0.3, 0.95) * known.seconds
        assert finish(kind, str(runs), seconds=seconds) in (0, -signal.SIGKILL)
    places += [path.parent.parent.name for path in runs.rglob("resume*.pt") if kind == "population"]
    assert finish(kind, str(runs)) == 0
    found = outcome(runs)
    assert found.keys() == known.left.keys()  # no half-written file is left
    assert [name for name in found if found[name] != known.left[name]] == []


def test_kills_came_while_teachers_and_while_students_were_trained(places: list[str]):
    assert places.count("models") >= 2
    assert places.count("vqa") >= 3
