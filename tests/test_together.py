"""Two processes under torchrun train as one process does with the same global batch."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from optima_lab.errors import ConfigError
from optima_lab.records import read_json, read_lines

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
        cwd=Path(__file__).parents[1],
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
            expected = [line[name] for line in one]
            assert [line[name] for line in two] == (pytest.approx(expected, abs=1e-5) if expected[0] else expected)
        arms = [[line["arm"] for line in read_lines(place / "rounds.jsonl")] for place in (ours, theirs)]
        assert arms[0] == arms[1]


def test_parts_cover_a_batch_and_none_is_empty(monkeypatch):
    from optima_lab.distill import together

    monkeypatch.setattr(together, "count", lambda: 2)
    found = []
    for number in (0, 1):
        monkeypatch.setattr(together, "number", lambda number=number: number)
        found += together.parts(7, 2)
    rows = [list(range(7))[part] for part in found]
    assert [row for part in rows for row in part] == list(range(7))
    assert min(map(len, rows)) >= 1
    with pytest.raises(ConfigError, match=r"batch_size must be at least accumulate × processes = 8, got 7"):
        together.parts(7, 4)
