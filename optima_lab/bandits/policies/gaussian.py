"""Gaussian Thompson sampling that forgets: by discount, by window, or because the world is believed to drift."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from optima_lab.bandits.policies.base import (
    Policy,
    Posterior,
    Selection,
    State,
    best,
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
from optima_lab.bandits.policies.discount import discount
from optima_lab.bandits.policies.ema import move_mean
from optima_lab.bandits.policies.noise_estimate import learn_noise, noise, noise_arrays
from optima_lab.bandits.policies.window import slide, window_arrays, window_means


@dataclass(frozen=True)
class DiscountedGaussianThompson(Policy):
    """Thompson sampling on discounted counts: DS-TS of Qi, Wang and Zhu (arXiv 2305.10718), with estimated noise.

        r̂_k ~ N(μ_k, σ̂² / N_k),   a = argmax_k r̂_k
        N_k ← γ N_k + 1[k = a] for EVERY arm, once a round;   μ_a ← μ_a + (r − μ_a) / N_a

    so μ_k is the discounted average of the arm's rewards, and the belief about an arm that is not played widens.
    Assumes sub-Gaussian rewards, abrupt or slow changes; all arms share one noise. The first rounds play every arm
    `initial_plays` times in random order. Departure from DS-TS: it samples with variance 1/N_k, for rewards in [0, 1].

    decay: γ per round, no unit.  initial_plays: plays per arm.
    noise: σ in units of the reward; 0 estimates it (`noise.py`).
    State: mean, plays = N (R, K); order; spread, noise_sum, noise_weight of the estimate.
    """

    decay: float = 0.98
    initial_plays: int = 2
    noise: float = 0.0
    name: ClassVar[str] = "gaussian_dts"

    def __post_init__(self) -> None:
        require_fraction("decay", self.decay)
        require(self.initial_plays >= 1, f"initial_plays must be at least 1, got {self.initial_plays}")
        require_positive("noise", self.noise, zero=True)

    def init(self, arms: int, replications: int, generator: np.random.Generator) -> State:
        state = counters(arms, replications) | noise_arrays(arms, replications, 1.0)
        state["mean"] = np.zeros((replications, arms))
        state["order"] = initial_order(arms, replications, self.initial_plays, generator)
        return state

    def posterior(self, state: State) -> Posterior:
        sigma = self.noise or noise(state)[:, None]
        return Posterior(state["mean"], sigma / np.sqrt(state["plays"] + 1e-12))

    def select(self, state: State, generator: np.random.Generator) -> Selection:
        return initial_selection(state) or best_draw(self.posterior(state), generator)

    def learn(self, state: State, arm: np.ndarray, reward: np.ndarray) -> None:
        cell = flat_index(state, arm)
        step = 1 / discount(state, cell, self.decay)
        surprise = move_mean(state, cell, reward, step)
        learn_noise(state, cell, surprise, step, self.decay)


@dataclass(frozen=True)
class SlidingGaussianThompson(Policy):
    """Thompson sampling on the last `window` rounds, whichever arms they played (one window for all arms).

        r̂_k ~ N(S_k / N_k, σ̂² / N_k)   with S_k, N_k the sum and number of arm k's rewards in the window

    After Trovò et al., "Sliding-window Thompson sampling for non-stationary settings" (JAIR 68, 2020), made Gaussian.
    An arm without a reward in the window is played at once. σ̂² is the window's variance within arms, one for all arms.
    Assumes that the world is nearly still for `window` rounds.

    window: rounds.  noise: σ in units of the reward; 0 estimates it from the window.
    State: plays, sums (R, K); squares (R,) the sum of squared rewards; window_arm, window_reward (window, R).
    """

    window: int = 100
    noise: float = 0.0
    name: ClassVar[str] = "gaussian_swts"

    def __post_init__(self) -> None:
        require(self.window >= 2, f"window must be at least 2 rounds, got {self.window}")
        require_positive("noise", self.noise, zero=True)

    def init(self, arms: int, replications: int, generator: np.random.Generator) -> State:
        squares = {"squares": np.zeros(replications)}
        return counters(arms, replications) | window_arrays(arms, replications, self.window) | squares

    def posterior(self, state: State) -> Posterior:
        sigma = self.noise or self.window_noise(state)[:, None]
        return Posterior(window_means(state), sigma / np.sqrt(np.maximum(state["plays"], 1e-12)))

    def select(self, state: State, generator: np.random.Generator) -> Selection:
        draws = self.posterior(state).draw(generator)
        draws[state["plays"] == 0] = np.inf
        return best(draws, generator)

    def learn(self, state: State, arm: np.ndarray, reward: np.ndarray) -> None:
        gone = slide(state, arm, reward)
        state["squares"] += reward**2 - gone**2

    def window_noise(self, state: State) -> np.ndarray:
        """σ̂ (R,): √ of the pooled variance within arms; 1 until some arm has two rewards in the window.

        What the differences of rounded sums cannot tell from 0 counts as 10⁻¹⁵ of the squares, not as no noise at all.
        """
        between = (window_means(state) * state["sums"]).sum(axis=1)
        freedom = state["plays"].sum(axis=1) - (state["plays"] > 0).sum(axis=1)
        variance = np.maximum(state["squares"] - between, 1e-15 * np.abs(state["squares"])) / np.maximum(freedom, 1.0)
        return np.sqrt(np.where(freedom > 0, variance, 1.0))


@dataclass(frozen=True)
class KalmanThompson(Policy):
    """Thompson sampling by Kalman filters: every arm's mean is believed to walk at random (a restless Gaussian bandit).

        predict, every arm:   V_k ← V_k + drift²
        correct, arm a:       g = V_a / (V_a + noise²),   μ_a ← μ_a + g (r − μ_a),   V_a ← (1 − g) V_a
        choose:               r̂_k ~ N(μ_k, V_k)

    Exact Bayes if means are independent Gaussian walks with Gaussian noise: Kalman (1960); as a bandit, Russo et al.,
    "A tutorial on Thompson sampling" (2018), Section 6.3; Speekenbrink and Konstantinidis (2015). Unlike OPTIMA's, the
    variance of an unplayed arm grows, so it never goes deaf.

    noise: standard deviation of one reward.  drift: of a mean's step per round.  prior_mean, prior_std: of a mean
    before anything is seen. All four in units of the reward.
    State: mean, variance (at the coming choice, drift included), plays (R, K).
    """

    noise: float = 0.02
    drift: float = 0.001
    prior_mean: float = 0.05
    prior_std: float = 0.05
    name: ClassVar[str] = "kalman_ts"

    def __post_init__(self) -> None:
        require_positive("noise", self.noise)
        require_positive("drift", self.drift, zero=True)
        require(bool(np.isfinite(self.prior_mean)), f"prior_mean must be finite, got {self.prior_mean}")
        require_positive("prior_std", self.prior_std)

    def init(self, arms: int, replications: int, generator: np.random.Generator) -> State:
        shape = replications, arms
        belief = {"mean": np.full(shape, float(self.prior_mean)), "variance": np.full(shape, self.prior_std**2)}
        return counters(arms, replications) | belief

    def posterior(self, state: State) -> Posterior:
        return Posterior(state["mean"], np.sqrt(state["variance"]))

    def select(self, state: State, generator: np.random.Generator) -> Selection:
        return best_draw(self.posterior(state), generator)

    def learn(self, state: State, arm: np.ndarray, reward: np.ndarray) -> None:
        cell, variance = flat_index(state, arm), state["variance"].ravel()
        gain = variance[cell] / (variance[cell] + self.noise**2)
        move_mean(state, cell, reward, gain)
        variance[cell] *= 1 - gain
        variance += self.drift**2
        count_play(state, cell)
