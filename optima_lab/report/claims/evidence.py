"""What each claim of the paper is measured by: one number for each comparison, task and seed.

A number above zero speaks for the claim. Columns are comparison, task, seed, value (in the claim's unit) and scale:
what a value of its task is divided by before tasks are pooled (1 where the unit is the same for all tasks).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from optima_lab.bandits.arms import ARMS, KEYS, LWD
from optima_lab.display import name_of
from optima_lab.report import statistics
from optima_lab.report.claims.pooling import TASK_STREAMS
from optima_lab.report.statistics import FULL, Frame, stopped

COLUMNS = ["comparison", "task", "seed", "value", "scale"]
PAIR = ["task", "seed"]
STILL = 1e-9  # points; what scatters less over seeds does so by rounding


@dataclass(frozen=True)
class Recorded:
    """All that claims are judged by: frames of the records of the main population, and the smallest
    student's.

    `speed` is what `python -m optima_lab speed` measured: seconds by model; empty where it has not run.
    """

    runs: Frame
    rounds: Frame
    evals: Frame
    tiny6: Frame = field(default_factory=pd.DataFrame)
    two_stage: Frame = field(default_factory=pd.DataFrame)
    speed: Mapping[str, Any] = field(default_factory=dict)

    @property
    def independent(self) -> bool:
        """Whether runs of one seed are independent across tasks: all of them are of streams that depend on the task."""
        parts = [runs for runs in (self.runs, self.tiny6, self.two_stage) if len(runs)]
        return all("record_version" in runs and (runs["record_version"] >= TASK_STREAMS).all() for runs in parts)


Evidence = Callable[[Recorded], Frame]


def all_stopped(recorded: Recorded) -> list[str]:
    """A line for every strategy with students that were stopped; their scores are those of their last good states."""
    return [line for runs in (recorded.runs, recorded.two_stage, recorded.tiny6) for line in stopped(runs).values()]


def scores(runs: Frame) -> Frame:
    """Test scores of finished runs: a row for each task and seed, a column for each strategy."""
    if runs.empty:
        return pd.DataFrame(index=pd.MultiIndex.from_tuples([], names=PAIR))
    finished = runs[runs["done"].astype(bool) & np.isfinite(runs["score_test"].astype(float))]
    return finished.pivot_table(index=PAIR, columns="strategy", values="score_test")


def scatter(wide: Frame) -> pd.Series:
    """The typical scatter over seeds in each task: the median over strategies of their standard deviation; NaN at one.

    Each is divided by the median of the standard deviation of so many normal numbers of scatter one (0.83 of three,
    0.92 of five), so that few seeds do not make effects look larger. Where more than half of the strategies do not
    scatter at all, it is the root mean square over strategies; 0 where none does. It belongs to the task and not to a
    comparison, so that three seeds do not have to estimate it anew each time.
    """
    groups = wide.groupby("task")
    deviations = groups.std(ddof=1) / _median_deviation(groups.count())
    typical = deviations.median(axis=1)
    roots = np.sqrt((deviations**2).mean(axis=1))
    spread = typical.where(typical > STILL, roots)
    return spread.where(~(spread <= STILL), 0.0)


def _median_deviation(n: Frame) -> Frame:
    """Median of the standard deviation of n normal numbers of scatter one: √(median of χ²(n - 1) / (n - 1))."""
    from scipy import stats

    free = (n - 1).where(n > 1)
    return np.sqrt(stats.chi2.median(free) / free)


def between(wide: Frame, pairs: Mapping[str, tuple[str, str]], scale: pd.Series | None = None) -> Frame:
    """First minus second strategy of every pair {comparison: (first, second)} that is recorded."""
    scale = scatter(wide) if scale is None else scale
    parts = [
        evidence(comparison, wide[first] - wide[second], scale)
        for comparison, (first, second) in pairs.items()
        if {first, second} <= set(wide.columns)
    ]
    return stacked(parts)


def evidence(comparison: str, values: Any, scale: pd.Series | float = 1.0) -> Frame:
    """Rows of one comparison from values indexed by task and seed."""
    rows = values.dropna().rename("value").reset_index()
    by_task = rows["task"].map(scale.to_dict()) if isinstance(scale, pd.Series) else scale
    return rows.assign(comparison=comparison, scale=by_task)[COLUMNS]


def stacked(parts: Sequence[Frame]) -> Frame:
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=COLUMNS)


def beats(first: str, others: Sequence[str]) -> Evidence:
    """`first` minus each of the others, in points of the task's score."""
    return lambda recorded: between(scores(recorded.runs), _pairs([(first, other) for other in others]))


def _pairs(pairs: Sequence[tuple[str, str]]) -> dict[str, tuple[str, str]]:
    """Pairs of strategies by what their comparison is called: 'OPTIMA − Random'."""
    return {f"{name_of(first)} − {name_of(second)}": (first, second) for first, second in pairs}


def modules_differ(recorded: Recorded) -> Frame:
    """Fig. 1: every pair of students that are distilled in one module."""
    img, txt, multi = KEYS[:3]
    return between(scores(recorded.runs), _pairs([(multi, img), (multi, txt), (txt, img)]))


def fewer_is_better(recorded: Recorded) -> Frame:
    """Fig. 3: every arm of fewer modules minus the arm of all."""
    return between(scores(recorded.runs), _pairs([(arm, FULL) for arm in KEYS if arm != FULL]))


def small_student(recorded: Recorded) -> Frame:
    """Table 1, lower half: OPTIMA minus LWD for the smallest student, taught in two stages as the paper does."""
    return between(scores(recorded.two_stage), {f"OPTIMA − {name_of(FULL)}, smallest": ("optima", FULL)})


def two_stages(recorded: Recorded) -> Frame:
    """A.4: the smallest student of a middle-sized teacher minus that of the large one, same strategy and seed."""
    one, two = scores(recorded.tiny6), scores(recorded.two_stage)
    joined = one.add_suffix(" one").join(two.add_suffix(" two"), how="inner")
    pairs = {f"two stages − one, {name_of(key)}": (f"{key} two", f"{key} one") for key in (FULL, "optima")}
    return between(joined, pairs)


def lower_losses(recorded: Recorded) -> Frame:
    """Fig. 4: LWD's minus OPTIMA's prediction loss and KL, on the dev split at the end of training (nats)."""
    evals = statistics.recorded(recorded.evals)
    chosen = evals[(evals["split"] == "dev") & evals["strategy"].isin(["optima", FULL])].sort_values("step")
    parts = []
    for metric, label in (("prediction_loss", "prediction loss"), ("kl", "KL")):
        last = chosen[chosen["metric"] == metric].groupby([*PAIR, "strategy"])["value"].last().unstack()
        parts.append(between(last.astype(float), {f"{label}: {name_of(FULL)} − OPTIMA": (FULL, "optima")}))
    return stacked(parts)


def variants(runs: Frame, setting: str, policy: str = "optima") -> Frame:
    """Test scores of a policy's finished runs that differ in one setting at most: a column for each of its values."""
    if runs.empty:
        return scores(runs)
    only = np.array([set(own) <= {setting} for own in runs["own"].tolist()], bool)
    finished = runs[(runs["policy"] == policy) & only & runs["done"].astype(bool)]
    return finished.pivot_table(index=PAIR, columns=setting, values="score_test")


def combined_reward(recorded: Recorded) -> Frame:
    """Fig. 7: OPTIMA by all three losses minus OPTIMA by KL alone, and by hidden states and attention alone."""
    wide = variants(recorded.runs, "reward")
    pairs = {"all − KL only": ("all", "kl"), "all − hidden and attention only": ("all", "layers")}
    return between(wide, pairs, scatter(scores(recorded.runs)))


def inner_halflife(recorded: Recorded) -> Frame:
    """Fig. 8: the mean score of all half-lives between, minus that of the shortest, and of the longest.

    The mean, not the best of them: the best of several is above the ends by chance alone.
    """
    wide = variants(recorded.runs, "decay")
    if wide.shape[1] < 3:
        return stacked([])
    inner = wide.iloc[:, 1:-1].mean(axis=1, skipna=False)
    scale = scatter(scores(recorded.runs))
    ends = {"inner half-lives − shortest": wide.iloc[:, 0], "inner half-lives − longest": wide.iloc[:, -1]}
    return stacked([evidence(comparison, inner - end, scale) for comparison, end in ends.items()])


def modules_spared(recorded: Recorded) -> Frame:
    """§6: the share of the modules that LWD matches (all, in every round) which OPTIMA does not match."""
    rounds = statistics.recorded(recorded.rounds)
    chosen = rounds[(rounds["strategy"] == "optima") & rounds["arm"].isin(KEYS)]
    sizes = dict(zip(KEYS, (len(arm) for arm in ARMS), strict=True))
    matched = chosen["arm"].map(sizes).astype(float).groupby([chosen[name] for name in PAIR]).mean()
    return evidence("1 − modules matched by OPTIMA / by LWD", 1 - matched / len(LWD))


def speedups(recorded: Recorded) -> Frame:
    """Table 1: log of the measured speed-up over nine tenths of the reported one, once for each repetition.

    Repetitions are interleaved, so the k-th of two models are a pair: seconds of Large over seconds of the student.
    They stand in the column of seeds but are none: other repetitions on this device are all that is inferred.
    """
    measured = recorded.speed.get("models", {})
    parts = []
    for model in ("Tiny12", "Tiny6"):
        if measured.get(model) and measured.get("Large"):
            length = min(len(measured["Large"]), len(measured[model]))
            ratio = np.divide(measured["Large"][:length], measured[model][:length])
            reported = statistics.reported_speedup(f"CoCa-{model}")
            index = pd.MultiIndex.from_product([["inference"], range(length)], names=PAIR)
            parts.append(evidence(f"{model}: {reported:g}×", pd.Series(np.log(ratio / (0.9 * reported)), index)))
    return stacked(parts)
