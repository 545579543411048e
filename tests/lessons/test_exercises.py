"""The checker: unanswered is said, right is explained, wrong and nearly right get a hint, and nothing is raised."""

import re
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from optima_lab.bandits.policies import Policy, make_policy
from optima_lab.bandits.policies.base import Selection, State
from optima_lab.bandits.policies.baselines import Oracle, Uniform
from optima_lab.errors import ConfigError
from optima_lab.lessons.exercises import EXERCISES, check, policy_of

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
    assert untouched.state == "open" and EXERCISES[number].question in str(untouched)
    wrong, hint = WRONG[number]
    told = check(number, wrong)
    assert told.state == "wrong" and re.search(hint, str(told)), told
    right = check(number, RIGHT[number])
    assert right.right and EXERCISES[number].why in str(right)
    assert right._repr_markdown_().startswith("> "), "a box"


@pytest.mark.parametrize("number", [number for number, one in EXERCISES.items() if one.judge.kind != "policy"])
def test_the_solution_that_is_shown_is_right(number: str) -> None:
    """Of policies the page's records say it (test_quiz.py)."""
    solution = EXERCISES[number].solution
    assert check(number, False if solution == "False" else float(solution)).right


def test_nearly_is_said_and_why() -> None:
    told = check("11.1", 35)
    assert told.state == "near"
    assert "nearly:** 35 is 2.0 % off; after 34 rounds a little more than half is left" in str(told)
    assert check("11.1", 34.31).right and check("11.1", 50).state == "wrong", "a slip is no near answer"
    assert check("10.1", 0.63).state == "near" and check("10.1", 0.7).state == "wrong"
    assert check("12.2", 0.021).right, "within what the question leaves open"


@dataclass(frozen=True)
class Told(Oracle):
    """A subclass of the oracle under another name."""

    name: ClassVar[str] = "clever"


@dataclass(frozen=True)
class Constant(Uniform):
    """Plays the best arm for ever, and learns nothing."""

    name: ClassVar[str] = "constant"

    def select(self, state: State, generator: np.random.Generator) -> Selection:
        plays = state["plays"]
        return Selection(np.full(len(plays), plays.shape[1] - 1), np.zeros(plays.shape))


@dataclass(frozen=True)
class Broken(Uniform):
    """Fails in its second round."""

    name: ClassVar[str] = "broken"

    def learn(self, state: State, arm: np.ndarray, reward: np.ndarray) -> None:
        raise KeyError("memory")


class Mine(Policy):
    """A policy of one's own, without a name, that plays as Thompson sampling does."""

    def init(self, arms: int, replications: int, generator: np.random.Generator) -> State:
        return make_policy("beta_ts").init(arms, replications, generator)

    def select(self, state: State, generator: np.random.Generator) -> Selection:
        return make_policy("beta_ts").select(state, generator)

    def learn(self, state: State, arm: np.ndarray, reward: np.ndarray) -> None:
        make_policy("beta_ts").learn(state, arm, reward)


class TooFew(Mine):
    """Made for one replication."""

    def select(self, state: State, generator: np.random.Generator) -> Selection:
        return Selection(np.zeros(1, int), np.zeros((1, 3)))


def test_a_policy_of_ones_own_is_judged() -> None:
    assert check("10.3", Mine()).state == "right"


@pytest.mark.parametrize(
    ("number", "answer", "message"),
    [
        ("10.1", "0.6", "the answer is a number, got str '0.6'"),
        ("10.1", True, "the answer is a number, got bool True"),
        ("10.1", -0.6, "-0.6 it is not; for every round"),
        ("13.1", 0, "the answer is True or False, got int 0"),
        ("10.3", 3, "the answer is a policy, as make_policy"),
        ("10.3", "beta_tss", "did you mean 'beta_ts'"),
        ("10.3", "beta_dts:decay=much", "decay must be a number, True or False, got 'much'"),
        ("10.3", make_policy("oracle"), "'oracle' is told beforehand"),
        ("10.3", make_policy("fixed", arm=2), "'fixed' is told beforehand"),
        ("10.3", Told(), "'clever' is told beforehand"),
        ("10.3", Constant(), "it plays arm 2 in every round, whatever the rewards are"),
        ("10.3", Broken(), "Broken.update must work in a first try, got KeyError: 'memory'"),
        ("10.3", TooFew(), "TooFew.select must return a Selection whose arm is 2 whole numbers below 3"),
    ],
    ids=str,
)
def test_answers_of_another_kind_are_told_what_is_wanted(number: str, answer: object, message: str) -> None:
    told = check(number, answer)
    assert told.state == "wrong" and message in str(told), told


def test_a_policy_is_an_answer_as_text_and_as_an_object() -> None:
    assert policy_of("beta_dts: decay=0.99") == make_policy("beta_dts", decay=0.99)
    assert check("10.3", "beta_ts") == check("10.3", make_policy("beta_ts"))


def test_playing_well_only_before_or_only_after_is_not_enough() -> None:
    assert "play well while nothing happens" in str(check("12.3", make_policy("random")))


def test_an_exercise_that_does_not_exist_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"no exercise '10.11'; did you mean '10.1'"):
        check("10.11", 3)
