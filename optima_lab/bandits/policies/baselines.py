"""Policies that learn nothing: random, fixed and the all-knowing."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from optima_lab.bandits.policies.base import Policy, Selection, State, best, count_play, counters, flat_index
from optima_lab.errors import require


@dataclass(frozen=True)
class Uniform(Policy):
    """Every arm with probability 1/K: random-arm distillation (Section 5.1). State: plays (R, K)."""

    name: ClassVar[str] = "random"

    def init(self, arms: int, replications: int, generator: np.random.Generator) -> State:
        return counters(arms, replications)

    def select(self, state: State, generator: np.random.Generator) -> Selection:
        draws = generator.random(state["plays"].shape)
        return Selection(draws.argmax(axis=1), draws)  # numbers of 53 bits are never equal

    def learn(self, state: State, arm: np.ndarray, reward: np.ndarray) -> None:
        count_play(state, flat_index(state, arm))


@dataclass(frozen=True)
class Fixed(Policy):
    """Always the same arm: fixed-arm distillation; the last arm is layerwise distillation.

    arm: index of the arm, from 0.  State: plays (R, K).
    """

    arm: int = 0
    name: ClassVar[str] = "fixed"

    def __post_init__(self) -> None:
        require(self.arm >= 0, f"arm must be at least 0, got {self.arm}")

    def init(self, arms: int, replications: int, generator: np.random.Generator) -> State:
        require(self.arm < arms, f"arm must be below the number of arms, {arms}, got {self.arm}")
        return counters(arms, replications)

    def select(self, state: State, generator: np.random.Generator) -> Selection:
        scores = np.zeros(state["plays"].shape)
        scores[:, self.arm] = 1.0
        return best(scores, generator)

    def learn(self, state: State, arm: np.ndarray, reward: np.ndarray) -> None:
        count_play(state, flat_index(state, arm))


@dataclass(frozen=True)
class Oracle(Policy):
    """The arm with the highest true mean of the coming round: a bound, not a strategy.

    A simulation writes the world's means into `truth` before every round; outside one there is no truth to be had.
    State: plays, truth (R, K).
    """

    name: ClassVar[str] = "oracle"

    def init(self, arms: int, replications: int, generator: np.random.Generator) -> State:
        return counters(arms, replications) | {"truth": np.full((replications, arms), np.nan)}

    def select(self, state: State, generator: np.random.Generator) -> Selection:
        has_truth = not np.isnan(state["truth"]).any()
        require(has_truth, "policy 'oracle' must be told the true means, which only a simulated world has, got none")
        return best(state["truth"].copy(), generator)

    def learn(self, state: State, arm: np.ndarray, reward: np.ndarray) -> None:
        count_play(state, flat_index(state, arm))
