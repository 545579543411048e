"""What a sampler believed of every arm in a recorded run: rebuilt, for records keep means and plays but no widths."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from optima_lab.bandits.policies import Posterior, make_policy
from optima_lab.errors import ConfigError

SHARED_NOISE = ("optima", "optima_mean", "optima_calibrated")  # their posterior is N(μ, σ²/(n + 1)), one σ for all arms


def replay_posterior(
    policy: str, parameters: Mapping[str, Any], arm: np.ndarray, reward: np.ndarray, arms: int
) -> Posterior | None:
    """Mean and standard deviation (T + 1, K) of every arm, before each of T rounds and after the last.

    The library's own policy learns the recorded `arm` (T,), numbered from 0, and `reward` (T,) again. Rows are NaN
    after a round whose reward is not finite or whose arm is none of the K. None for what is no policy, has other
    parameters than these, or holds no posterior.
    """
    try:
        sampler = make_policy(policy, **parameters)
        state = sampler.init(arms, 1, np.random.default_rng(0))
    except (ConfigError, TypeError, ValueError):
        return None
    mean, deviation = (np.full((len(reward) + 1, arms), np.nan) for _ in range(2))
    for number in range(len(mean)):
        belief = sampler.posterior(state)
        if belief is None:
            return None
        mean[number], deviation[number] = belief.mean[0], belief.deviation[0]
        if number == len(reward) or not np.isfinite(reward[number]) or not 0 <= arm[number] < arms:
            break
        sampler.learn(state, np.array([arm[number]], np.int64), np.array([reward[number]], np.float64))
    return Posterior(mean, deviation)
