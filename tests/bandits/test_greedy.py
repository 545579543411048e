"""ε-greedy and softmax: averages by hand, and how often they explore."""

import numpy as np
import pytest

from optima_lab.bandits.policies.greedy import EpsilonGreedy, Softmax


def test_the_average_turns_into_a_constant_step() -> None:
    policy = EpsilonGreedy(step=0.5)
    state = policy.init(2, 1, np.random.default_rng(0))
    for reward in (1.0, 3.0, 4.0):
        state = policy.update(state, np.array([0]), np.array([reward]))
    assert state["mean"][0, 0] == 3.0  # 1; then (1+3)/2; then half-way to 4
    plain = EpsilonGreedy(step=0.0)
    state = plain.init(2, 1, np.random.default_rng(0))
    for reward in (1.0, 3.0, 5.0):
        state = plain.update(state, np.array([0]), np.array([reward]))
    assert state["mean"][0, 0] == 3.0


def settled(policy, mean: list[float], replications: int):
    """A state past its initial plays."""
    state = policy.init(len(mean), replications, np.random.default_rng(0))
    state["mean"][:] = mean
    return state | {"order": np.zeros((replications, 0), np.int64)}


def test_epsilon_is_the_probability_of_any_arm(generator: np.random.Generator) -> None:
    policy = EpsilonGreedy(epsilon=0.3)
    arm = policy.select(settled(policy, [0.0, 0.1, 0.0], 100_000), generator).arm
    assert np.bincount(arm) / 100_000 == pytest.approx([0.1, 0.8, 0.1], abs=0.006)


def test_softmax_probabilities_by_hand(generator: np.random.Generator) -> None:
    policy = Softmax(temperature=0.01)
    scores = policy.select(settled(policy, [0.02, 0.02 + 0.01 * np.log(3)], 2), generator).scores
    assert scores[0] == pytest.approx([0.25, 0.75])


def test_softmax_bears_means_far_above_its_temperature(generator: np.random.Generator) -> None:
    policy = Softmax(temperature=1e-6)
    assert (policy.select(settled(policy, [1e6, 0.0], 3), generator).arm == 0).all()
