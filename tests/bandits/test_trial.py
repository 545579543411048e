"""A policy of one's own that does not keep to the interface is told so, in one line, before a run begins."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from optima_lab.bandits.policies import POLICIES, Policy, Selection, make_policy
from optima_lab.bandits.policies.base import count_play, counters, flat_index
from optima_lab.bandits.policies.trial import try_out
from optima_lab.errors import ConfigError


@dataclass(frozen=True)
class First(Policy):
    """Plays the first arm; what a case says is done in another way."""

    case: str = ""

    def init(self, arms: int, replications: int, generator: np.random.Generator) -> Any:
        state = counters(arms, replications)
        if self.case == "list":
            return [*state.values()]
        if self.case == "no plays":
            del state["plays"]
        return state | ({"text": np.array(["a"])} if self.case == "text" else {})

    def select(self, state: Any, generator: np.random.Generator) -> Any:
        replications = len(state["plays"])
        arm = {"scalar": np.int64(0), "beyond": np.full(replications, 7), "float": np.zeros(replications)}
        chosen = arm.get(self.case, np.zeros(replications, np.int64))
        scores = np.zeros(7) if self.case == "scores" else np.zeros((replications, 7))
        return None if self.case == "none" else Selection(chosen, scores)

    def learn(self, state: Any, arm: np.ndarray, reward: np.ndarray) -> None:
        if self.case == "fails":
            raise ZeroDivisionError("of mine")
        if self.case == "itself":
            object.__setattr__(self, "seen", reward)
        count_play(state, flat_index(state, arm))

    def posterior(self, state: Any) -> Any:
        return (np.zeros(7), np.zeros(7)) if self.case == "belief" else None


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("list", r"First's state must be a dict of arrays of numbers, got \["),
        ("text", "First's state must be a dict of arrays of numbers"),
        ("no plays", "First.select must work in a first try, got KeyError: 'plays'"),
        ("none", "First.select must return a Selection whose arm is 2 whole numbers below 7, got None"),
        ("scalar", "arm is 2 whole numbers below 7"),
        ("beyond", "arm is 2 whole numbers below 7"),
        ("float", "arm is 2 whole numbers below 7"),
        ("scores", r"First.select's scores must be \(2, 7\)"),
        ("fails", r"First.update must work in a first try, got ZeroDivisionError: of mine \(line \d+, raise"),
        ("itself", r"First must keep what changes in its state, not in itself: .*, got \['case', 'seen'\]"),
        ("belief", r"First.posterior's arrays must be \(2, 7\), got \(7,\)"),
    ],
)
def test_what_is_wrong_is_told(case: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        try_out(First(case), replications=2)
    assert "\n" not in str(caught.value)


def test_what_is_right_is_let_be() -> None:
    try_out(First(), replications=2)
    assert First.name == "First", "a policy that says no name is called as its class"
    for name in set(POLICIES) - {"oracle"}:
        try_out(make_policy(name), replications=2)
