"""The pool that trains tasks side by side."""

import os
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import pytest

from optima_lab.config import TASKS
from optima_lab.experiments import sweep
from optima_lab.experiments.sweep import Sweep

START = """
import os, sys, time
from optima_lab.experiments.sweep import _pool

def work(folder):
    open(os.path.join(folder, str(os.getpid())), "w").close()
    time.sleep(300)

if __name__ == "__main__":
    with _pool(2) as pool:
        pool([(work, sys.argv[1])] * 2)
"""


def alive(process: int) -> bool:
    """Whether a process runs (one that nobody has waited for does not)."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs Linux's /proc")
def test_workers_end_with_a_command_that_is_killed(tmp_path: Path) -> None:
    (tmp_path / "start.py").write_text(START)
    (tmp_path / "seen").mkdir()
    root = str(Path(__file__).parents[2])
    command = [sys.executable, str(tmp_path / "start.py"), str(tmp_path / "seen")]
    with subprocess.Popen(command, env=os.environ | {"PYTHONPATH": root}) as process:
        until = time.monotonic() + 120
        while len(list((tmp_path / "seen").iterdir())) < 2:
            assert process.poll() is None and time.monotonic() < until, "both workers begin"
            time.sleep(0.1)
        workers = [int(path.name) for path in (tmp_path / "seen").iterdir()]
        process.send_signal(signal.SIGKILL)
    until = time.monotonic() + 30
    while any(map(alive, workers)) and time.monotonic() < until:
        time.sleep(0.1)
    assert not any(map(alive, workers))


def test_no_worker_is_left_alone_with_the_slowest_task() -> None:
    asked = Sweep(tuple(TASKS), "smoke", "", "runs", 2, "none", 2, {"seed": 5})
    called = [(task, given["seed"], given["seeds"]) for _, _, task, given in asked.calls()]
    assert called == [(task, seed, 1) for seed in (5, 6) for task in ("coco", "nlvr2", "vqa", "snli_ve")]


def test_populations_share_workers_seed_by_seed_after_the_teachers(tmp_path: Path, monkeypatch) -> None:
    row = []

    def answer(call, *given):
        if call is not sweep.run_or_say:
            row.append((given[0], given[1].task) if given[0] == "teach" else given[0])
            return True
        place, task, plan = given
        row.append((place, task, plan["seed"]))
        return sweep.Outcome(place, error=f"{task}: no data")

    pool = nullcontext(lambda calls: (answer(*call) for call in calls))
    monkeypatch.setattr(sweep, "_pool", lambda workers: pool)
    large, small = (
        Sweep(("vqa", "nlvr2"), "smoke", "", str(tmp_path), 2, "none", 2, changes)
        for changes in ({}, {"student_layers": "1/1/1"})
    )
    assert sum(1 for _ in sweep.train_together([large, small])) == 8
    assert row[:6] == ["write_data"] * 4 + ["pretrain_teacher", "pretrain_base"]
    assert row[6:8] == [("teach", "nlvr2"), ("teach", "vqa")]
    assert row[8:] == [(place, task, seed) for seed in (0, 1) for place in (0, 1) for task in ("nlvr2", "vqa")]
    assert large.failures == small.failures == ["nlvr2: no data", "vqa: no data"], "each said once"
