"""Two processes under torchrun train as one process does with the same global batch."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from optima_lab.config.parameters import flat
from optima_lab.data.datasets import locate
from optima_lab.distill.strategies import parse_strategies
from optima_lab.errors import ConfigError
from optima_lab.experiments.ids import experiment_id
from optima_lab.experiments.records import read_json, read_lines, write_json
from optima_lab.files import locked
from optima_lab.presets import preset

pytest.importorskip("torch")

SMALL = {
    "scenes": 64,
    "limit": 40,
    "pretrain_steps": 2,
    "base_steps": 2,
    "pretrain_batch": 8,
    "finetune_steps": 2,
    "finetune_batch": 8,
    "steps": 20,
    "round_steps": 2,
    "initial_plays": 0,
    "probe_size": 8,
    "batch_size": 7,  # one process gets three rows, the other four
    "evaluations": 1,
}
STRATEGIES = "kl,img+txt+multi,optima"


def train(runs: Path, processes: int, **changes: int) -> str:
    """`python -m optima_lab train` of one captioning and one answering task; what it printed."""
    options = [f"--{name}={value}" for name, value in (SMALL | changes).items()]
    start = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"] if processes > 1 else []
    command = [*start, "-m", "optima_lab", "train", "--preset=smoke", "--tasks=vqa,coco", f"--runs={runs}", *options]
    done = subprocess.run(
        [sys.executable, *command, "--jobs=1", f"--strategies={STRATEGIES}"],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_two_processes_are_one_with_the_same_batch(tmp_path: Path):
    train(tmp_path / "one", 1)
    said = train(tmp_path / "two", 2)
    assert said.count(" s in all:") == 1  # one of them reports
    folders = sorted(path.parent.relative_to(tmp_path / "one") for path in (tmp_path / "one").glob("*/*/*/done.json"))
    assert len(folders) == 6
    for folder in folders:
        ours, theirs = (tmp_path / name / folder for name in ("one", "two"))
        assert read_json(theirs / "done.json") == read_json(ours / "done.json")
        for name, count in (("steps", 20), ("rounds", 10)):
            one, two = read_lines(ours / f"{name}.jsonl"), read_lines(theirs / f"{name}.jsonl")
            assert len(one) == len(two) == count
        one, two = (read_lines(place / "steps.jsonl") for place in (ours, theirs))
        for name in ("train", "kl", "hidden", "attention", "total"):
            mine, other = ([line[name] for line in lines] for lines in (one, two))
            if mine[0] is None:
                assert other == mine
                continue
            assert other[:5] == pytest.approx(mine[:5], abs=1e-5)
            assert other == pytest.approx(mine, abs=1e-4)  # sums in another order: rounding grows with the steps
        arms = [[line["arm"] for line in read_lines(place / "rounds.jsonl")] for place in (ours, theirs)]
        assert arms[0] == arms[1]


def test_parts_cover_a_batch_and_none_is_empty(monkeypatch):
    from optima_lab.distill import parallel

    monkeypatch.setattr(parallel, "world_size", lambda: 2)
    found = []
    for number in (0, 1):
        monkeypatch.setattr(parallel, "rank", lambda number=number: number)
        found += parallel.parts(7, 2)
    rows = [list(range(7))[part] for part in found]
    assert [row for part in rows for row in part] == list(range(7))
    assert min(map(len, rows)) >= 1
    with pytest.raises(ConfigError, match=r"batch_size must be at least accumulate × processes = 8, got 7"):
        parallel.parts(7, 4)


RUN = """
import os, sys
from pathlib import Path
import optima_lab
from optima_lab.distill import checkpoint as resume
resume.EVERY_SECONDS = 0.0
Path(sys.argv[1], f"process-{os.getpid()}").touch()
(found,) = optima_lab.run("vqa", "smoke", runs=sys.argv[1] + "/runs", strategies="kl,optima", changes=sys.argv[2])
print("ended", flush=True)
"""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Two processes of torchrun that ask for one experiment below `place`; whatever is left of them is killed."""
    begun: list[tuple[Path, subprocess.Popen[str]]] = []
    (tmp_path / "run.py").write_text(RUN)

    def start(place: Path) -> subprocess.Popen[str]:
        place.mkdir(exist_ok=True)
        changes = ",".join(f"{name}={value}" for name, value in SMALL.items())
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
        env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
        pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        process = subprocess.Popen([*command, str(tmp_path / "run.py"), str(place), changes], env=env, **pipe)
        begun.append((place, process))
        return process

    yield start
    for place, process in begun:
        kill(place, process)


def kill(place: Path, process: subprocess.Popen[str]) -> None:
    """SIGKILL for torchrun and what it started, wherever they are."""
    for number in [process.pid, *(int(path.name.partition("-")[2]) for path in place.glob("process-*"))]:
        with suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
    process.communicate()


def test_what_another_command_trained_meanwhile_is_trained_by_none(tmp_path: Path, start):
    """Also where the first process alone has waited for the lock: the second does not begin without it."""
    config = preset("vqa", "smoke", **SMALL)
    folder = tmp_path / "runs" / "vqa" / experiment_id(config, locate(config, tmp_path / "runs").fingerprint)
    with locked(folder, "another command"):
        waiting = start(tmp_path)
        assert waiting.stderr is not None
        while "another process is writing it" not in waiting.stderr.readline():
            assert waiting.poll() is None
        write_json(folder / "experiment.json", {"config": flat(config)})
        for strategy in parse_strategies("kl,optima", config):
            (folder / strategy.id).mkdir()
            write_json(folder / strategy.id / "done.json", {"steps": 20})
    said, problems = waiting.communicate(timeout=120)
    assert (waiting.returncode, said.count("ended")) == (0, 2), problems
    assert not list(folder.glob("*/*.jsonl"))


@pytest.mark.slow
def test_killed_together_they_go_on_as_if_undisturbed(tmp_path: Path, start):
    def steps(place: Path) -> int:
        return max([len(read_lines(path)) for path in place.glob("runs/vqa/*/*/steps.jsonl")], default=0)

    undisturbed = start(tmp_path / "one")
    assert undisturbed.communicate(timeout=300)[0].count("ended") == 2
    killed = start(tmp_path / "two")
    while steps(tmp_path / "two") < 10:
        assert killed.poll() is None
        time.sleep(0.01)
    kill(tmp_path / "two", killed)
    assert start(tmp_path / "two").communicate(timeout=300)[0].count("ended") == 2
    files = [path.relative_to(tmp_path / "one") for path in (tmp_path / "one").glob("runs/vqa/*/*/*.*")]
    assert sum(path.name == "student.safetensors" for path in files) == 2
    for path in files:
        assert (tmp_path / "two" / path).read_bytes() == (tmp_path / "one" / path).read_bytes(), path
