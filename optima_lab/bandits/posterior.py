"""What a sampler believed of every arm in a recorded run: rebuilt, for records keep means and plays but no widths."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np

from optima_lab.bandits.policies import Posterior, make_policy
from optima_lab.errors import ConfigError

SHARED_NOISE = ("optima", "optima_mean", "optima_calibrated")  # their posterior is N(μ, σ²/(n + 1)), one σ for all arms


class PosteriorReplay:
    """The library's own policy learning recorded rounds again: `learn` goes on from those that it learned before.

    What is no policy, has other parameters than these, or holds no posterior learns nothing.
    """

    def __init__(self, policy: str, parameters: Mapping[str, Any], arms: int) -> None:
        self._arms, self._whole = arms, True
        self._belief: Posterior | None = None
        with suppress(ConfigError, TypeError, ValueError):
            self._sampler = make_policy(policy, **parameters)
            self._state = self._sampler.init(arms, 1, np.random.default_rng(0))
            if (belief := self._sampler.posterior(self._state)) is not None:
                self._belief = Posterior(belief.mean.copy(), belief.deviation.copy())  # learning changes them in place

    def learn(self, arm: np.ndarray, reward: np.ndarray) -> Posterior | None:
        """Mean and standard deviation (T + 1, K) of every arm, before each of all T rounds and after the last.

        arm, reward (t,): of the last t of them, arms numbered from 0. Rows are NaN after a round whose reward is not
        finite or whose arm is none of the K. None where nothing is learned.
        """
        if self._belief is None:
            return None
        mean, deviation = (np.full((len(reward), self._arms), np.nan) for _ in range(2))
        for number in range(len(reward)):
            self._whole &= bool(np.isfinite(reward[number])) and 0 <= arm[number] < self._arms
            if not self._whole:
                break
            self._sampler.learn(self._state, np.array([arm[number]], np.int64), np.array([reward[number]], np.float64))
            belief = self._sampler.posterior(self._state)
            assert belief is not None  # as at the start
            mean[number], deviation[number] = belief.mean[0], belief.deviation[0]
        new = Posterior(mean, deviation)
        self._belief = Posterior(*(np.concatenate(parts) for parts in zip(self._belief, new, strict=True)))
        return self._belief


def departures(mean: np.ndarray, plays: np.ndarray, arm: np.ndarray) -> list[tuple[int, int]]:
    """(t, best arm) of the rounds, from 0, in which an arm that was known had a larger mean than the one played.

    mean, plays (T, K): before every round; an arm without plays is not known.  arm (T,): an arm that is new departs
    from nothing.
    """
    played_mean = np.where(plays > 0, mean, -np.inf)
    mine, best = played_mean[np.arange(len(arm)), arm], played_mean.argmax(axis=1)
    away = np.flatnonzero((mine > -np.inf) & (mine < played_mean.max(axis=1)))
    return [(int(t), int(best[t])) for t in away]


def replay_posterior(
    policy: str, parameters: Mapping[str, Any], arm: np.ndarray, reward: np.ndarray, arms: int
) -> Posterior | None:
    """What `PosteriorReplay` learns of all rounds at once: `arm` (T,), numbered from 0, and `reward` (T,)."""
    return PosteriorReplay(policy, parameters, arms).learn(arm, reward)
