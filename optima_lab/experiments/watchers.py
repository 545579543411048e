"""The watchers that a command line asks for, and sending them runs that have ended."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from optima_lab.errors import ConfigError, RecordError
from optima_lab.experiments.mlflow import MLflow
from optima_lab.experiments.records import read_json, read_lines, why_stopped
from optima_lab.experiments.schema import check_run, check_whole
from optima_lab.experiments.tensorboard import TensorBoard
from optima_lab.experiments.wandb import WandB
from optima_lab.experiments.watch import WatchedRun, Watcher, Watching, check_watchers

SWITCH = "OPTIMA_LAB_WATCHERS"  # of the environment, so that the processes of a sweep have them, too
WATCHERS: Mapping[str, Callable[[], Watcher]] = {"tensorboard": TensorBoard, "wandb": WandB, "mlflow": MLflow}


def switch_on(names: Sequence[str]) -> None:
    """Let these watch what this process and those it starts train. Raises ConfigError where an extra is missing."""
    for name in names:
        if find_spec(name) is None:
            raise ConfigError(f"{name} needs the optional extra: pip install 'optima-lab[{name}]'")
    os.environ[SWITCH] = ",".join(names)


def enabled_watchers() -> list[Watcher]:
    """Those that were switched on, new."""
    return [WATCHERS[name]() for name in os.environ.get(SWITCH, "").split(",") if name in WATCHERS]


def send(folder: Path, watchers: Sequence[Any]) -> list[str]:
    """Tell watchers of every finished run in a folder (of a run, an experiment or of runs), as if it trained now.

    Returns the runs' names. Raises RecordError where there is none.
    """
    check_watchers(watchers)
    depths = ("run.json", "*/run.json", "*/*/run.json", "*/*/*/run.json")
    begun = [path.parent for depth in depths for path in sorted(folder.glob(depth))]
    ended = [run for run in begun if not run.is_symlink() and _has_ended(run)]
    if not ended:
        raise RecordError(f"{folder} must hold a finished run (run.json beside done.json), got {len(begun)} begun")
    return [_send(run, watchers) for run in ended]


def _has_ended(folder: Path) -> bool:
    """A loop of the user's own, whose run.json names its modules, has no end that we know."""
    return (folder / "done.json").exists() or "modules" in _run_info(folder)


def _run_info(folder: Path) -> Mapping[str, Any]:
    return check_run(read_json(folder / "run.json"), folder / "run.json")


def _send(folder: Path, watchers: Sequence[Any]) -> str:
    run = WatchedRun(folder.resolve(), _run_info(folder))
    rounds, steps, evals = (list(_lines(folder, name)) for name in ("rounds", "steps", "evals"))
    with Watching(run, watchers) as watching:
        before = 0
        for record in rounds:
            now = [[line for line in lines if before < line["step"] <= record["step"]] for lines in (steps, evals)]
            watching.tell_records([record], *now)
            before = record["step"]
    watching.tell("end", why_stopped(folder))
    return run.name


def _lines(folder: Path, name: str) -> Iterable[Mapping[str, Any]]:
    path = folder / f"{name}.jsonl"
    return (check_whole(line, name, path) for line in read_lines(path))
