"""A world made from the recorded rewards of a finished experiment.

Caveat, to be stated wherever its numbers are shown: only the arm that was played brought a reward. What the others
would have brought in round t is estimated from the runs that played one arm throughout, at their own round t. A student
that was distilled with a mixture of arms is another student, and would have paid otherwise. So a replay asks "how well
does a policy follow reward curves of this shape and noise?", and not "how good would the student have become?"; only a
training run answers that.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from optima_lab.bandits.arms import KEYS
from optima_lab.bandits.environments import Clipped, World, from_table
from optima_lab.errors import ConfigError, require


def recorded_world(rewards: np.ndarray, smooth_rounds: int = 15, rested: bool = False, title: str = "replay") -> World:
    """A world whose means are smoothed rewards of fixed-arm runs, and whose noise is what smoothing took away.

    rewards: (runs, K, T), run s of arm k in round t, in units of the reward; runs are averaged.
    smooth_rounds: length of the centred moving average, in rounds (shorter at both ends).
    rested: row n is then what an arm brings after n plays of it, the other reading of a fixed-arm run.
    The noise is normal with one standard deviation per arm, and cut at 0 as Eq. 6 cuts; what is smoothed is the mean of
    the cut rewards, so a world's `table` gives it back.
    """
    rewards = np.asarray(rewards, dtype=np.float64)
    right = rewards.ndim == 3 and bool(np.isfinite(rewards).all())
    require(right, f"rewards must be finite and (runs, K, T), got {rewards.shape}")
    require(smooth_rounds >= 1, f"smooth_rounds must be at least 1, got {smooth_rounds}")
    curve = moving_average(rewards.mean(axis=0), smooth_rounds)
    weight = min(1 / (smooth_rounds * len(rewards)), 0.5)  # a reward is this part of its own average
    deviation = np.sqrt(((rewards - curve) ** 2).mean(axis=(0, 2)) / (1 - weight))
    std = np.maximum(deviation, 1e-9)
    return from_table(uncut(curve, std).T, Clipped(tuple(std.tolist())), rested=rested, title=title)


def uncut(expected: np.ndarray, std: np.ndarray) -> np.ndarray:
    """Means m (K, T) for which E max(0, m + std_k z) is `expected` (K, T), by bisection; at least −8 std."""
    noise = Clipped(tuple(std.tolist()))
    low, high = np.broadcast_to(-8 * std[:, None], expected.shape), expected
    for _ in range(60):
        middle = (low + high) / 2
        below = expected > noise.expected(middle.T).T
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return high


def moving_average(curves: np.ndarray, rounds: int) -> np.ndarray:
    """Centred moving average of (K, T) over `rounds` rounds along T; near the ends over those that exist."""
    half = (rounds - 1) // 2
    sums = np.concatenate([np.zeros((len(curves), 1)), curves.cumsum(axis=1)], axis=1)
    centre = np.arange(curves.shape[1])
    last = np.minimum(centre + rounds - half, curves.shape[1])
    first = np.maximum(centre - half, 0)
    return (sums[:, last] - sums[:, first]) / (last - first)


def fixed_arm_rewards(rounds: Any, task: str = "", arms: Sequence[str] = KEYS) -> np.ndarray:
    """Rewards (experiments, K, T) of the fixed-arm runs in a frame of rounds.

    rounds: columns task, experiment, strategy, round, reward. T is the shortest run's length. Experiments that lack a
    fixed-arm run of some arm are left out. task: "" if there is only one. arms: the K strategies that always play one.
    Raises ConfigError if there are several tasks to choose from, or no experiment has all arms.
    """
    tasks = sorted(set(rounds["task"]))
    require(task in tasks or (not task and len(tasks) == 1), f"task must be one of {', '.join(tasks)}, got {task!r}")
    rounds = rounds[rounds["task"] == (task or tasks[0])]
    mixed = sorted({name for name in rounds["strategy"] if name.partition(" [")[0] in arms} - set(arms))
    require(not mixed, f"rewards must be of one configuration, got {', '.join(mixed)}: choose by `changes`")
    series = {key: run.sort_values("round")["reward"] for key, run in rounds.groupby(["experiment", "strategy"])}
    names = sorted({experiment for experiment, _ in series})
    missing = {name: [arm for arm in arms if (name, arm) not in series] for name in names}
    whole = [name for name in names if not missing[name]]
    if not whole:
        gaps = "; ".join(f"{name} lacks {', '.join(absent)}" for name, absent in missing.items())
        raise ConfigError(f"a replay needs an experiment with a fixed-arm run of every arm, got none: {gaps}")
    length = min(len(series[name, arm]) for name in whole for arm in arms)
    return np.array([[np.asarray(series[name, arm], float)[:length] for arm in arms] for name in whole])
