"""Any sequence of plays, rewards of any size, arms left alone for ever: states stay finite and counts add up."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optima_lab.bandits.policies import POLICIES, Policy, State, make_policy

PLAYABLE = [name for name in POLICIES if name != "oracle"]
PLAYS = st.lists(st.tuples(st.integers(0, 2), st.floats(0, 1, allow_nan=False)), min_size=1, max_size=60)


@pytest.mark.parametrize("name", PLAYABLE)
@settings(max_examples=12, deadline=None)
@given(plays=PLAYS)
def test_any_sequence_leaves_a_finite_state_and_counts_that_add_up(name: str, plays: list[tuple[int, float]]) -> None:
    policy, generator = make_policy(name), np.random.default_rng(0)
    state = policy.init(3, 1, generator)
    for arm, reward in plays:
        state = policy.update(state, np.array([arm]), np.array([reward]))
    assert all(np.isfinite(array).all() for array in state.values())
    assert state["round"] == len(plays)
    assert state["plays"].sum() == pytest.approx(expected_plays(policy, state, len(plays)))
    if belief := policy.posterior(state):
        assert np.isfinite(belief.mean).all() and (belief.deviation >= 0).all()
        assert np.isfinite(belief.deviation).all()
    assert policy.select(state, generator).arm[0] in (0, 1, 2)


def expected_plays(policy: Policy, state: State, rounds: int) -> float:
    """What the counts must sum to: all rounds, those in the window, a geometric sum, or at most all since a restart."""
    if policy.name in ("cusum_ucb", "glr_klucb"):
        return float(state["plays"].sum()) if state["plays"].sum() <= rounds else np.nan
    if policy.name in ("gaussian_dts", "beta_dts", "discounted_ucb"):
        return (1 - policy.decay**rounds) / (1 - policy.decay)  # pyright: ignore[reportAttributeAccessIssue]
    return min(rounds, getattr(policy, "window", rounds))


UNBOUNDED = ["optima", "optima_calibrated", "gaussian_dts", "gaussian_swts", "kalman_ts", "shared_ts", "linear_ts"]


@pytest.mark.parametrize("name", UNBOUNDED)
@settings(max_examples=12, deadline=None)
@given(rewards=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40), scale=st.sampled_from([1e-9, 1.0, 1e6]))
def test_gaussian_policies_bear_rewards_of_any_size(name: str, rewards: list[float], scale: float) -> None:
    policy, generator = make_policy(name), np.random.default_rng(0)
    state = policy.init(3, 1, generator)
    for index, reward in enumerate(rewards):
        state = policy.update(state, np.array([index % 3]), np.array([reward * scale]))
    belief = policy.posterior(state)
    assert belief is not None and np.isfinite(belief.mean).all() and np.isfinite(belief.deviation).all()


@pytest.mark.parametrize("name", UNBOUNDED)
def test_an_arm_left_alone_for_ever_does_no_harm(name: str, generator: np.random.Generator) -> None:
    policy = make_policy(name)
    state = policy.init(3, 1, generator)
    for _ in range(40_000):
        policy.learn(state, np.array([0]), np.array([0.05]))
    policy.learn(state, np.array([2]), np.array([0.05]))
    belief = policy.posterior(state)
    assert belief is not None and np.isfinite(belief.mean).all() and np.isfinite(belief.deviation).all()
    assert policy.select(state, generator).arm[0] in (0, 1, 2)
