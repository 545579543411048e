"""Discounted counts, as every discounting policy keeps them."""

import numpy as np

from optima_lab.bandits.policies.base import State, count_round


def discount(state: State, cell: np.ndarray, decay: float) -> np.ndarray:
    """N_k ← γ N_k + 1[k = a] for every arm, once a round, and one more round; in place. Returns the new N_a (R,)."""
    state["plays"] *= decay
    plays = state["plays"].ravel()
    plays[cell] = count = plays[cell] + 1
    count_round(state)
    return count
