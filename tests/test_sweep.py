"""The pool that trains tasks side by side."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from optima_lab.config import TASKS
from optima_lab.sweep import Sweep

START = """
import os, sys, time
from optima_lab.sweep import _pool

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
    root = str(Path(__file__).parents[1])
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
    sweep = Sweep(tuple(TASKS), "smoke", "", "runs", 2, "none", 2, {"seed": 5})
    called = [(task, given["seed"], given["seeds"]) for _, _, task, given in sweep.calls()]
    assert called == [(task, seed, 1) for seed in (5, 6) for task in ("coco", "nlvr2", "vqa", "snli_ve")]
