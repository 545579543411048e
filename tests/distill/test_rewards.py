"""Eq. 6 by hand."""

from math import inf, nan

import pytest

from optima_lab.distill.rewards import ProbeLosses, Reward, decrement_ratio, per_cost, reward
from optima_lab.errors import ConfigError

BEFORE, AFTER = ProbeLosses(9.0, 2.0, 4.0, 10.0), ProbeLosses(1.0, 1.5, 3.0, 9.0)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (2.0, 1.5, 0.25),
        (2.0, 2.0, 0.0),
        (2.0, 3.0, 0.0),  # worse: clipped by zero, no punishment
        (2.0, 0.0, 1.0),
        (0.0, 0.0, 0.0),  # nothing left to lose
        (0.0, 1.0, 0.0),
        (-1.0, -2.0, 0.0),
        (nan, 1.0, 0.0),
        (1.0, nan, 0.0),
        (inf, 1.0, 0.0),
        (1.0, inf, 0.0),
        (1e-30, 5e-31, 0.5),
    ],
)
def test_decrement_ratio(before: float, after: float, expected: float):
    assert decrement_ratio(before, after) == pytest.approx(expected)


def test_the_reward_is_the_mean_of_three_ratios():
    # KL 0.5/2 = 0.25, hidden 1/4 = 0.25, attention 1/10 = 0.1: mean 0.2. The training loss, 8/9 down, is not in U.
    assert reward(BEFORE, AFTER) == pytest.approx(Reward(0.2, 0.25, 0.25, 0.1))


def test_each_ratio_is_clipped_by_itself():
    # Hidden goes from 4 to 8: its ratio is 0, not −1, and takes nothing from the others: (0.25 + 0 + 0.1) / 3.
    assert reward(BEFORE, AFTER._replace(hidden=8.0)) == pytest.approx(Reward(0.35 / 3, 0.25, 0.0, 0.1))


def test_variants_take_fewer_ratios_but_all_are_reported():
    assert reward(BEFORE, AFTER._replace(kl=1.0), "kl") == pytest.approx(Reward(0.5, 0.5, 0.25, 0.1))
    assert reward(BEFORE, AFTER._replace(kl=1.0), "layers") == pytest.approx(Reward(0.175, 0.5, 0.25, 0.1))


def test_the_reward_of_the_tasks_own_loss_is_one_ratio_alone():
    # The training loss falls from 9 to 6: a third; what Eq. 6 takes is still reported.
    assert reward(BEFORE, AFTER._replace(train=6.0), "train") == pytest.approx(Reward(1 / 3, 0.25, 0.25, 0.1))


def test_a_loss_that_is_not_finite_spoils_only_itself():
    assert reward(BEFORE, AFTER._replace(kl=nan)) == pytest.approx(Reward(0.35 / 3, 0.0, 0.25, 0.1))


def test_no_change_has_no_reward():
    assert reward(BEFORE, BEFORE) == Reward(0.0, 0.0, 0.0, 0.0)


def test_a_loss_that_there_is_not_does_not_count_as_zero():
    # No logits: (0.25 + 0.1) / 2 and not / 3. No attention either: hidden states alone.
    before, after = BEFORE._replace(kl=None), AFTER._replace(kl=None)
    assert reward(before, after) == Reward(pytest.approx(0.175), None, 0.25, pytest.approx(0.1))
    before, after = before._replace(attention=None), after._replace(attention=None)
    assert reward(before, after, "layers") == Reward(0.25, None, 0.25, None)


def test_a_reward_may_be_divided_by_what_its_round_cost():
    value = Reward(0.6, 0.2, 0.4, 1.2)
    for arm, expected in ({"image"}, 0.6), ({"image", "text"}, 0.4), ({"image", "text", "decoder"}, 0.3), (set(), 0.6):
        paid = per_cost(value, frozenset(arm), 0.5)
        assert paid.value == pytest.approx(expected) and paid[1:] == value[1:]
    assert per_cost(value, frozenset({"image", "text"}), 0.0) == value


def test_a_function_of_the_users_own_is_a_reward():
    assert reward(BEFORE, AFTER, lambda before, after: before.kl - after.kl) == pytest.approx(
        Reward(0.5, 0.25, 0.25, 0.1)
    )
    never = {"asked": False}
    spoilt = AFTER._replace(kl=nan)
    assert reward(BEFORE, spoilt, lambda before, after: never.update(asked=True) or 1.0).value == 0.0
    assert never == {"asked": False}


@pytest.mark.parametrize("value", [None, nan, "0.5", [0.5]])
def test_a_reward_that_is_no_number_is_refused(value):
    with pytest.raises(ConfigError, match=r"a reward must be a finite number, <lambda>\(.*\) returned"):
        reward(BEFORE, AFTER, lambda before, after: value)
