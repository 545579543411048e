"""How answers are judged: numbers and yes or no by value, policies by playing them with luck that no lesson has shown.

A judge returns a hint, '' for what is right; `near` says why a number is nearly right and not yet.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import numpy as np

from optima_lab.bandits.environments import World
from optima_lab.bandits.policies import POLICIES, Policy
from optima_lab.bandits.policies.baselines import Fixed, Oracle
from optima_lab.bandits.policies.trial import try_out
from optima_lab.bandits.regret import best_arm_share, dynamic_regret
from optima_lab.bandits.rollout import follow
from optima_lab.bandits.simulate import simulate, stream
from optima_lab.errors import OptimaError
from optima_lab.lessons.worlds import late_riser

UNSEEN = 20_231  # the seed that policies are checked with
NEAR = 0.1  # of the right number: the way is right, the number is not yet


@dataclass(frozen=True)
class Number:
    """Judge a number within a relative tolerance; `slips` are wrong numbers whose cause is known, `near` says what is
    missing from one that is nearly right."""

    expected: float
    hint: str
    tolerance: float = 0.02
    slips: Mapping[float, str] = field(default_factory=dict)
    near: str = "compute it with one more digit"
    kind = "number"

    def __call__(self, answer: Any) -> str:
        if isinstance(answer, bool | np.bool_) or not isinstance(answer, Real):
            return f"the answer is a number, got {type(answer).__name__} {answer!r}"
        if close(float(answer), self.expected, self.tolerance):
            return ""
        hints = [text for slip, text in self.slips.items() if close(float(answer), slip, self.tolerance)]
        return f"{answer:g} it is not; {hints[0] if hints else self.hint}"

    def nearly(self, answer: Any) -> str:
        """What is missing from an answer that is wrong by less than a tenth; '' for others."""
        if self(answer).startswith("the answer is") or any(
            close(float(answer), slip, self.tolerance) for slip in self.slips
        ):
            return ""
        off = abs(float(answer) / self.expected - 1)
        return f"{answer:g} is {100 * off:.1f} % off; {self.near}" if self.tolerance < off <= NEAR else ""


def close(answer: float, expected: float, tolerance: float) -> bool:
    """Equal within a relative tolerance; the sign counts."""
    return abs(answer - expected) <= tolerance * abs(expected)


@dataclass(frozen=True)
class YesOrNo:
    """Judge True or False."""

    expected: bool
    hint: str
    kind = "yes or no"

    def __call__(self, answer: Any) -> str:
        if not isinstance(answer, bool | np.bool_):
            return f"the answer is True or False, got {type(answer).__name__} {answer!r}"
        return "" if bool(answer) == self.expected else self.hint


@dataclass(frozen=True)
class Trial:
    """Judge a policy by a trial that returns a hint; policies that learn nothing or fail are no answer."""

    trial: Callable[[Policy], str]
    world: World
    kind = "policy"

    def __call__(self, answer: Any) -> str:
        if not isinstance(answer, Policy):
            return f"the answer is a policy, as make_policy(…) returns it, got {type(answer).__name__} {answer!r}"
        try:
            return self._refused(answer) or self.trial(answer)
        except OptimaError as error:  # what a first try found wrong with it
            return str(error)
        except Exception as error:  # a reader's own policy may raise anything
            message = f"{type(error).__name__}: {error}".splitlines()[0]
            return f"your policy fails while it plays ({message}); try it with follow(policy, world) first"

    def _refused(self, answer: Policy) -> str:
        told_truth = "truth" in answer.init(self.world.arms, 1, stream(UNSEEN, "trial"))
        if isinstance(answer, Oracle | Fixed) or told_truth:
            name = getattr(answer, "name", type(answer).__name__)
            return f"{name!r} is told beforehand what it should find out; take a policy that learns"
        if type(answer) not in POLICIES.values():
            try_out(answer, self.world.arms, replications=2)
        rounds = 4 * self.world.arms
        plays = [follow(answer, self.world, rounds, UNSEEN + luck).arm for luck in range(3)]
        if len(np.unique(plays)) == 1:
            return f"it plays arm {plays[0][0]} in every round, whatever the rewards are; take a policy that learns"
        return ""


def cheaper_than(rival: Policy, world: World, horizon: int, part: float, hint: str, replications: int = 200) -> Trial:
    """Judge a policy by its mean regret: at most `part` of the rival's, over replications with the same luck."""

    def trial(answer: Policy) -> str:
        run = simulate(world, {"yours": answer, "rival": rival}, horizon, replications, seed=UNSEEN)
        mine, other = dynamic_regret(run, "yours")[-1], dynamic_regret(run, "rival")[-1]
        costs = (
            f"yours costs {mine.mean():.3g}, {rival.name} {other.mean():.3g}, wanted at most {part * other.mean():.3g}"
        )
        return "" if mine.mean() <= part * other.mean() else f"{costs}; {hint}"

    return Trial(trial, world)


def hears_a_late_change() -> Trial:
    """Judge a policy by the best arm's share, 40 % of the 1,000 rounds before and after a change at round 30,000."""
    change = 30_000
    world = late_riser(change)

    def trial(answer: Policy) -> str:
        run = simulate(world, {"yours": answer}, change + 1000, 30, seed=UNSEEN, points=31)
        hits = run.outcomes["yours"].hits
        ends = [int(np.flatnonzero(run.points == rounds)[0]) for rounds in (change - 1000, change)]
        before = 100 * (hits[ends[1]] - hits[ends[0]]).mean() / 1000
        after = 100 * best_arm_share(run, "yours", first=change).mean()
        shares = f"best arm in {before:.0f} % of the 1,000 rounds before the change and in {after:.0f} % of those after"
        if before < 40:
            return f"{shares}, wanted 40 % in both; it also has to play well while nothing happens"
        hint = "what must happen to the belief about an unplayed arm?"
        return "" if after >= 40 else f"{shares}, wanted 40 % in both; {hint}"

    return Trial(trial, world)
