"""Discounted counts, as every discounting policy keeps them."""

import numpy as np

from optima_lab.bandits.policies.base import State, rows


def discount(state: State, arm: np.ndarray, decay: float) -> np.ndarray:
    """N_k ← γ N_k + 1[k = a] for every arm, once a round, and one more round; in place. Returns the new N_a (R,)."""
    state["plays"] *= decay
    state["plays"][rows(arm), arm] += 1
    state["round"] += 1
    return state["plays"][rows(arm), arm]
