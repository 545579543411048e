"""A sliding window over the last rounds, one for all arms, as every windowed policy keeps it."""

import numpy as np

from optima_lab.bandits.policies.base import State, count_play, flat_index


def window_arrays(arms: int, replications: int, window: int) -> State:
    """An empty window: sums (R, K) of the rewards in it; window_arm, window_reward (window, R), a ring over rounds."""
    return {
        "sums": np.zeros((replications, arms)),
        "window_arm": np.full((window, replications), -1),
        "window_reward": np.zeros((window, replications)),
    }


def slide(state: State, arm: np.ndarray, reward: np.ndarray) -> np.ndarray:
    """Let the newest reward in and the oldest out, whichever arms they belong to; count the round. In place.

    Returns the reward (R,) that left, 0 while the window is not yet full.
    """
    size = state["window_arm"].shape[0]
    slot, plays, sums = int(state["round"]) % size, state["plays"].ravel(), state["sums"].ravel()
    gone = state["window_reward"][slot].copy()
    if int(state["round"]) >= size:
        old = flat_index(state, state["window_arm"][slot])
        plays[old] -= 1
        sums[old] = np.where(plays[old] > 0, sums[old] - gone, 0.0)  # no rounding is left behind in an empty arm
    state["window_arm"][slot], state["window_reward"][slot] = arm, reward
    cell = flat_index(state, arm)
    sums[cell] += reward
    count_play(state, cell)
    return gone


def window_means(state: State) -> np.ndarray:
    """Average reward (R, K) of each arm in the window; 0 where it has none."""
    return state["sums"] / np.maximum(state["plays"], 1.0)
