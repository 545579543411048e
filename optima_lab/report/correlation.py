"""Do the sampler's means tell how good an arm is (Fig. 5 right of arXiv 2310.04550)? Correlations with intervals."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from optima_lab.bandits.arms import KEYS
from optima_lab.display import base
from optima_lab.report import statistics
from optima_lab.report.statistics import REPLICATE, Frame


@dataclass(frozen=True)
class Interval:
    """A correlation with its 95 % confidence interval; NaN where it is not defined."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Correlation:
    """Means μ_k against scores. `within` is the mean rank correlation of the arms at one checkpoint."""

    pairs: Frame  # experiment, seed, step, arm, mean, score
    split: str
    pearson: Interval
    spearman: Interval
    within: float

    @property
    def n(self) -> int:
        """Number of (checkpoint, arm) pairs."""
        return len(self.pairs)


def mean_against_score(rounds: Frame, evals: Frame, strategy: str = "optima") -> Correlation:
    """Fig. 5 right: μ_k of `strategy` against the score of the student that always distils arm k, at the same step.

    Scores are of the test split where it was evaluated during training, else of the dev split. The first T0·K rounds
    are left out: μ_k is no posterior mean yet.
    """
    fixed = evals["strategy"].map(base)
    scores = evals.assign(strategy=fixed)[(evals["metric"] == "score") & fixed.isin(KEYS)]
    split = "test" if scores.loc[scores["split"] == "test", "step"].nunique() > 1 else "dev"
    scores = scores.loc[scores["split"] == split, [*REPLICATE, "step", "strategy", "value"]]
    scores = scores.rename(columns={"strategy": "arm", "value": "score"})
    posterior = statistics.means(rounds, strategy)
    posterior = posterior[~posterior["initial"].astype(bool)]
    pairs = posterior.merge(scores, on=[*REPLICATE, "step", "arm"])
    pairs = pairs[np.isfinite(pairs["mean"].astype(float)) & np.isfinite(pairs["score"].astype(float))]
    pairs = pairs[[*REPLICATE, "step", "arm", "mean", "score"]].reset_index(drop=True)
    return Correlation(pairs, split, _pearson(pairs), _spearman(pairs), _within(pairs))


def _defined(pairs: Frame) -> bool:
    return len(pairs) > 3 and pairs["mean"].nunique() > 1 and pairs["score"].nunique() > 1


def _pearson(pairs: Frame) -> Interval:
    """Pearson's r; its interval by Fisher's transformation."""
    from scipy import stats

    if not _defined(pairs):
        return Interval(np.nan, np.nan, np.nan)
    result: Any = stats.pearsonr(pairs["mean"].to_numpy(float), pairs["score"].to_numpy(float))
    interval = result.confidence_interval(0.95)
    return Interval(float(result.statistic), float(interval.low), float(interval.high))


def _spearman(pairs: Frame) -> Interval:
    """Spearman's ρ; its interval by Fisher's transformation with Bonett and Wright's variance (1 + ρ²/2)/(n - 3)."""
    from scipy import stats

    if not _defined(pairs):
        return Interval(np.nan, np.nan, np.nan)
    ranks: Any = stats.spearmanr(pairs["mean"], pairs["score"])
    rho = float(ranks.statistic)
    half = stats.norm.ppf(0.975) * np.sqrt((1 + rho**2 / 2) / (len(pairs) - 3))
    centre = np.arctanh(np.clip(rho, -1 + 1e-12, 1 - 1e-12))
    return Interval(rho, float(np.tanh(centre - half)), float(np.tanh(centre + half)))


def _within(pairs: Frame) -> float:
    """Spearman's ρ of the arms at one step of one experiment, averaged: free of what training does to all of them."""
    from scipy import stats

    groups = [group for _, group in pairs.groupby([*REPLICATE, "step"]) if _defined(group)]
    ranks: list[Any] = [stats.spearmanr(group["mean"], group["score"]) for group in groups]
    return float(np.mean([rank.statistic for rank in ranks])) if ranks else float("nan")
