"""Upper confidence bounds that forget: D-UCB and SW-UCB of Garivier and Moulines (ALT 2011; arXiv 0805.3415)."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from optima_lab.bandits.policies.base import (
    Policy,
    Selection,
    State,
    best,
    counters,
    flat_index,
    require,
    require_fraction,
    require_positive,
)
from optima_lab.bandits.policies.discount import discount
from optima_lab.bandits.policies.ema import move_mean
from optima_lab.bandits.policies.window import slide, window_arrays, window_means


@dataclass(frozen=True)
class DiscountedUcb(Policy):
    """D-UCB: the discounted average plus a bonus for what has not been seen lately.

        N_k ← γ N_k + 1[k = a] for EVERY arm, once a round;   μ_a ← μ_a + (r − μ_a) / N_a
        index_k = μ_k + 2 B √(ξ log n / N_k),   n = Σ_k N_k;   an unplayed arm comes first

    Assumes rewards in an interval of length B and abrupt changes; the analysis wants ξ > 1/2 and γ = 1 − √(Υ/T) / (4B)
    for Υ changes in T rounds. With B far above the rewards' spread it plays nearly uniformly.

    decay: γ per round, no unit.  bound: B, in units of the reward.  xi: ξ, no unit.
    State: mean, plays = N (R, K).
    """

    decay: float = 0.98
    bound: float = 0.1
    xi: float = 0.5
    name: ClassVar[str] = "discounted_ucb"

    def __post_init__(self) -> None:
        require_fraction("decay", self.decay)
        require_positive("bound", self.bound)
        require_positive("xi", self.xi)

    def init(self, arms: int, replications: int, generator: np.random.Generator) -> State:
        return counters(arms, replications) | {"mean": np.zeros((replications, arms))}

    def select(self, state: State, generator: np.random.Generator) -> Selection:
        plays = state["plays"]
        log_n = np.log(np.maximum(plays.sum(axis=1, keepdims=True), 1.0))
        return best(state["mean"] + bonus(2 * self.bound, self.xi, log_n, plays), generator)

    def learn(self, state: State, arm: np.ndarray, reward: np.ndarray) -> None:
        cell = flat_index(state, arm)
        move_mean(state, cell, reward, 1 / discount(state, cell, self.decay))


@dataclass(frozen=True)
class SlidingUcb(Policy):
    """SW-UCB: averages and counts over the last `window` rounds, one window for all arms.

        index_k = S_k / N_k + B √(ξ log min(t, window) / N_k);   an arm without a play in the window comes first

    Assumes rewards in an interval of length B and a world that is nearly still for `window` rounds; the analysis wants
    ξ > 1/2 and a window of about 2B √(T log T / Υ) rounds for Υ changes in T rounds.

    window: rounds.  bound: B, in units of the reward.  xi: ξ, no unit.
    State: plays, sums (R, K); window_arm, window_reward (window, R).
    """

    window: int = 100
    bound: float = 0.1
    xi: float = 0.5
    name: ClassVar[str] = "sliding_ucb"

    def __post_init__(self) -> None:
        require(self.window >= 1, f"window must be at least 1 round, got {self.window}")
        require_positive("bound", self.bound)
        require_positive("xi", self.xi)

    def init(self, arms: int, replications: int, generator: np.random.Generator) -> State:
        return counters(arms, replications) | window_arrays(arms, replications, self.window)

    def select(self, state: State, generator: np.random.Generator) -> Selection:
        rounds = min(max(int(state["round"]), 1), self.window)
        return best(window_means(state) + bonus(self.bound, self.xi, np.log(rounds), state["plays"]), generator)

    def learn(self, state: State, arm: np.ndarray, reward: np.ndarray) -> None:
        slide(state, arm, reward)


def bonus(bound: float, xi: float, log_n: float | np.ndarray, plays: np.ndarray) -> np.ndarray:
    """bound · √(ξ log n / N_k) (R, K), in units of the reward; infinite for an arm that was never played."""
    width = bound * np.sqrt(xi * log_n / np.maximum(plays, 1e-12))
    return np.where(plays > 0, width, np.inf)
