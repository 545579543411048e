"""Forgetting Gaussian samplers by hand: discount, window and Kalman."""

import numpy as np
import pytest
from feeding import fed

from optima_lab.bandits.policies.gaussian import DiscountedGaussianThompson, KalmanThompson, SlidingGaussianThompson
from optima_lab.bandits.policies.noise_estimate import noise


def test_the_discount_falls_once_a_round_on_every_arm() -> None:
    state = fed(DiscountedGaussianThompson(decay=0.5), [(0, 1.0), (1, 4.0), (0, 5.0)], arms=3)
    assert state["plays"].tolist() == [[0.25 + 1, 0.5, 0.0]]
    assert state["mean"][0].tolist() == pytest.approx([(0.25 * 1 + 5) / 1.25, 4.0, 0.0])  # discounted average


def test_the_belief_about_an_arm_left_alone_widens(generator: np.random.Generator) -> None:
    policy = DiscountedGaussianThompson(decay=0.5, noise=2.0)
    before = policy.posterior(fed(policy, [(0, 1.0)])).deviation[0, 0]
    after = policy.posterior(fed(policy, [(0, 1.0), (1, 1.0), (1, 1.0)])).deviation[0, 0]
    assert before == pytest.approx(2.0) and after == pytest.approx(4.0)  # noise / √N: N is 1, then 1/4


def test_discounted_draws_have_the_variance_of_the_posterior(generator: np.random.Generator) -> None:
    policy = DiscountedGaussianThompson(noise=3.0, initial_plays=1)
    state = policy.init(1, 200_000, generator) | {"order": np.zeros((200_000, 0), np.int64)}
    state["plays"][:] = 9.0
    assert policy.select(state, generator).scores.std() == pytest.approx(1.0, rel=0.01)


def test_discounted_noise_is_unbiased_while_means_stand_still(generator: np.random.Generator) -> None:
    policy = DiscountedGaussianThompson()
    state = policy.init(7, 2000, generator)
    for _ in range(300):
        arm = policy.select(state, generator).arm
        policy.learn(state, arm, 0.01 * arm + 0.02 * generator.standard_normal(2000))
    assert (noise(state) ** 2).mean() == pytest.approx(0.02**2, rel=0.02)


def test_the_window_is_of_rounds_not_of_each_arms_plays() -> None:
    policy = SlidingGaussianThompson(window=3)
    state = fed(policy, [(0, 1.0), (0, 2.0), (1, 10.0), (1, 20.0), (1, 30.0)])
    assert state["plays"].tolist() == [[0.0, 3.0]]  # arm 0's plays left with their rounds
    assert state["sums"].tolist() == [[0.0, 60.0]]
    assert policy.select(state, np.random.default_rng(0)).arm[0] == 0  # unseen in the window: at once


def test_the_windows_noise_is_the_pooled_variance_within_arms(generator: np.random.Generator) -> None:
    rewards = generator.normal(size=(2, 5))
    plays = [(arm, 10.0 * arm + rewards[arm, i]) for i in range(5) for arm in range(2)]
    policy = SlidingGaussianThompson(window=8)
    expected = (rewards[0, 1:].var(ddof=0) * 4 + rewards[1, 1:].var(ddof=0) * 4) / (8 - 2)
    assert policy.window_noise(fed(policy, plays))[0] == pytest.approx(np.sqrt(expected))


def test_kalman_by_hand() -> None:
    policy = KalmanThompson(noise=1.0, drift=0.5, prior_mean=0.0, prior_std=1.0)
    state = fed(policy, [(0, 2.0)])
    assert state["mean"].tolist() == [[1.0, 0.0]]  # gain 1/2
    assert state["variance"].tolist() == [[0.5 + 0.25, 1.0 + 0.25]]  # corrected, then drifted; drifted alone
    state = fed(policy, [(0, 2.0), (0, 1.0)])
    gain = 0.75 / 1.75
    assert state["variance"][0, 0] == pytest.approx((1 - gain) * 0.75 + 0.25)


def test_kalman_without_drift_is_conjugate_bayes(generator: np.random.Generator) -> None:
    rewards = generator.normal(0.05, 0.02, 30)
    policy = KalmanThompson(noise=0.02, drift=0.0, prior_mean=0.1, prior_std=0.03)
    state = fed(policy, [(0, float(reward)) for reward in rewards])
    precision = 1 / 0.03**2 + 30 / 0.02**2
    assert state["variance"][0, 0] == pytest.approx(1 / precision)
    assert state["mean"][0, 0] == pytest.approx((0.1 / 0.03**2 + rewards.sum() / 0.02**2) / precision)


def test_kalman_draws_with_the_root_of_its_variance(generator: np.random.Generator) -> None:
    policy = KalmanThompson(prior_mean=0.0, prior_std=0.5)
    assert policy.select(policy.init(1, 200_000, generator), generator).scores.std() == pytest.approx(0.5, rel=0.01)
