"""OPTIMA's sampler (Eqs. 2 and 7, Algorithm 1 of arXiv 2310.04550) and its scale-calibrated variant."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from optima_lab.bandits.policies.base import (
    Policy,
    Posterior,
    Selection,
    State,
    best_draw,
    count_play,
    counters,
    flat_index,
    initial_order,
    initial_selection,
    require,
    require_fraction,
    require_positive,
)
from optima_lab.bandits.policies.noise_estimate import learn_noise, noise, noise_arrays


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

    def posterior(self, state: State) -> Posterior:
        return Posterior(state["mean"], self.scale / np.sqrt(state["plays"] + 1))

    def select(self, state: State, generator: np.random.Generator) -> Selection:
        return initial_selection(state) or best_draw(self.posterior(state), generator)

    def learn(self, state: State, arm: np.ndarray, reward: np.ndarray) -> None:
        cell = flat_index(state, arm)
        move_mean(state, cell, reward, ema_step(state, cell, self.decay))
        count_play(state, cell)


@dataclass(frozen=True)
class MeanThompson(Policy):
    """The stationary sampler that OPTIMA departs from: the plain average of all rewards instead of the moving one.

        r̂_k ~ N(μ_k, scale² / (n_k + 1)),   μ_a ← μ_a + (r − μ_a) / (n_a + 1)

    It never forgets, so it takes means to stand still. initial_plays, scale: as in EmaThompson.
    State: mean, plays (R, K); order (R, T0·K).
    """

    initial_plays: int = 10
    scale: float = 1.0
    name: ClassVar[str] = "optima_mean"

    def __post_init__(self) -> None:
        EmaThompson(initial_plays=self.initial_plays, scale=self.scale)

    def init(self, arms: int, replications: int, generator: np.random.Generator) -> State:
        return EmaThompson(initial_plays=self.initial_plays).init(arms, replications, generator)

    def posterior(self, state: State) -> Posterior:
        return EmaThompson(scale=self.scale).posterior(state)

    def select(self, state: State, generator: np.random.Generator) -> Selection:
        return initial_selection(state) or best_draw(self.posterior(state), generator)

    def learn(self, state: State, arm: np.ndarray, reward: np.ndarray) -> None:
        cell = flat_index(state, arm)
        move_mean(state, cell, reward, 1 / (state["plays"].ravel()[cell] + 1))
        count_play(state, cell)


@dataclass(frozen=True)
class CalibratedEmaThompson(Policy):
    """OPTIMA whose posterior is as wide as the rewards' own noise says.

        r̂_k ~ N(μ_k, σ̂² / (n_k + 1)),   σ̂² = Σ_s γ^(t−s) ω_s² e_s² / Σ_s γ^(t−s) ω_s,   ω = 1 / (1 + v)

    e = r − μ_a is the surprise of a reward before μ_a moves, and v σ² is the variance of μ_a itself (v = 1/n for the
    plain average of n rewards; v ← γ² v + (1 − γ)² under Eq. 7), so that E[e²] = σ² (1 + v) while the means stand still
    (`noise.py`). All arms share one σ̂, as they share the paper's 1. An arm's first reward has no surprise; until one
    exists, σ̂ = scale. Everything else is EmaThompson's, its deafness after long runs included.

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
        state |= noise_arrays(arms, replications, self.scale)
        if self.initial_plays == 0:
            state["spread"][:] = 0.0  # then Eq. 7 starts from 0 as if that were known, and never gets over its start
        return state

    def posterior(self, state: State) -> Posterior:
        return Posterior(state["mean"], self.noise(state)[:, None] / np.sqrt(state["plays"] + 1))

    def select(self, state: State, generator: np.random.Generator) -> Selection:
        return initial_selection(state) or best_draw(self.posterior(state), generator)

    def learn(self, state: State, arm: np.ndarray, reward: np.ndarray) -> None:
        cell = flat_index(state, arm)
        step = ema_step(state, cell, self.decay)
        surprise = move_mean(state, cell, reward, step)
        learn_noise(state, cell, surprise, step, self.decay)
        count_play(state, cell)

    def noise(self, state: State) -> np.ndarray:
        """σ̂ (R,): the estimated standard deviation of one reward, in units of the reward."""
        return noise(state)


def ema_step(state: State, cell: np.ndarray, decay: float) -> float | np.ndarray:
    """How far the coming reward moves its arm's mean: 1 − γ (Eq. 7), or 1/n while the initial plays are averaged."""
    if int(state["round"]) < state["order"].shape[1]:
        return 1 / (state["plays"].ravel()[cell] + 1)
    return 1 - decay


def move_mean(state: State, cell: np.ndarray, reward: np.ndarray, step: float | np.ndarray) -> np.ndarray:
    """μ_a ← μ_a + step (r − μ_a), in place; Eq. 7 with step = 1 − γ. Returns the surprise r − μ_a (R,)."""
    mean = state["mean"].ravel()
    before = mean[cell]
    surprise = reward - before
    mean[cell] = before + step * surprise
    return surprise
