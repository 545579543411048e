"""Indices of D-UCB and SW-UCB by hand."""

import numpy as np
import pytest
from feeding import fed

from optima_lab.bandits.policies.ucb import DiscountedUcb, SlidingUcb


def test_discounted_index_by_hand(generator: np.random.Generator) -> None:
    policy = DiscountedUcb(decay=0.5, bound=1.0, xi=0.5)
    state = fed(policy, [(0, 1.0), (1, 0.5), (0, 0.2)])
    plays = np.array([1.25, 0.5])
    mean = np.array([(0.25 * 1.0 + 0.2) / 1.25, 0.5])
    expected = mean + 2 * np.sqrt(0.5 * np.log(1.75) / plays)
    assert policy.select(state, generator).scores[0] == pytest.approx(expected)


def test_sliding_index_by_hand(generator: np.random.Generator) -> None:
    policy = SlidingUcb(window=3, bound=2.0, xi=0.6)
    state = fed(policy, [(0, 9.0), (0, 1.0), (1, 0.5), (0, 0.2)])
    expected = np.array([0.6, 0.5]) + 2 * np.sqrt(0.6 * np.log(3) / np.array([2.0, 1.0]))
    assert policy.select(state, generator).scores[0] == pytest.approx(expected)


@pytest.mark.parametrize("policy", [DiscountedUcb(), SlidingUcb(window=7)])
def test_every_arm_is_tried_before_any_is_tried_twice(policy, generator: np.random.Generator) -> None:
    state = policy.init(7, 2, generator)
    seen = []
    for _ in range(7):
        arm = policy.select(state, generator).arm
        seen.append(arm[0])
        state = policy.update(state, arm, np.full(2, 0.1))
    assert sorted(seen) == list(range(7))


def test_an_arm_that_left_the_window_comes_back(generator: np.random.Generator) -> None:
    policy = SlidingUcb(window=4)
    state = fed(policy, [(2, 0.0), (0, 0.1), (1, 0.1), (0, 0.1), (1, 0.1)], arms=3)
    assert policy.select(state, generator).arm[0] == 2
