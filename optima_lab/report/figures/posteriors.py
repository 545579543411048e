"""The posterior that a sampler drew from in one recorded round: its own width, not the one that Eq. 2 would give it."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from optima_lab.bandits.posterior import SHARED_NOISE, replay_posterior
from optima_lab.report.statistics import arm_keys, is_vector

VECTORS = ("draws", "mean_before", "plays_before")


@dataclass(frozen=True)
class Draw:
    """One round of Thompson sampling; every array is (K,).

    `deviation` is NaN where the record does not say how wide the sampler's posterior was.
    """

    round: int
    policy: str
    mean: np.ndarray
    deviation: np.ndarray
    plays: np.ndarray
    draws: np.ndarray

    @property
    def noise(self) -> float:
        """σ of N(μ, σ²/(n + 1)), in units of the reward; NaN for a posterior of another form or of unknown width."""
        sigma = self.deviation * np.sqrt(self.plays + 1)
        return float(sigma[0]) if self.policy in SHARED_NOISE and np.allclose(sigma, sigma[0]) else float("nan")

    @property
    def width(self) -> str:
        """A sentence on how wide the posteriors are, and whence that is known."""
        if not np.isfinite(self.deviation).all():
            return "how wide its posteriors were is not recorded: only their means and this round's draws are shown"
        if not np.isfinite(self.noise):
            low, high = self.deviation.min(), self.deviation.max()
            return f"posteriors are as wide as {self.policy} held them: standard deviations {low:.3g} to {high:.3g}"
        basis = "set beforehand"
        if self.policy == "optima_calibrated":
            two = self.plays.max() >= 2  # an arm's first reward surprises nothing
            basis = "estimated from the rewards so far" if two else "to begin with: no arm has two rewards yet"
        paper = "" if self.noise == 1 else "; the paper has σ = 1"
        return f"a posterior narrows with the plays n of its arm: N(μ, σ²/(n + 1)), σ = {self.noise:.3g} {basis}{paper}"


def draw_of(rounds: pd.DataFrame, strategy: str, number: int = 0, seed: int | None = None) -> Draw | None:
    """Round `number` of a strategy, 0: its first after the initial plays; None where no such round has draws recorded.

    rounds: `optima_lab.experiments.records.read_rounds`. `seed` defaults to the first recorded.
    """
    run = rounds[rounds["strategy"] == strategy]
    arms = arm_keys(rounds)
    held = [run[name].map(lambda it: is_vector(it, len(arms))).to_numpy(bool) for name in VECTORS]
    drawn = run[np.logical_and.reduce(held)]
    drawn = drawn if seed is None else drawn[drawn["seed"] == seed]
    drawn = drawn[drawn["round"] == number] if number else drawn[~drawn["initial"].astype(bool)]
    if drawn.empty:
        return None
    row = drawn.sort_values(["seed", "round"]).iloc[0]
    draws, mean, plays = (np.asarray(row[name], float) for name in VECTORS)
    before = run[(run["experiment"] == row["experiment"]) & (run["seed"] == row["seed"])].sort_values("round")
    before = before[before["round"] < row["round"]]
    policy = str(row.get("policy") or "")
    return Draw(int(row["round"]), policy, mean, _deviation(before, row, mean, arms), plays, draws)


def _deviation(before: pd.DataFrame, row: pd.Series, mean: np.ndarray, arms: tuple[str, ...]) -> np.ndarray:
    """(K,) that the sampler held after the rounds `before` `row`; NaN where these do not lead to its recorded mean."""
    unknown = np.full(len(arms), np.nan)
    parameters = row.get("parameters")
    if not isinstance(parameters, dict) or before["round"].tolist() != list(range(1, int(row["round"]))):
        return unknown
    arm = np.array([arms.index(name) if name in arms else -1 for name in before["arm"]], np.int64)
    belief = replay_posterior(str(row.get("policy")), parameters, arm, before["reward"].to_numpy(float), len(arms))
    same = belief is not None and np.allclose(belief.mean[-1], mean, atol=1e-9)
    return belief.deviation[-1] if belief is not None and same else unknown
