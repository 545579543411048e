"""CUSUM-UCB: watch every arm for a change of its mean and start it afresh when there is one."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from optima_lab.bandits.policies.base import (
    Policy,
    Selection,
    State,
    count_play,
    counters,
    flat_index,
    require,
    require_fraction,
    require_positive,
    top_arm,
)
from optima_lab.bandits.policies.ema import move_mean
from optima_lab.bandits.policies.ucb import bonus


@dataclass(frozen=True)
class CusumUcb(Policy):
    """CUSUM-UCB of Liu, Lee and Shroff (AAAI 2018; arXiv 1711.03539).

    With y = r / bound, u the average of an arm's first `warmup` rewards since its last restart, and after them

        g⁺ ← max(0, g⁺ + y − u − slack),   g⁻ ← max(0, g⁻ + u − y − slack),   alarm if either exceeds `threshold`

    An alarm restarts that arm alone. With probability `exploration` a round plays any arm, else that of the highest

        index_k = μ_k + bound √(ξ log n / N_k),   n = Σ_k N_k, all since each arm's restart; an unplayed arm comes first

    Assumes piecewise-stationary rewards in an interval of length `bound`, and changes larger than `slack`.

    warmup: plays of an arm.  slack, threshold: in units of `bound`.  bound: in units of the reward.
    exploration, xi: no unit.
    State: mean, plays since restart, base = Σ of the warm-up's y, rise = g⁺, fall = g⁻ (R, K); alarm (R,) of the last
    round.
    """

    warmup: int = 20
    slack: float = 0.1
    threshold: float = 2.0
    exploration: float = 0.05
    bound: float = 0.1
    xi: float = 1.0
    name: ClassVar[str] = "cusum_ucb"

    def __post_init__(self) -> None:
        require(self.warmup >= 1, f"warmup must be at least 1 play, got {self.warmup}")
        require_positive("slack", self.slack, zero=True)
        require_positive("threshold", self.threshold)
        require_fraction("exploration", self.exploration, zero=True, one=True)
        require_positive("bound", self.bound)
        require_positive("xi", self.xi)

    def init(self, arms: int, replications: int, generator: np.random.Generator) -> State:
        names = ("mean", "base", "rise", "fall")
        zeros = {name: np.zeros((replications, arms)) for name in names}
        return counters(arms, replications) | zeros | {"alarm": np.zeros(replications, bool)}

    def select(self, state: State, generator: np.random.Generator) -> Selection:
        replications, arms = state["plays"].shape
        explore = generator.random(replications) < self.exploration
        random_arm = generator.integers(arms, size=replications)
        log_n = np.log(np.maximum(state["plays"].sum(axis=1, keepdims=True), 1.0))
        scores = state["mean"] + bonus(self.bound, self.xi, log_n, state["plays"])
        return Selection(np.where(explore, random_arm, top_arm(scores, generator)), scores)

    def learn(self, state: State, arm: np.ndarray, reward: np.ndarray) -> None:
        cell = flat_index(state, arm)
        move_mean(state, cell, reward, 1 / (state["plays"].ravel()[cell] + 1))
        count_play(state, cell)
        state["alarm"] = self.watch(state, cell, reward / self.bound)
        restart = np.flatnonzero(state["alarm"])
        for name in ("plays", "mean", "base", "rise", "fall"):
            state[name][restart, arm[restart]] = 0.0

    def watch(self, state: State, cell: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Move the two sums of the arms just played, in place; True (R,) where one passes the threshold."""
        plays, base, rise, fall = (state[name].ravel() for name in ("plays", "base", "rise", "fall"))
        warm = plays[cell] <= self.warmup
        base[cell] += np.where(warm, y, 0.0)
        excess = np.where(warm, 0.0, y - base[cell] / self.warmup)
        for walk, deviation in ((rise, excess), (fall, -excess)):
            walk[cell] = np.where(warm, 0.0, np.maximum(0.0, walk[cell] + deviation - self.slack))
        return (rise[cell] > self.threshold) | (fall[cell] > self.threshold)
