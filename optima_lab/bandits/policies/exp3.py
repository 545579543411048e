"""Exp3.S: exponential weights for rewards chosen by an adversary, with a share that lets the best arm change."""

from dataclasses import dataclass
from math import e, log, sqrt
from typing import ClassVar

import numpy as np

from optima_lab.bandits.policies.base import (
    Policy,
    Selection,
    State,
    count_play,
    counters,
    flat_index,
    require_fraction,
    require_positive,
)
from optima_lab.bandits.policies.beta import in_range


@dataclass(frozen=True)
class Exp3S(Policy):
    """Exp3.S of Auer, Cesa-Bianchi, Freund and Schapire (SIAM J. Computing 32, 2002, Section 8).

        p_k = (1 − γ) w_k / Σ w + γ / K,   a ~ p
        w_k ← w_k exp(γ x_k / K) + e α Σ w / K,   x_a = r / (reward_max p_a), x_k = 0 for the others

    Assumes only that rewards are in [0, reward_max], no distribution at all; with few rounds or rewards far below
    reward_max it stays near uniform. Weights are kept with sum 1, which changes nothing.

    exploration: γ, the probability of a uniform play.  share: α, about 1/T.  reward_max: in units of the reward.
    State: weight, plays (R, K).
    """

    exploration: float = 0.1
    share: float = 0.001
    reward_max: float = 1.0
    name: ClassVar[str] = "exp3s"

    def __post_init__(self) -> None:
        require_fraction("exploration", self.exploration, one=True)
        require_fraction("share", self.share, zero=True)
        require_positive("reward_max", self.reward_max)

    def init(self, arms: int, replications: int, generator: np.random.Generator) -> State:
        return counters(arms, replications) | {"weight": np.full((replications, arms), 1 / arms)}

    def select(self, state: State, generator: np.random.Generator) -> Selection:
        chance = self.chance(state)
        return Selection(draw_arm(chance, generator), chance)

    def learn(self, state: State, arm: np.ndarray, reward: np.ndarray) -> None:
        cell, arms = flat_index(state, arm), state["weight"].shape[1]
        estimate = in_range(reward, self.reward_max) / self.chance(state).ravel()[cell]
        state["weight"].ravel()[cell] *= np.exp(self.exploration * estimate / arms)
        # The share is of the weights before this reward: they sum to 1.
        state["weight"] += e * self.share / arms
        state["weight"] /= state["weight"].sum(axis=1, keepdims=True)
        count_play(state, cell)

    def chance(self, state: State) -> np.ndarray:
        """p (R, K): the probability of each arm in the coming round."""
        return (1 - self.exploration) * state["weight"] + self.exploration / state["weight"].shape[1]


def advised_exp3s(arms: int, horizon: int, changes: int, reward_max: float = 1.0) -> Exp3S:
    """Exp3.S as Corollary 8.3 tunes it for `changes` changes of the best arm in `horizon` rounds."""
    require_positive("horizon", horizon)
    rate = sqrt(arms * ((changes + 1) * log(arms * horizon) + e) / ((e - 1) * horizon))
    return Exp3S(exploration=min(1.0, rate), share=1 / horizon, reward_max=reward_max)


def draw_arm(chance: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """One arm (R,) from each row's probabilities (R, K), by inverting the cumulative sum."""
    above = generator.random((chance.shape[0], 1)) >= chance.cumsum(axis=1)[:, :-1]
    return above.sum(axis=1)
