"""What is independent in the differences of one comparison: the numbers that an estimate over tasks is made of.

Random streams that do not depend on the task (records before `TASK_STREAMS`) let one seed's runs do nearly the same on
all tasks: Random plays the same arm in every round. There a seed is one number, its average over tasks. Later records
have a stream for each task and seed, and every pair of them is one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from optima_lab.display import task_title
from optima_lab.report.claims.significance import Estimate, pooled, single
from optima_lab.report.statistics import Frame

TASK_STREAMS = 4  # the first record version whose random streams depend on the task
FLIPPED = "mean paired difference over tasks and seeds; signs flipped"
AVERAGED = "mean over seeds of each seed's average paired difference over tasks; Student's t"
SINGLE = "mean paired difference over the task's seeds; Student's t"


@dataclass(frozen=True)
class Pool:
    """Independent numbers of one comparison, in units of scatter (`values`) and of a scale for the test (`tested`).

    `seeds` and `tasks` are those in it. `left_out` says in words what is not, and why; `alone` are tasks in which
    nothing scatters although there is a difference: no unit to pool them in, so that they are judged for themselves.
    """

    values: np.ndarray
    tested: np.ndarray
    statistic: str
    seeds: int = 0
    tasks: int = 0
    left_out: tuple[str, ...] = ()
    alone: tuple[str, ...] = field(default=())

    @property
    def estimate(self) -> Estimate:
        """Their mean with interval and p."""
        return (pooled if self.flips else single)(self.values, self.tested)

    @property
    def flips(self) -> bool:
        """Whether p comes from flipping signs."""
        return self.statistic == FLIPPED


def pool(rows: Frame, independent: bool) -> Pool:
    """The independent numbers of one comparison's rows (task, seed, value, scale): a row a number, or a seed.

    A task whose scatter is unknown (one seed) is left out, and so are, where a seed is the unit, seeds that lack one of
    the tasks: their averages would be of something else. One task alone has a number a seed in any case.
    """
    rows = rows.astype({"value": float, "scale": float})
    unknown, alone = _unknown(rows), _alone(rows)
    usable = rows[~rows["task"].isin([*unknown, *alone])]
    left_out = [f"{task_title(task)} (one seed has no scatter)" for task in unknown]
    scaled, tested = _by_scale(usable), _by_root_mean_square(usable)
    several = usable["task"].nunique() > 1
    if several and not independent:
        whole = _complete(usable)
        left_out += [f"seed {seed} (not all tasks)" for seed in sorted(set(usable["seed"]) - set(whole))]
        both = (numbers.groupby(usable["seed"]).mean().loc[whole] for numbers in (scaled, tested))
        values, flat = (numbers.to_numpy(float) for numbers in both)
    else:
        values, flat, whole = scaled.to_numpy(float), tested.to_numpy(float), list(usable["seed"].unique())
    how = SINGLE if not several else FLIPPED if independent else AVERAGED
    return Pool(values, flat, how, len(whole), usable["task"].nunique(), tuple(left_out), tuple(alone))


def _unknown(rows: Frame) -> list[str]:
    """Tasks without a scatter to divide by."""
    return [str(task) for task in dict.fromkeys(rows.loc[~np.isfinite(rows["scale"]), "task"])]


def _alone(rows: Frame) -> list[str]:
    """Tasks in which no strategy scatters over seeds, and yet these two differ."""
    still = rows[rows["scale"] == 0]
    return [str(task) for task, values in still.groupby("task", sort=False)["value"] if (values != 0).any()]


def _complete(rows: Frame) -> list[int]:
    """The seeds that have every task of the rows."""
    counts = rows.groupby("seed")["task"].nunique()
    return [int(seed) for seed in counts.index[counts == rows["task"].nunique()]]


def _by_scale(rows: Frame) -> pd.Series:
    """Values in units of their scale; 0 stays 0 where nothing scatters."""
    return (rows["value"] / rows["scale"].where(rows["scale"] > 0, 1.0)).astype(float)


def _by_root_mean_square(rows: Frame) -> pd.Series:
    """Values in units of the root mean square of their task's, which no flip of signs changes; 0 stays 0."""
    root = (rows["value"] ** 2).groupby(rows["task"]).transform("mean") ** 0.5
    return (rows["value"] / root.where(root > 0, 1.0)).astype(float)


def titles(tasks: Sequence[str]) -> str:
    """'VQA, NLVR2' of tasks' names."""
    return ", ".join(map(task_title, tasks))
