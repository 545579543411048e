"""Dependent arms: Bayes' rule by brute force, and what a play teaches about arms with a module in common."""

import numpy as np
import pytest

from optima_lab.bandits.arms import LABELS
from optima_lab.bandits.policies.gaussian import KalmanThompson
from optima_lab.bandits.policies.shared import SharedGaussianThompson, likeness
from optima_lab.errors import ConfigError


def test_likeness_of_arms_by_hand() -> None:
    c = likeness(7)
    image, text, both, everything = (LABELS.index(it) for it in ("Img", "Txt", "Img+Txt", "Img+Txt+Multi"))
    assert c[image, text] == 0 and c[image, both] == pytest.approx(1 / np.sqrt(2))
    assert c[both, everything] == pytest.approx(2 / np.sqrt(6)) and np.allclose(np.diag(c), 1)
    assert np.linalg.eigvalsh(c).min() > -1e-12


def test_arms_must_be_all_sets_of_modules(generator: np.random.Generator) -> None:
    with pytest.raises(ConfigError, match=r"arms must be all 2\^c - 1 sets of c modules .* got 5"):
        SharedGaussianThompson().init(5, 1, generator)


def test_without_sharing_it_is_the_kalman_sampler() -> None:
    shared, kalman = SharedGaussianThompson(sharing=0.0), KalmanThompson()
    states = [policy.init(7, 4, np.random.default_rng(0)) for policy in (shared, kalman)]
    streams = [np.random.default_rng(1) for _ in range(2)]
    for _ in range(50):
        arms = [p.select(s, g).arm for p, s, g in zip((shared, kalman), states, streams, strict=True)]
        assert np.array_equal(*arms)
        states = [p.update(s, arms[0], arms[0] / 100) for p, s in zip((shared, kalman), states, strict=True)]
    assert states[0]["mean"] == pytest.approx(states[1]["mean"])
    assert shared.posterior(states[0]).deviation ** 2 == pytest.approx(states[1]["variance"])


def test_updates_are_one_conditioning_of_a_gaussian(generator: np.random.Generator) -> None:
    policy = SharedGaussianThompson(drift=0.0, noise=0.1, prior_mean=0.3, prior_std=0.5, sharing=0.7)
    plays, rewards = np.array([0, 3, 3, 6, 1]), generator.normal(size=5)
    state = policy.init(7, 1, generator)
    for arm, reward in zip(plays, rewards, strict=True):
        state = policy.update(state, np.array([arm]), np.array([reward]))
    prior, seen = 0.25 * policy.correlation(7), np.eye(7)[plays]
    gain = prior @ seen.T @ np.linalg.inv(seen @ prior @ seen.T + 0.01 * np.eye(5))
    assert state["mean"][0] == pytest.approx(0.3 + gain @ (rewards - 0.3))
    assert state["covariance"][0] == pytest.approx(prior - gain @ seen @ prior)


def test_a_play_teaches_about_arms_that_share_a_module_and_no_others(generator: np.random.Generator) -> None:
    policy = SharedGaussianThompson()
    state = policy.init(7, 1, generator)
    state = policy.update(state, np.array([LABELS.index("Img")]), np.array([0.5]))
    moved = state["mean"][0] != policy.prior_mean
    assert [label for label, it in zip(LABELS, moved, strict=True) if it] == [it for it in LABELS if "Img" in it]


def test_draws_have_the_covariance(generator: np.random.Generator) -> None:
    policy = SharedGaussianThompson(prior_std=1.0, prior_mean=0.0)
    draws = policy.select(policy.init(7, 100_000, generator), generator).scores
    assert np.cov(draws.T) == pytest.approx(policy.correlation(7), abs=0.02)
