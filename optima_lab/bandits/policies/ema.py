"""OPTIMA's sampler (Eqs. 2 and 7, Algorithm 1 of arXiv 2310.04550) and its scale-calibrated variant."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from optima_lab.bandits.policies.base import (
    Policy,
    Selection,
    State,
    best,
    counters,
    initial_order,
    initial_selection,
    require,
    require_fraction,
    require_positive,
    rows,
)


@dataclass(frozen=True)
class EmaThompson(Policy):
    """OPTIMA: Thompson sampling with an exponential moving average as the posterior's mean.

        r̂_k ~ N(μ_k, scale² / (n_k + 1))        the second argument is a VARIANCE (Eq. 2; the paper has scale = 1)
        a    = argmax_k r̂_k
        μ_a ← γ μ_a + (1 − γ) r,   n_a ← n_a + 1                                                    (Eq. 7)

    The first T0·K rounds play every arm T0 times in random order; they set μ_k to the plain average of its rewards and
    n_k to T0. Assumes Gaussian rewards whose mean moves slowly. Counts never fade, so the longer it runs, the less it
    explores: it reacts ever later to a change.

    decay: γ of Eq. 7, no unit; half-life −1/log2 γ plays of the arm.  initial_plays: T0, plays per arm.
    scale: standard deviation of one reward's noise, in units of the reward.
    State: mean, plays (R, K); order (R, T0·K).
    """

    decay: float = 0.98
    initial_plays: int = 10
    scale: float = 1.0
    name: ClassVar[str] = "optima"

    def __post_init__(self) -> None:
        require_fraction("decay", self.decay)
        require(self.initial_plays >= 0, f"initial_plays must be at least 0, got {self.initial_plays}")
        require_positive("scale", self.scale)

    def init(self, arms: int, replications: int, generator: np.random.Generator) -> State:
        state = counters(arms, replications)
        state["mean"] = np.zeros((replications, arms))
        state["order"] = initial_order(arms, replications, self.initial_plays, generator)
        return state

    def select(self, state: State, generator: np.random.Generator) -> Selection:
        return initial_selection(state) or best(draw_gaussian(state, self.scale, generator))

    def learn(self, state: State, arm: np.ndarray, reward: np.ndarray) -> None:
        move_mean(state, arm, reward, self.decay)
        count_play(state, arm)


@dataclass(frozen=True)
class CalibratedEmaThompson(Policy):
    """OPTIMA whose posterior is as wide as the rewards' own noise says.

        r̂_k ~ N(μ_k, σ̂² / (n_k + 1)),   σ̂² = Σ_s γ^(t−s) e_s² / Σ_s γ^(t−s)

    e is the surprise of a reward, (r − μ_a) / √(1 + v_a), before μ_a moves: v_a σ² is the variance of μ_a itself
    (1/n for a plain average of n rewards; v ← γ² v + (1 − γ)² under Eq. 7), so that E[e²] = σ² while the means stand
    still. All arms share one σ̂, as they share the paper's 1. An arm's first reward has no surprise; until one exists,
    σ̂ = scale, the paper's posterior. Everything else is EmaThompson's, its deafness after long runs included.

    Departure: the paper has σ̂ = 1, whatever the rewards' size.
    decay, initial_plays: as in EmaThompson.  scale: σ̂ before anything is known, in units of the reward.
    State: mean, plays, spread = v (R, K); order (R, T0·K); noise_sum, noise_weight (R,): σ̂²'s numerator, denominator.
    """

    decay: float = 0.98
    initial_plays: int = 10
    scale: float = 1.0
    name: ClassVar[str] = "optima_calibrated"

    def __post_init__(self) -> None:
        EmaThompson(self.decay, self.initial_plays, self.scale)

    def init(self, arms: int, replications: int, generator: np.random.Generator) -> State:
        state = EmaThompson(self.decay, self.initial_plays).init(arms, replications, generator)
        state["spread"] = np.zeros((replications, arms))
        state["noise_sum"] = np.zeros(replications)
        state["noise_weight"] = np.zeros(replications)
        return state

    def select(self, state: State, generator: np.random.Generator) -> Selection:
        return initial_selection(state) or best(draw_gaussian(state, self.noise(state)[:, None], generator))

    def learn(self, state: State, arm: np.ndarray, reward: np.ndarray) -> None:
        index = rows(arm), arm
        mean, spread, plays = state["mean"][index], state["spread"][index], state["plays"][index]
        known = plays > 0
        for array, new in (("noise_sum", (reward - mean) ** 2 / (1 + spread)), ("noise_weight", 1.0)):
            state[array] *= np.where(known, self.decay, 1.0)
            state[array] += np.where(known, new, 0.0)
        settled = self.decay**2 * spread + (1 - self.decay) ** 2
        state["spread"][index] = 1 / (plays + 1) if in_initial_plays(state) else settled
        move_mean(state, arm, reward, self.decay)
        count_play(state, arm)

    def noise(self, state: State) -> np.ndarray:
        """σ̂ (R,): the estimated standard deviation of one reward, in units of the reward."""
        weight = state["noise_weight"]
        return np.sqrt(np.where(weight > 0, state["noise_sum"] / np.maximum(weight, 1e-300), self.scale**2))


def draw_gaussian(state: State, scale: float | np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """r̂ (R, K) ~ N(mean, scale² / (plays + 1)): Eq. 2; the deviation is the variance's root."""
    draws = generator.standard_normal(state["mean"].shape)
    draws *= scale / np.sqrt(state["plays"] + 1)
    draws += state["mean"]
    return draws


def in_initial_plays(state: State) -> bool:
    """Whether the coming round is one of the T0·K forced ones."""
    return int(state["round"]) < state["order"].shape[1]


def move_mean(state: State, arm: np.ndarray, reward: np.ndarray, decay: float) -> None:
    """μ_a ← γ μ_a + (1 − γ) r (Eq. 7); in the initial plays the plain average. In place, before the play is counted."""
    index = rows(arm), arm
    mean = state["mean"][index]
    step = 1 / (state["plays"][index] + 1) if in_initial_plays(state) else 1 - decay
    state["mean"][index] = mean + step * (reward - mean)


def count_play(state: State, arm: np.ndarray) -> None:
    """n_a ← n_a + 1 and one more round, in place."""
    state["plays"][rows(arm), arm] += 1
    state["round"] += 1
