"""How noisy are rewards? An online estimate that several samplers scale their posterior by.

A reward's surprise before its arm's mean μ moves is e = r − μ. While means stand still, E[e²] = σ² (1 + v), where v σ²
is the variance of μ itself: v = Σ w_i² for an average of rewards with weights w_i. So every e² / (1 + v) estimates σ²
without bias, whatever the averaging. One σ for all arms, forgotten at the rate of the means; a surprise counts the
less, the less its mean was known:

    σ̂² = Σ_s γ^(t−s) ω_s² e_s²  /  Σ_s γ^(t−s) ω_s,   ω = 1 / (1 + v)

State: noise_sum, noise_weight (R,), numerator and denominator; spread (R, K), the v of each arm.
"""

import numpy as np

from optima_lab.bandits.policies.base import State

UNKNOWN = 1e30  # v of a mean that has seen no reward: its first surprise then says nothing


def noise_arrays(arms: int, replications: int, fallback: float) -> State:
    """The arrays of an estimate that has seen nothing: σ̂ = fallback, in units of the reward."""
    tiny = 1e-12  # the fallback counts as this part of one surprise: all there is before the first, nothing after
    return {
        "spread": np.full((replications, arms), UNKNOWN),
        "noise_sum": np.full(replications, tiny * fallback**2),
        "noise_weight": np.full(replications, tiny),
    }


def learn_noise(state: State, cell: np.ndarray, surprise: np.ndarray, step: float | np.ndarray, decay: float) -> None:
    """Take in e (R,) of the arm whose mean moves by step·e. In place.

    v ← (1 − step)² v + step² is exact for every average of the form μ ← μ + step (r − μ).
    """
    spread = state["spread"].ravel()
    before = spread[cell]
    weight = 1 / (1 + before)
    state["noise_sum"] *= decay
    state["noise_sum"] += (weight * surprise) ** 2
    state["noise_weight"] *= decay
    state["noise_weight"] += weight
    spread[cell] = (1 - step) ** 2 * before + step**2


def noise(state: State) -> np.ndarray:
    """σ̂ (R,) in units of the reward."""
    return np.sqrt(state["noise_sum"] / state["noise_weight"])
