"""`--tensorboard`: losses, rewards, posteriors and arms live, beside the records and never instead of them."""

import os
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from optima_lab.bandits.arms import LABELS
from optima_lab.errors import ConfigError

SWITCH = "OPTIMA_LAB_TENSORBOARD"  # of the environment, so that the processes of a sweep have it, too
FOLDER = "tensorboard"  # within a run's folder
Line = Mapping[str, Any]


def switch_on() -> None:
    """Let this process and those it starts log. Raises ConfigError where the extra is not installed."""
    if find_spec("tensorboard") is None:
        raise ConfigError("tensorboard needs the optional extra: pip install 'optima-lab[tensorboard]'")
    os.environ[SWITCH] = "1"


def show(folder: Path, rounds: Iterable[Line], steps: Iterable[Line], evals: Iterable[Line]) -> None:
    """Log what one run has recorded since the last call; nothing where `switch_on` was not called."""
    if os.environ.get(SWITCH) != "1":
        return
    board = _board(folder / FOLDER)
    for name, value, step in _scalars(rounds, steps, evals):
        if isinstance(value, int | float):
            board.add_scalar(name, value, step)
    board.flush()


def _scalars(
    rounds: Iterable[Line], steps: Iterable[Line], evals: Iterable[Line]
) -> Iterable[tuple[str, float | None, int]]:
    """(name, value, step) of every number; an arm is its place among LABELS, from 0."""
    for line in steps:
        yield from ((f"loss/{name}", value, line["step"]) for name, value in line.items() if name not in ("step", "lr"))
        yield "lr", line.get("lr"), line["step"]
    for line in rounds:
        step = line["step"]
        yield "reward", line.get("reward"), step
        yield "arm", LABELS.index(line["arm"]) if line.get("arm") in LABELS else None, step
        for name, values in (("posterior mean", line.get("mean_after")), ("plays", line.get("plays_after"))):
            yield from ((f"{name}/{label}", value, step) for label, value in _by_arm(values))
    for line in evals:
        yield f"{line['split']}/{line['metric']}", line["value"], line["step"]


def _by_arm(values: Sequence[float] | None) -> Iterable[tuple[str, float]]:
    return zip(LABELS, values, strict=True) if values else ()


@cache
def _board(folder: Path) -> Any:
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder))
