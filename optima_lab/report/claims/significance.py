"""From differences to a verdict: estimates with intervals, corrected p values, and the one rule that decides a claim.

A difference is one number of one task and seed: both strategies of a pair share the teacher, the order of the data and
the student's start. What is inferred is about other seeds, for the same tasks, data, teacher and size of model.
`optima_lab.report.claims.pooling` says which of these numbers are independent; only such come here.

Few seeds bound what can be known. Flipping the signs of n differences gives 2^n equally likely worlds under the null
hypothesis, so no p value below 2/2^n: three seeds of one task reach 0.25, five reach 0.06. Two ways lead further, and
each is paid for with an assumption that stands with its function: `pooled` and `single`. `units_needed` says how many
numbers a verdict takes at all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import ceil, log2, sqrt
from typing import Any, Literal

import numpy as np

LEVEL = 0.05  # of the corrected p values; intervals are of 1 - LEVEL
RESAMPLES = 2**14 - 1  # sign flips: all of them up to 13 pairs (4 tasks × 3 seeds), else so many drawn at random
DECIDABLE = (
    2.0  # standard deviations of the differences: an effect so large must be decidable, else more seeds are needed
)
CONSTANT = 1e-12  # relative; numbers that differ by less are equal up to rounding
Verdict = Literal["holds", "does not hold", "cannot tell", "needs seeds"]
HOLDS, FAILS, UNKNOWN, NEEDS = "holds", "does not hold", "cannot tell", "needs seeds"


@dataclass(frozen=True)
class Estimate:
    """A mean difference, its 95 % interval, the two-sided p value of "no difference", and how many numbers it is of."""

    effect: float
    low: float
    high: float
    p: float
    n: int

    @property
    def evidence(self) -> float:
        """The mean in half-widths of its interval, signed: beyond ±1 the interval leaves zero out; 0 if unknown."""
        half = (self.high - self.low) / 2
        if not np.isfinite(self.effect) or not np.isfinite(half):
            return 0.0
        return float(self.effect / half) if half > 0 else float(np.sign(self.effect)) * np.inf


NOTHING = Estimate(np.nan, np.nan, np.nan, np.nan, 0)


def pooled(values: Any, tested: Any = None) -> Estimate:
    """Mean of independent pairs of several tasks, each in units of its task's scatter; p by flipping signs.

    Null hypothesis: in no task does it matter which of the pair's two strategies is which, so that every difference is
    as likely with the other sign. Under it the p value is exact (all 2^n flips, up to 13 pairs; else 16,383 at random),
    as long as what is flipped has a scale that does not change with the signs. A scatter estimated from the same
    strategies does (5 seeds of two strategies: 6.3 % instead of 5), so `tested` are the same pairs in units of the root
    mean square of their task; None: `values` themselves. The interval is Student's, of the n pairs; tasks that disagree
    widen it. The tasks are not a sample of tasks: nothing is said about a fifth, nor about any one of them.
    """
    from scipy import stats

    pairs, flipped = _finite(values, tested)
    if len(pairs) < 2:
        return _few(pairs)
    test: Any = stats.permutation_test(
        (flipped,),
        lambda sample, axis: np.mean(sample, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=RESAMPLES,
        rng=np.random.default_rng(0),
    )
    return Estimate(float(pairs.mean()), *_interval(pairs), float(test.pvalue), len(pairs))


def single(values: Any, tested: Any = None) -> Estimate:
    """Mean of one number a seed; p and interval by Student's t, which takes these numbers as normal.

    They are the differences of one task, or every seed's average over tasks (then `tested` is that average of what
    `pooled` flips, for the same reason). With three to five seeds the assumption cannot be checked; without it nothing
    could be said about one task, and averages over tasks are nearer to it than one task's. Where all numbers are equal
    there is no scatter to compare with, and p is that of flipping signs, 2/2^n.
    """
    from scipy import stats

    pairs, compared = _finite(values, tested)
    if len(pairs) < 2:
        return _few(pairs)
    if constant(compared):
        p = 1.0 if compared[0] == 0 else 2.0 ** (1 - len(compared))
    else:
        test: Any = stats.ttest_1samp(compared, 0.0)
        p = float(test.pvalue)
    return Estimate(float(pairs.mean()), *_interval(pairs), p, len(pairs))


def constant(values: np.ndarray) -> bool:
    """Whether all numbers are equal up to rounding."""
    return bool(np.ptp(values) <= CONSTANT * np.abs(values).max())


def _finite(values: Any, tested: Any) -> tuple[np.ndarray, np.ndarray]:
    array = np.asarray(values, float)
    other = array if tested is None else np.asarray(tested, float)
    finite = np.isfinite(array) & np.isfinite(other)
    return array[finite], other[finite]


def _few(pairs: np.ndarray) -> Estimate:
    return Estimate(float(pairs[0]), np.nan, np.nan, np.nan, 1) if len(pairs) else NOTHING


def _interval(pairs: np.ndarray) -> tuple[float, float]:
    """Student's interval of a mean; no width where nothing scatters."""
    from scipy import stats

    if constant(pairs):
        return float(pairs.mean()), float(pairs.mean())
    test: Any = stats.ttest_1samp(pairs, 0.0)
    interval = test.confidence_interval(1 - LEVEL)
    return float(interval.low), float(interval.high)


@cache
def units_needed(comparisons: int, flips: bool) -> int:
    """How many independent numbers a claim of so many comparisons takes before any of them can be decided.

    By flipping signs: the smallest n with 2/2^n · comparisons ≤ 5 % (Holm's first step). By Student's t: the smallest n
    at which a mean of `DECIDABLE` standard deviations reaches the corrected level.
    """
    if flips:
        return ceil(1 + log2(comparisons / LEVEL) - 1e-12)
    return next(n for n in range(2, 1000) if smallest_effect(n, comparisons) <= DECIDABLE)


def smallest_effect(n: int, comparisons: int) -> float:
    """The smallest mean, in standard deviations of n numbers, that Student's t decides after Holm; infinite for one."""
    from scipy import stats

    return float(stats.t.ppf(1 - LEVEL / (2 * comparisons), n - 1)) / sqrt(n) if n > 1 else np.inf


def holm(p: Sequence[float]) -> list[float]:
    """Holm's p values for as many comparisons: the i-th smallest times m - i + 1, never falling, at most 1.

    A comparison without a p value (NaN) counts in m and stays NaN: what is not recorded makes nothing easier.
    """
    values = np.asarray(p, float)
    corrected, largest = np.full(len(values), np.nan), 0.0
    for rank, index in enumerate(np.argsort(values)):  # NaN last
        if np.isfinite(values[index]):
            largest = max(largest, min(1.0, values[index] * (len(values) - rank)))
            corrected[index] = largest
    return corrected.tolist()


def decide(estimate: Estimate, p: float, either: bool = False) -> Verdict:
    """The verdict on "the effect is above zero", from its interval and its corrected p value.

    It holds where p is at most 5 % and the interval lies above zero, it does not hold where p is at most 5 % and the
    interval lies below; anything else cannot be told. `either`: the claim is "there is an effect", which nothing finite
    can refute, so that it holds or cannot be told.
    """
    if not (np.isfinite(p) and p <= LEVEL):
        return UNKNOWN
    if estimate.low > 0 or (either and estimate.high < 0):
        return HOLDS
    return FAILS if estimate.high < 0 and not either else UNKNOWN


def together(verdicts: Sequence[str], needs: str = "all") -> Verdict:
    """The verdict on a claim of several comparisons.

    'all' of them must hold and one that does not is enough against it; of 'any' one is enough, and all must fail. An
    open claim needs seeds where no verdict was possible: of 'all', if one comparison needs them, of 'any', if all do.
    """
    enough, against = (all, any) if needs == "all" else (any, all)
    if not verdicts:
        return UNKNOWN
    if enough(verdict == HOLDS for verdict in verdicts):
        return HOLDS
    if against(verdict == FAILS for verdict in verdicts):
        return FAILS
    undecided = [verdict for verdict in verdicts if verdict in (UNKNOWN, NEEDS)]
    return NEEDS if against(verdict == NEEDS for verdict in undecided) else UNKNOWN


def in_words(verdict: str, needs: float, replicate: str = "seed") -> str:
    """The verdict in words: itself, or 'needs 7 seeds'."""
    return f"needs {needs:.0f} {replicate}s" if verdict == NEEDS else verdict
