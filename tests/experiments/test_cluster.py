"""A sweep on a Dask cluster: the same calls, each result once, also where a worker is lost."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from optima_lab.errors import ConfigError
from optima_lab.experiments import cluster
from optima_lab.experiments.cluster import check_scheduler
from optima_lab.experiments.records import read_lines, read_runs
from optima_lab.experiments.run import open_experiments
from optima_lab.experiments.sweep import Sweep

CHANGES = {"scenes": 64, "limit": 24, "pretrain_steps": 1, "base_steps": 1, "finetune_steps": 1, "probe_size": 8}


def sweep(runs: Path, scheduler: str, seeds: int = 8) -> Sweep:
    changes = {**CHANGES, "steps": 12, "evaluations": 1, "eval_examples": 10}
    return Sweep(("vqa",), "smoke", "", str(runs), seeds, "random", 1, changes, scheduler)


@pytest.mark.parametrize("address", ["127.0.0.1:8786", "http://127.0.0.1", "tcp"])
def test_an_address_of_another_kind_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match=r"scheduler must be an address such as tcp://127\.0\.0\.1:8786, got "):
        check_scheduler(address)


def test_a_missing_extra_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match="scheduler needs the optional extra 'cluster'"):
        check_scheduler("tcp://127.0.0.1:8786")


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_lost_worker_loses_and_doubles_nothing(tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed", reason="needs the extra 'cluster'")
    quiet = {"dashboard_address": None, "host": "127.0.0.1", "threads_per_worker": 1}
    with distributed.LocalCluster(n_workers=2, **quiet) as two, distributed.Client(two) as client:
        (victim, *_) = client.run(os.getpid).values()
        killer = threading.Thread(target=kill_midway, args=(victim, tmp_path))
        killer.start()
        asked = sweep(tmp_path, two.scheduler_address)
        asked.train()
        killer.join()
        assert victim not in client.run(os.getpid).values(), "it was killed"
    assert asked.failures == []
    assert [each.seed for each in asked.experiments] == list(range(8))
    recorded = open_experiments(tmp_path)
    assert sorted(each.seed for each in recorded) == list(range(8))
    assert read_runs(recorded)["done"].tolist() == [True] * 8
    for each in recorded:
        (run,) = each.folder.glob("*/rounds.jsonl")
        assert [line["round"] for line in read_lines(run)] == list(range(1, 7))


def kill_midway(process: int, runs: Path) -> None:
    """As soon as two runs are finished."""
    while len(list(runs.glob("vqa/*/*/done.json"))) < 2:
        time.sleep(0.02)
    os.kill(process, signal.SIGKILL)
