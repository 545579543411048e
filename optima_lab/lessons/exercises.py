"""Exercises of the lessons, and a checker that explains: `check("10.1", answer)`.

An answer of `...` is not yet one. A wrong one raises WrongAnswer with a hint; a right one returns why it is right.
Some answers are policies: they are played in the exercise's world, with luck that the lesson has not shown.
"""

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from optima_lab.bandits.environments import World, make_world
from optima_lab.bandits.policies import POLICIES, Policy, make_policy
from optima_lab.bandits.policies.baselines import Fixed, Oracle
from optima_lab.bandits.policies.trial import try_out
from optima_lab.bandits.regret import best_arm_share, dynamic_regret
from optima_lab.bandits.simulate import simulate
from optima_lab.errors import ConfigError, OptimaError, nearest
from optima_lab.lessons.worlds import eight_modules, five_modules, late_riser, three_coins

UNSEEN = 20_231  # the seed that exercises are checked with


class WrongAnswer(OptimaError):
    """An answer that is not right; the message is a hint."""


@dataclass(frozen=True)
class Verdict:
    """What the checker says of an answer that is not wrong."""

    answered: bool
    text: str

    def __str__(self) -> str:
        return self.text

    def _repr_markdown_(self) -> str:
        return f"{'✅' if self.answered else '✏️'} {self.text}"


@dataclass(frozen=True)
class Exercise:
    """A question, how its answer is judged, and why the right one is right."""

    question: str
    judge: Callable[[Any], str]  # a hint, or "" for a right answer
    why: str


def check(number: str, answer: Any) -> Verdict:
    """Judge an answer. Raises WrongAnswer with a hint, ConfigError for an exercise that does not exist."""
    if number not in EXERCISES:
        raise ConfigError(f"no exercise {number!r}{nearest(number, list(EXERCISES))}")
    exercise = EXERCISES[number]
    if answer is ... or answer is None:
        return Verdict(False, f"**{number} not answered yet.** {exercise.question}")
    hint = exercise.judge(answer)
    if hint:
        raise WrongAnswer(f"exercise {number}, not yet: {hint}")
    return Verdict(True, f"**{number} right.** {exercise.why}")


def number(expected: float, hint: str, tolerance: float = 0.02, slips: dict[float, str] | None = None) -> Callable:
    """Judge a number within a relative tolerance; `slips` are wrong numbers whose cause is known."""

    def judge(answer: Any) -> str:
        if isinstance(answer, bool | np.bool_) or not isinstance(answer, Real):
            return f"the answer is a number, got {type(answer).__name__} {answer!r}"
        if close(float(answer), expected, tolerance):
            return ""
        known = [text for slip, text in (slips or {}).items() if close(float(answer), slip, tolerance)]
        return f"{answer:g} it is not; {known[0] if known else hint}"

    return judge


def close(answer: float, expected: float, tolerance: float) -> bool:
    """Equal within a relative tolerance; the sign counts."""
    return abs(answer - expected) <= tolerance * abs(expected)


def yes_or_no(expected: bool, hint: str) -> Callable:
    """Judge True or False."""

    def judge(answer: Any) -> str:
        if not isinstance(answer, bool | np.bool_):
            return f"the answer is True or False, got {type(answer).__name__} {answer!r}"
        return "" if bool(answer) == expected else hint

    return judge


def policy(trial: Callable[[Policy], str]) -> Callable:
    """Judge a policy by a trial that returns a hint; policies that are told the answer are no answer."""

    def judge(answer: Any) -> str:
        if not isinstance(answer, Policy):
            return f"the answer is a policy, as make_policy(…) returns it, got {type(answer).__name__} {answer!r}"
        if isinstance(answer, Oracle | Fixed):
            return f"{answer.name!r} is told beforehand what it should find out; take a policy that learns"
        if type(answer) not in POLICIES.values():
            try_out(answer, arms=3, replications=2)
        return trial(answer)

    return judge


def cheaper_than(
    rival: Policy, world: World, horizon: int, part: float, hint: str, replications: int = 200
) -> Callable:
    """Judge a policy by its mean regret: at most `part` of the rival's, over replications with the same luck."""

    def trial(answer: Policy) -> str:
        run = simulate(world, {"yours": answer, "rival": rival}, horizon, replications, seed=UNSEEN)
        mine, other = dynamic_regret(run, "yours")[-1], dynamic_regret(run, "rival")[-1]
        found = (
            f"yours costs {mine.mean():.3g}, {rival.name} {other.mean():.3g}, wanted at most {part * other.mean():.3g}"
        )
        return "" if mine.mean() <= part * other.mean() else f"{found}; {hint}"

    return policy(trial)


def hears_a_late_change(answer: Policy) -> str:
    """A hint unless the best arm is played in 40 % of the 1,000 rounds before and after a change at round 30,000."""
    change = 30_000
    run = simulate(late_riser(change), {"yours": answer}, change + 1000, 30, seed=UNSEEN, points=31)
    hits = run.outcomes["yours"].hits
    ends = [int(np.flatnonzero(run.points == rounds)[0]) for rounds in (change - 1000, change)]
    before = 100 * (hits[ends[1]] - hits[ends[0]]).mean() / 1000
    after = 100 * best_arm_share(run, "yours", first=change).mean()
    found = f"best arm in {before:.0f} % of the 1,000 rounds before the change and in {after:.0f} % of those after"
    if before < 40:
        return f"{found}, wanted 40 % in both; it also has to play well while nothing happens"
    return "" if after >= 40 else f"{found}, wanted 40 % in both; what must happen to the belief about an unplayed arm?"


EXERCISES: dict[str, Exercise] = {
    "10.1": Exercise(
        "Means are 0.3, 0.5, 0.7; someone plays arms 0, 2, 2, 1. What is the regret after these four rounds?",
        number(
            0.6,
            "for every round take 0.7 minus the mean of the arm that was played, and add up the four",
            slips={2.2: "that is the expected reward; regret is what the best arm would have brought more"},
        ),
        "0.4 + 0 + 0 + 0.2: the rewards that luck gave do not enter.",
    ),
    "10.2": Exercise(
        "In the long run, in what part of the rounds (0 to 1) does ε-greedy with ε = 0.3 play one of the two wrong "
        "arms out of three?",
        number(
            0.2,
            "it explores in 0.3 of the rounds; which arms can an exploring round play?",
            slips={0.3: "an exploring round also plays the best arm, one time in three"},
        ),
        "0.3 · 2/3: and it never gets less, however long it plays; so its regret grows for ever.",
    ),
    "10.3": Exercise(
        "Make a policy (`make_policy(name, …)`) whose regret after 300 rounds is at most 85 % of ε-greedy's with "
        "ε = 0.1.",
        cheaper_than(
            make_policy("epsilon_greedy", epsilon=0.1, step=0.0),
            three_coins(),
            300,
            0.85,
            "explore much at first and little later: which policy explores by what it does not know yet?",
        ),
        "It stops exploring what it already knows to be worse.",
    ),
    "11.1": Exercise(
        "With γ = 0.98, after how many rounds does a reward count half?",
        number(
            34.3,
            "solve 0.98 ** n = 1/2",
            slips={50.0: "that is 1/(1 − γ), how many rounds count in all; here 0.98 ** n must be 1/2"},
        ),
        "−1 / log2 0.98 = 34.3: the half-life of Appendix A.7.",
    ),
    "11.2": Exercise(
        "With γ = 0.98, how many rounds count at most, all discounted counts together?",
        number(50.0, "sum the series 1 + γ + γ² + …"),
        "1 / (1 − γ) = 50: seven arms share fifty rounds, so every arm stays a little uncertain for ever.",
    ),
    "11.3": Exercise(
        "Make a policy whose regret in the changing world is at most 85 % of `beta_ts`'s after 1,000 rounds.",
        cheaper_than(
            make_policy("beta_ts"),
            make_world("piecewise", low=0.2, high=0.8, noise_std=0.0),
            1000,
            0.85,
            "forget, but not too fast: compare half-lives with the 300 rounds between changes",
        ),
        "It forgets fast enough for the changes and slowly enough to know anything at all.",
    ),
    "12.1": Exercise(
        "After how many plays n of an arm is OPTIMA's standard deviation 1/√(n + 1) as small as the distance 0.04/6 "
        "between two neighbouring means?",
        number(
            22_499.0,
            "solve 1/√(n + 1) = 0.04/6",
            0.01,
            slips={149.0: "1/(n + 1) is the variance; its root must be 0.04/6"},
        ),
        "(6/0.04)² − 1 = 22,499 plays of one arm, in a run of 1,000 rounds: it will not happen.",
    ),
    "12.2": Exercise(
        "Which `scale` makes OPTIMA's posterior as wide as the rewards' noise says, in this world?",
        number(
            0.02,
            "scale is the standard deviation of one reward's noise, in units of the reward; the last figure shows it",
            0.2,
            slips={0.0004: "that is the variance; scale is a standard deviation"},
        ),
        "σ = 0.02: what `optima_calibrated` finds by itself within a few rounds.",
    ),
    "12.3": Exercise(
        "Make a policy that plays the best arm in at least 40 % of the 1,000 rounds before *and* after the change "
        "at round 30,000.",
        policy(hears_a_late_change),
        "Its belief about an arm that is not played widens again, so it tries that arm now and then.",
    ),
    "13.1": Exercise(
        "Policy A's regret minus B's is −0.4 with the 95 % interval [−0.9, 0.1]. Is A shown to be better? (True or "
        "False)",
        yes_or_no(False, "does the interval contain a value at which B is the better one?"),
        "The interval contains 0 and more: B may be better by 0.1. More replications would tell.",
    ),
    "13.2": Exercise(
        "Make a policy whose regret in the world `swap` (rewards of 0.02 to 0.06, 1,000 rounds) is at most 90 % of "
        "`optima_calibrated`'s.",
        cheaper_than(
            make_policy("optima_calibrated"),
            make_world("swap"),
            1000,
            0.9,
            "whose belief about arms that it does not play widens, and which knows the rewards' scale?",
        ),
        "It is calibrated, and it keeps listening.",
    ),
    "14.1": Exercise(
        "A model has five modules. How many arms are there?",
        number(31.0, "every non-empty set of modules is an arm", slips={32.0: "the empty set is no arm"}),
        "2⁵ − 1 = 31; with ten rounds for each, 310 rounds are gone before a choice is made.",
    ),
    "14.2": Exercise(
        "With `sharing` = 0.8, how strongly are Img and Img+Txt correlated before anything is seen?",
        number(
            0.8 / np.sqrt(2),
            "0.8 times |j ∩ k| / √(|j| |k|), for sets of one and two modules with one in common",
            slips={1 / np.sqrt(2): "that is the modules' part alone; sharing scales it"},
        ),
        "0.8 · 1/√2 = 0.566.",
    ),
    "14.3": Exercise(
        "Make a policy whose regret with 31 arms of five modules after 400 rounds is at most 75 % of `kalman_ts`'s.",
        cheaper_than(
            make_policy("kalman_ts"),
            five_modules(),
            400,
            0.75,
            "400 rounds are few for 31 arms; who learns about several arms from one reward, and how much of it?",
        ),
        "A reward says something about every arm that shares a module with the one played.",
    ),
    "14.4": Exercise(
        "Eight modules have 255 arms. Once the drawn contributions are sorted, how many sets must `linear_ts` compare?",
        number(
            8.0,
            "of all sets with k modules, which one can be the best? How many different k are there?",
            slips={255.0: "of two sets with equally many modules, the one with the larger contributions is the better"},
        ),
        "One of each size: the k largest contributions, for k = 1 … 8.",
    ),
    "14.5": Exercise(
        "Make a policy whose regret with 255 arms of eight modules after 300 rounds is at most half of `kalman_ts`'s.",
        cheaper_than(
            make_policy("kalman_ts"),
            eight_modules(),
            300,
            0.5,
            "there are fewer rounds than arms; which policy holds beliefs about something there is less of?",
            replications=50,
        ),
        "Nine numbers can be learnt in 300 rounds, 255 cannot.",
    ),
}
