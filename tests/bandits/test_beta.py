"""Beta samplers by hand, and what they refuse."""

import numpy as np
import pytest
from feeding import fed
from scipy.stats import beta

from optima_lab.bandits.policies import make_policy
from optima_lab.bandits.policies.beta import BetaThompson, DiscountedBetaThompson, SlidingBetaThompson
from optima_lab.errors import ConfigError


def test_counts_by_hand() -> None:
    state = fed(BetaThompson(), [(0, 1.0), (0, 0.0), (1, 1.0), (0, 1.0)])
    assert state["success"].tolist() == [[2.0, 1.0]] and state["plays"].tolist() == [[3.0, 1.0]]


def test_the_discount_falls_once_a_round_on_every_arm() -> None:
    state = fed(DiscountedBetaThompson(decay=0.5), [(0, 1.0), (1, 0.0), (0, 0.0)], arms=3)
    assert state["plays"].tolist() == [[1.25, 0.5, 0.0]] and state["success"].tolist() == [[0.25, 0.0, 0.0]]


def test_the_window_is_global() -> None:
    state = fed(SlidingBetaThompson(window=2), [(0, 1.0), (1, 1.0), (1, 0.0)])
    assert state["plays"].tolist() == [[0.0, 2.0]] and state["sums"].tolist() == [[0.0, 1.0]]


@pytest.mark.parametrize("name", ["beta_ts", "beta_dts", "beta_swts"])
def test_draws_follow_the_posterior(name: str, generator: np.random.Generator) -> None:
    policy = make_policy(name, reward_max=2.0, prior=2.0)
    state = policy.init(1, 100_000, generator)
    for reward in (2.0, 2.0, 0.0):
        state = policy.update(state, np.zeros(100_000, np.int64), np.full(100_000, reward))
    belief, draws = policy.posterior(state), policy.select(state, generator).scores
    assert belief is not None
    assert draws.mean() == pytest.approx(belief.mean[0, 0], rel=0.01)
    assert draws.std() == pytest.approx(belief.deviation[0, 0], rel=0.01)
    if name != "beta_dts":
        assert belief.mean[0, 0] == pytest.approx(2 * beta(4, 3).mean())
        assert belief.deviation[0, 0] == pytest.approx(2 * beta(4, 3).std())


@pytest.mark.parametrize("name", ["beta_ts", "beta_dts", "beta_swts", "exp3s", "glr_klucb"])
@pytest.mark.parametrize("reward", [-0.001, 0.3])
def test_a_reward_outside_the_range_is_refused_with_its_value(name: str, reward: float) -> None:
    policy = make_policy(name, reward_max=0.25)
    state = policy.init(3, 2, np.random.default_rng(0))
    with pytest.raises(ConfigError, match=rf"reward must be in \[0, 0.25\] .* got {reward}"):
        policy.update(state, np.array([0, 1]), np.array([0.1, reward]))
