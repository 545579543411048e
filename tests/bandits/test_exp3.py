"""Exp3.S against the paper's unnormalised recursion."""

from math import e

import numpy as np
import pytest

from optima_lab.bandits.policies.exp3 import Exp3S, advised_exp3s, draw_arm


def test_weights_are_the_papers_up_to_their_sum() -> None:
    gamma, alpha = 0.3, 0.01
    policy, weight = Exp3S(gamma, alpha), np.ones(3)
    state = policy.init(3, 1, np.random.default_rng(0))
    for arm, reward in [(0, 0.5), (2, 1.0), (0, 0.0), (1, 0.7), (1, 0.9)]:
        chance = (1 - gamma) * weight / weight.sum() + gamma / 3
        gain = np.zeros(3)
        gain[arm] = reward / chance[arm]
        weight = weight * np.exp(gamma * gain / 3) + e * alpha / 3 * weight.sum()
        state = policy.update(state, np.array([arm]), np.array([reward]))
        assert state["weight"][0] == pytest.approx(weight / weight.sum())


def test_a_long_run_neither_overflows_nor_loses_its_floor(generator: np.random.Generator) -> None:
    policy = Exp3S(exploration=0.1, share=0.0)
    state = policy.init(2, 1, generator)
    for _ in range(5000):
        policy.learn(state, np.array([0]), np.array([1.0]))
    assert np.isfinite(state["weight"]).all() and policy.chance(state)[0] == pytest.approx([0.95, 0.05])


def test_arms_are_drawn_by_their_probabilities(generator: np.random.Generator) -> None:
    chance = np.tile([0.5, 0.0, 0.2, 0.3], (100_000, 1))
    share = np.bincount(draw_arm(chance, generator), minlength=4) / 100_000
    assert share == pytest.approx([0.5, 0.0, 0.2, 0.3], abs=0.007) and share[1] == 0


def test_advice_is_a_valid_policy() -> None:
    advised = advised_exp3s(arms=7, horizon=1000, changes=2)
    assert advised.share == 0.001 and advised.exploration == pytest.approx(0.346, abs=0.001)
    assert advised_exp3s(7, 10, 5).exploration == 1.0
