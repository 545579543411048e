"""`--tensorboard`: losses, rewards, posteriors and arms live, beside the records and never instead of them."""

import os
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from optima_lab.bandits.arms import COCA, Arms
from optima_lab.errors import ConfigError

SWITCH = "OPTIMA_LAB_TENSORBOARD"  # of the environment, so that the processes of a sweep have it, too
FOLDER = "tensorboard"  # within a run's folder
LISTED = 6  # modules whose arms, 63 at most, have beliefs of their own in records
Line = Mapping[str, Any]


def switch_on() -> None:
    """Let this process and those it starts log. Raises ConfigError where the extra is not installed."""
    if find_spec("tensorboard") is None:
        raise ConfigError("tensorboard needs the optional extra: pip install 'optima-lab[tensorboard]'")
    os.environ[SWITCH] = "1"


def show(
    folder: Path, rounds: Iterable[Line], steps: Iterable[Line], evals: Iterable[Line] = (), arms: Arms = COCA
) -> None:
    """Log what one run has recorded since the last call; nothing where `switch_on` was not called.

    arms: of the run; `optima.arms` of a loop of one's own, whose lines are `optima.rounds.records`.
    """
    if os.environ.get(SWITCH) != "1":
        return
    board = _board(folder / FOLDER)
    for name, value, step in _scalars(rounds, steps, evals, arms):
        if isinstance(value, int | float):
            board.add_scalar(name, value, step)
    board.flush()


def _scalars(
    rounds: Iterable[Line], steps: Iterable[Line], evals: Iterable[Line], arms: Arms = COCA
) -> Iterable[tuple[str, float | None, int]]:
    """(name, value, step) of every number; an arm is its place among all, from 0, and which modules are in it."""
    labels = arms.labels if len(arms.modules) <= LISTED else ()
    for line in steps:
        yield from ((f"loss/{name}", value, line["step"]) for name, value in line.items() if name not in ("step", "lr"))
        yield "lr", line.get("lr"), line["step"]
    for line in rounds:
        step = line["step"]
        yield "reward", line.get("reward"), step
        yield "arm", labels.index(line["arm"]) if line.get("arm") in labels else None, step
        inside = (line.get("arm") or "").split("+")
        yield from ((f"in the arm/{short}", float(short in inside), step) for short in arms.shorts)
        for name, key, names in (
            ("posterior mean", "mean_after", labels),
            ("plays", "plays_after", labels),
            ("contribution", "theta_after", arms.shorts),
        ):
            yield from ((f"{name}/{each}", value, step) for each, value in _named(names, line.get(key)))
    for line in evals:
        yield f"{line['split']}/{line['metric']}", line["value"], line["step"]


def _named(names: Sequence[str], values: Sequence[float] | None) -> Iterable[tuple[str, float]]:
    return zip(names, values or (), strict=False)  # θ has the base last


@cache
def _board(folder: Path) -> Any:
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder))
