"""The checker: unanswered is said, right is explained, wrong fails with a hint."""

import numpy as np
import pytest

from optima_lab.bandits.policies import Policy, Selection, make_policy
from optima_lab.bandits.policies.baselines import Oracle
from optima_lab.errors import ConfigError, OptimaError
from optima_lab.lessons.exercises import EXERCISES, WrongAnswer, check

RIGHT = {
    "10.1": 0.6,
    "10.2": 0.2,
    "10.3": make_policy("beta_ts"),
    "11.1": 34.3,
    "11.2": 50,
    "11.3": make_policy("beta_dts", decay=0.995),
    "12.1": 22_499,
    "12.2": 0.02,
    "12.3": make_policy("gaussian_dts"),
    "13.1": False,
    "13.2": make_policy("kalman_ts"),
    "14.1": 31,
    "14.2": 0.566,
    "14.3": make_policy("shared_ts", sharing=0.9),
    "14.4": 8,
    "14.5": make_policy("linear_ts"),
}
WRONG = {
    "10.1": (2.2, "regret is what the best arm would have brought more"),
    "10.2": (0.3, "also plays the best arm"),
    "10.3": (make_policy("random"), "wanted at most"),
    "11.1": (50, r"0.98 \*\* n must be 1/2"),
    "11.2": (34.3, "sum the series"),
    "11.3": (make_policy("beta_dts", decay=0.9), "forget, but not too fast"),
    "12.1": (149, "is the variance"),
    "12.2": (0.0004, "scale is a standard deviation"),
    "12.3": (make_policy("optima"), "belief about an unplayed arm"),
    "13.1": (True, "does the interval contain"),
    "13.2": (make_policy("optima"), "wanted at most"),
    "14.1": (32, "the empty set is no arm"),
    "14.2": (0.707, "sharing scales it"),
    "14.3": (make_policy("kalman_ts"), "learns about several arms"),
    "14.4": (255, "equally many modules"),
    "14.5": (make_policy("optima", initial_plays=1), "fewer rounds than arms"),
}


@pytest.mark.parametrize("number", EXERCISES)
def test_an_exercise_is_unanswered_then_wrong_then_right(number: str) -> None:
    untouched = check(number, ...)
    assert not untouched.answered and EXERCISES[number].question in str(untouched)
    wrong, hint = WRONG[number]
    with pytest.raises(WrongAnswer, match=hint):
        check(number, wrong)
    right = check(number, RIGHT[number])
    assert right.answered and EXERCISES[number].why in str(right)


@pytest.mark.parametrize(
    ("number", "answer", "message"),
    [
        ("10.1", "0.6", "the answer is a number, got str '0.6'"),
        ("10.1", True, "the answer is a number, got bool True"),
        ("10.1", -0.6, "-0.6 it is not; for every round"),
        ("13.1", 0, "the answer is True or False, got int 0"),
        ("10.3", "beta_ts", "the answer is a policy, as make_policy"),
        ("10.3", make_policy("oracle"), "'oracle' is told beforehand"),
        ("10.3", make_policy("fixed", arm=2), "'fixed' is told beforehand"),
    ],
)
def test_answers_of_another_kind_are_told_what_is_wanted(number: str, answer: object, message: str) -> None:
    with pytest.raises(WrongAnswer, match=message):
        check(number, answer)


class Mine(Policy):
    """A policy of one's own, without a name, that plays as Thompson sampling does."""

    def init(self, arms, replications, generator):
        return make_policy("beta_ts").init(arms, replications, generator)

    def select(self, state, generator):
        return make_policy("beta_ts").select(state, generator)

    def learn(self, state, arm, reward):
        make_policy("beta_ts").learn(state, arm, reward)


class Told(Oracle):
    """The oracle under another name."""


class Broken(Mine):
    """Made for one replication."""

    def select(self, state, generator):
        return Selection(np.zeros(1, int), np.zeros((1, 3)))


def test_a_policy_of_ones_own_is_judged() -> None:
    assert check("10.3", Mine()).answered
    with pytest.raises(WrongAnswer, match="'Told' is told beforehand"):
        check("10.3", Told())
    with pytest.raises(
        ConfigError, match=r"Broken\.select must return a Selection whose arm is 2 whole numbers below 3"
    ):
        check("10.3", Broken())


def test_playing_well_only_before_or_only_after_is_not_enough() -> None:
    with pytest.raises(WrongAnswer, match="play well while nothing happens"):
        check("12.3", make_policy("random"))


def test_an_exercise_that_does_not_exist_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"no exercise '10.11'; did you mean '10.1'"):
        check("10.11", 3)
    assert issubclass(WrongAnswer, OptimaError)
