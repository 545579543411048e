"""How noisy are rewards? An online estimate that several samplers scale their posterior by.

A reward's surprise before its arm's mean μ moves is e = r − μ. While means stand still, E[e²] = σ² (1 + v), where v σ²
is the variance of μ itself: v = Σ w_i² for an average of rewards with weights w_i. So e² / (1 + v) estimates σ² without
bias, whatever the averaging. One σ for all arms, forgotten at the rate of the means:

    σ̂² = Σ_s γ^(t−s) e_s² / (1 + v_s)  /  Σ_s γ^(t−s)

State: noise_sum, noise_weight (R,), numerator and denominator; spread (R, K), the v of each arm.
"""

import numpy as np

from optima_lab.bandits.policies.base import State, rows


def noise_arrays(arms: int, replications: int) -> State:
    """The arrays of an estimate that has seen nothing."""
    return {
        "spread": np.zeros((replications, arms)),
        "noise_sum": np.zeros(replications),
        "noise_weight": np.zeros(replications),
    }


def learn_noise(
    state: State, arm: np.ndarray, surprise: np.ndarray, step: float | np.ndarray, known: np.ndarray, decay: float
) -> None:
    """Take in e (R,) of the arm whose mean is about to move by step·e. In place.

    known: bool (R,), False where the arm had no reward before, so that there is no surprise to speak of.
    v ← (1 − step)² v + step² is exact for every average of the form μ ← μ + step (r − μ).
    """
    index = rows(arm), arm
    spread = state["spread"][index]
    state["noise_sum"] *= np.where(known, decay, 1.0)
    state["noise_sum"] += np.where(known, surprise**2 / (1 + spread), 0.0)
    state["noise_weight"] *= np.where(known, decay, 1.0)
    state["noise_weight"] += known
    state["spread"][index] = (1 - step) ** 2 * spread + step**2


def noise(state: State, fallback: float) -> np.ndarray:
    """σ̂ (R,) in units of the reward; `fallback` until there is a surprise."""
    weight = state["noise_weight"]
    return np.where(weight > 0, np.sqrt(state["noise_sum"] / np.maximum(weight, 1e-300)), fallback)
