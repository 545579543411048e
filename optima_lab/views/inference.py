"""From differences to a verdict: estimates with intervals, corrected p values, and the one rule that decides a claim.

A difference is one number of one task and seed: both strategies of a pair share the teacher, the order of the data and
the student's start. What is inferred is about other seeds, for the same tasks, data, teacher and size of model.

Few seeds bound what can be known. Flipping the signs of n differences gives 2^n equally likely worlds under the null
hypothesis, so no p value below 2/2^n: three seeds of one task reach 0.25, five reach 0.06. Two ways lead further, and
each is paid for with an assumption that stands with its function: `pooled` and `single`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

LEVEL = 0.05  # of the corrected p values; intervals are of 1 - LEVEL
RESAMPLES = 2**14 - 1  # sign flips: all of them up to 13 pairs (4 tasks × 3 seeds), else so many drawn at random
Verdict = Literal["holds", "does not hold", "cannot tell"]
HOLDS, FAILS, UNKNOWN = "holds", "does not hold", "cannot tell"


@dataclass(frozen=True)
class Estimate:
    """A mean difference, its 95 % interval, the two-sided p value of "no difference", and the number of pairs."""

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


def pooled(values: Any) -> Estimate:
    """Mean of the pairs of all tasks and seeds, each in units of its task's scatter; p by flipping signs.

    Null hypothesis: in no task does it matter which of the pair's two strategies is which, so that every difference is
    as likely with the other sign. Under it the p value is exact (all 2^n flips, up to 13 pairs; else 16,383 at random).
    The interval is Student's, of the n pairs; tasks that disagree widen it, so that it is no narrower than one for
    these very tasks would be. The tasks are not a sample of tasks: nothing is said about a fifth.
    """
    from scipy import stats

    pairs = _finite(values)
    if len(pairs) < 2:
        return _few(pairs)
    test: Any = stats.permutation_test(
        (pairs,),
        lambda sample, axis: np.mean(sample, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=RESAMPLES,
        rng=np.random.default_rng(0),
    )
    return Estimate(float(pairs.mean()), *_interval(pairs), float(test.pvalue), len(pairs))


def single(values: Any) -> Estimate:
    """Mean of one task's seeds; p and interval by Student's t, which takes seeds' differences as normal.

    With three to five seeds this assumption cannot be checked; without it nothing could be said about one task. Where
    all differences are equal there is no scatter to compare with, and p is that of flipping signs, 2/2^n.
    """
    from scipy import stats

    pairs = _finite(values)
    if len(pairs) < 2:
        return _few(pairs)
    if np.ptp(pairs) <= 1e-12 * np.abs(pairs).max():
        p = 1.0 if pairs[0] == 0 else 2.0 ** (1 - len(pairs))
    else:
        test: Any = stats.ttest_1samp(pairs, 0.0)
        p = float(test.pvalue)
    return Estimate(float(pairs.mean()), *_interval(pairs), p, len(pairs))


def _finite(values: Any) -> np.ndarray:
    array = np.asarray(values, float)
    return array[np.isfinite(array)]


def _few(pairs: np.ndarray) -> Estimate:
    return Estimate(float(pairs[0]), np.nan, np.nan, np.nan, 1) if len(pairs) else NOTHING


def _interval(pairs: np.ndarray) -> tuple[float, float]:
    """Student's interval of a mean: mean ± t(n - 1) · sd/√n."""
    from scipy import stats

    half = stats.t.ppf(1 - LEVEL / 2, len(pairs) - 1) * pairs.std(ddof=1) / np.sqrt(len(pairs))
    return float(pairs.mean() - half), float(pairs.mean() + half)


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

    'all' of them must hold and one that does not is enough against it; of 'any' one is enough, and all must fail.
    """
    enough, against = (all, any) if needs == "all" else (any, all)
    if not verdicts:
        return UNKNOWN
    if enough(verdict == HOLDS for verdict in verdicts):
        return HOLDS
    return FAILS if against(verdict == FAILS for verdict in verdicts) else UNKNOWN
