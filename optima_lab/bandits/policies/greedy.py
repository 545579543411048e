"""The two classics of reinforcement learning: ε-greedy and softmax over a constant-step average."""

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
    initial_order,
    initial_selection,
    require,
    require_fraction,
    require_positive,
    top_arm,
)
from optima_lab.bandits.policies.ema import move_mean
from optima_lab.bandits.policies.exp3 import draw_arm


@dataclass(frozen=True)
class EpsilonGreedy(Policy):
    """The arm with the highest average, but with probability ε any (Sutton and Barto 2018, Sections 2.2–2.5).

        μ_a ← μ_a + max(step, 1/n_a) (r − μ_a)

    A constant step forgets with half-life −1/log2(1 − step) plays of the arm; step = 0 is the plain average. Explores
    forever at the same rate, whatever it knows. The first rounds play every arm `initial_plays` times in random order.

    epsilon: probability per round.  step: no unit.  initial_plays: plays per arm.  State: mean, plays (R, K); order.
    """

    epsilon: float = 0.1
    step: float = 0.05
    initial_plays: int = 2
    name: ClassVar[str] = "epsilon_greedy"

    def __post_init__(self) -> None:
        require_fraction("epsilon", self.epsilon, zero=True, one=True)
        require_averaging(self.step, self.initial_plays)

    def init(self, arms: int, replications: int, generator: np.random.Generator) -> State:
        return averages(arms, replications, self.initial_plays, generator)

    def select(self, state: State, generator: np.random.Generator) -> Selection:
        if forced := initial_selection(state):
            return forced
        replications, arms = state["mean"].shape
        explore = generator.random(replications) < self.epsilon
        random_arm = generator.integers(arms, size=replications)
        return Selection(np.where(explore, random_arm, top_arm(state["mean"], generator)), state["mean"].copy())

    def learn(self, state: State, arm: np.ndarray, reward: np.ndarray) -> None:
        average(state, arm, reward, self.step)


@dataclass(frozen=True)
class Softmax(Policy):
    """Boltzmann exploration: a ~ p with p_k ∝ exp(μ_k / temperature) (Sutton and Barto 2018, Section 2.8's soft-max).

    μ as in EpsilonGreedy. Needs to know the rewards' scale: far above the gaps between arms the temperature makes play
    uniform, far below it makes it greedy.

    temperature: in units of the reward.  step: no unit.  initial_plays: plays per arm.  State: mean, plays; order.
    """

    temperature: float = 0.01
    step: float = 0.05
    initial_plays: int = 2
    name: ClassVar[str] = "softmax"

    def __post_init__(self) -> None:
        require_positive("temperature", self.temperature)
        require_averaging(self.step, self.initial_plays)

    def init(self, arms: int, replications: int, generator: np.random.Generator) -> State:
        return averages(arms, replications, self.initial_plays, generator)

    def select(self, state: State, generator: np.random.Generator) -> Selection:
        if forced := initial_selection(state):
            return forced
        logits = (state["mean"] - state["mean"].max(axis=1, keepdims=True)) / self.temperature
        chance = np.exp(logits)
        chance /= chance.sum(axis=1, keepdims=True)
        return Selection(draw_arm(chance, generator), chance)

    def learn(self, state: State, arm: np.ndarray, reward: np.ndarray) -> None:
        average(state, arm, reward, self.step)


def require_averaging(step: float, initial_plays: int) -> None:
    """Check what both policies share."""
    require_fraction("step", step, zero=True, one=True)
    require(initial_plays >= 1, f"initial_plays must be at least 1, got {initial_plays}")


def averages(arms: int, replications: int, initial_plays: int, generator: np.random.Generator) -> State:
    """Counters, means of 0 and the order of the initial plays."""
    state = counters(arms, replications)
    state["mean"] = np.zeros((replications, arms))
    state["order"] = initial_order(arms, replications, initial_plays, generator)
    return state


def average(state: State, arm: np.ndarray, reward: np.ndarray, step: float) -> None:
    """μ_a ← μ_a + max(step, 1/n_a) (r − μ_a), n_a this play included; in place."""
    cell = flat_index(state, arm)
    move_mean(state, cell, reward, np.maximum(step, 1 / (state["plays"].ravel()[cell] + 1)))
    count_play(state, cell)
