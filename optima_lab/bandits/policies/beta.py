"""Beta Thompson sampling for rewards in a known range: plain, discounted and windowed."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from optima_lab.bandits.policies.base import (
    Policy,
    Posterior,
    Selection,
    State,
    best,
    count_play,
    counters,
    flat_index,
    require,
    require_fraction,
    require_positive,
)
from optima_lab.bandits.policies.discount import discount
from optima_lab.bandits.policies.window import slide, window_arrays


@dataclass(frozen=True)
class BetaThompson(Policy):
    """Thompson sampling for a world that stands still (Thompson 1933; Chapelle and Li 2011).

        r̂_k / reward_max ~ Beta(prior + S_k, prior + N_k − S_k),   S_a ← S_a + r / reward_max,   N_a ← N_a + 1

    Exact Bayes for rewards of 0 and 1; a reward between them counts as that fraction of a success (on average
    Agrawal and Goyal's coin toss, 2012). Assumes that nothing changes.

    reward_max: upper end of the rewards' range [0, reward_max]; a reward outside is refused.  prior: pseudo-counts.
    State: plays, success (R, K).
    """

    reward_max: float = 1.0
    prior: float = 1.0
    name: ClassVar[str] = "beta_ts"

    def __post_init__(self) -> None:
        require_positive("reward_max", self.reward_max)
        require_positive("prior", self.prior)

    def init(self, arms: int, replications: int, generator: np.random.Generator) -> State:
        return counters(arms, replications) | {"success": np.zeros((replications, arms))}

    def posterior(self, state: State) -> Posterior:
        return beta_moments(state["success"], state["plays"], self.prior, self.reward_max)

    def select(self, state: State, generator: np.random.Generator) -> Selection:
        return best(draw_beta(state["success"], state["plays"], self.prior, self.reward_max, generator), generator)

    def learn(self, state: State, arm: np.ndarray, reward: np.ndarray) -> None:
        cell = flat_index(state, arm)
        state["success"].ravel()[cell] += in_range(reward, self.reward_max)
        count_play(state, cell)


@dataclass(frozen=True)
class DiscountedBetaThompson(Policy):
    """Discounted Thompson sampling, dTS of Raj and Kalyani (arXiv 1707.09727).

        S_k ← γ S_k + 1[k = a] r / reward_max,   N_k ← γ N_k + 1[k = a]   for EVERY arm, once a round
        r̂_k / reward_max ~ Beta(prior + S_k, prior + N_k − S_k)

    The prior is not discounted: an arm left alone drifts back to it. At most 1/(1 − γ) rounds count. Assumes rewards in
    [0, reward_max], changes at any time.

    decay: γ per round, no unit.  reward_max: upper end of the range, in units of the reward.  prior: pseudo-counts.
    State: plays = N, success = S (R, K).
    """

    decay: float = 0.98
    reward_max: float = 1.0
    prior: float = 1.0
    name: ClassVar[str] = "beta_dts"

    def __post_init__(self) -> None:
        require_fraction("decay", self.decay)
        BetaThompson(self.reward_max, self.prior)

    def init(self, arms: int, replications: int, generator: np.random.Generator) -> State:
        return BetaThompson().init(arms, replications, generator)

    def posterior(self, state: State) -> Posterior:
        return beta_moments(state["success"], state["plays"], self.prior, self.reward_max)

    def select(self, state: State, generator: np.random.Generator) -> Selection:
        return best(draw_beta(state["success"], state["plays"], self.prior, self.reward_max, generator), generator)

    def learn(self, state: State, arm: np.ndarray, reward: np.ndarray) -> None:
        gained, cell = in_range(reward, self.reward_max), flat_index(state, arm)
        state["success"] *= self.decay
        state["success"].ravel()[cell] += gained
        discount(state, cell, self.decay)


@dataclass(frozen=True)
class SlidingBetaThompson(Policy):
    """Sliding-window Thompson sampling, Beta-SWTS of Trovò, Paladino, Restelli and Gatti (JAIR 68, 2020).

        r̂_k / reward_max ~ Beta(prior + S_k, prior + N_k − S_k)   over the last `window` rounds, one window for all arms

    Assumes rewards in [0, reward_max] and a world that is nearly still for `window` rounds.

    window: rounds.  reward_max: upper end of the range, in units of the reward.  prior: pseudo-counts.
    State: plays, sums (R, K), sums in units of reward_max; window_arm, window_reward (window, R).
    """

    window: int = 100
    reward_max: float = 1.0
    prior: float = 1.0
    name: ClassVar[str] = "beta_swts"

    def __post_init__(self) -> None:
        require(self.window >= 1, f"window must be at least 1 round, got {self.window}")
        BetaThompson(self.reward_max, self.prior)

    def init(self, arms: int, replications: int, generator: np.random.Generator) -> State:
        return counters(arms, replications) | window_arrays(arms, replications, self.window)

    def posterior(self, state: State) -> Posterior:
        return beta_moments(state["sums"], state["plays"], self.prior, self.reward_max)

    def select(self, state: State, generator: np.random.Generator) -> Selection:
        return best(draw_beta(state["sums"], state["plays"], self.prior, self.reward_max, generator), generator)

    def learn(self, state: State, arm: np.ndarray, reward: np.ndarray) -> None:
        slide(state, arm, in_range(reward, self.reward_max))


def in_range(reward: np.ndarray, reward_max: float) -> np.ndarray:
    """Rewards in units of reward_max. Raises ConfigError with the first one outside [0, reward_max]."""
    if reward.min() < 0 or reward.max() > reward_max:
        wrong = reward[(reward < 0) | (reward > reward_max)][0]
        require(False, f"reward must be in [0, {reward_max:g}] for this policy (its reward_max), got {wrong:.6g}")
    return reward / reward_max


def shapes(success: np.ndarray, plays: np.ndarray, prior: float) -> tuple[np.ndarray, np.ndarray]:
    """The Beta's two parameters; rounding in sliding sums may cost a hair, but never makes one fall below the prior."""
    return prior + np.maximum(success, 0.0), prior + np.maximum(plays - success, 0.0)


def draw_beta(
    success: np.ndarray, plays: np.ndarray, prior: float, reward_max: float, generator: np.random.Generator
) -> np.ndarray:
    """r̂ (R, K) in units of the reward: one independent Beta draw per arm."""
    return reward_max * generator.beta(*shapes(success, plays, prior))


def beta_moments(success: np.ndarray, plays: np.ndarray, prior: float, reward_max: float) -> Posterior:
    """Mean and standard deviation of the Beta posterior: αβ / ((α+β)² (α+β+1)) is the variance."""
    a, b = shapes(success, plays, prior)
    total = a + b
    return Posterior(reward_max * a / total, reward_max * np.sqrt(a * b / (total + 1)) / total)
