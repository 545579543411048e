"""Exercises of the lessons, and a checker that explains: `check("10.1", answer)`.

Nothing is raised for an answer: what is missing, wrong or nearly right is said in a box, and the notebook goes on.
`optima_lab.lessons.quiz` shows them with fields to answer in.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from optima_lab.bandits.environments import make_world
from optima_lab.bandits.policies import Policy, make_policy
from optima_lab.errors import ConfigError, nearest
from optima_lab.lessons.judges import Number, Trial, YesOrNo, cheaper_than, hears_a_late_change
from optima_lab.lessons.worlds import eight_modules, five_modules, three_coins

SIGNS = {"open": "✏️", "wrong": "❌", "near": "🔎", "right": "✅"}


@dataclass(frozen=True)
class Verdict:
    """What the checker says of an answer."""

    state: Literal["open", "wrong", "near", "right"]
    text: str

    @property
    def right(self) -> bool:
        """Whether the answer is right."""
        return self.state == "right"

    def __str__(self) -> str:
        return self.text

    def _repr_markdown_(self) -> str:
        return f"> {SIGNS[self.state]} {self.text}"


@dataclass(frozen=True)
class Exercise:
    """A question, how its answer is judged, why the right one is right, and what is shown after three tries."""

    question: str
    judge: Number | YesOrNo | Trial
    why: str
    solution: str


def check(number: str, answer: Any) -> Verdict:
    """Judge an answer: a number, True or False, a policy or its text ('beta_dts:decay=0.99').

    Raises ConfigError for an exercise that does not exist.
    """
    if number not in EXERCISES:
        raise ConfigError(f"no exercise {number!r}{nearest(number, list(EXERCISES))}")
    exercise = EXERCISES[number]
    if answer is ... or answer is None:
        return Verdict("open", f"**{number} not answered yet.** {exercise.question}")
    if exercise.judge.kind == "policy" and isinstance(answer, str):
        try:
            answer = policy_of(answer)
        except ConfigError as error:
            return Verdict("wrong", f"**{number} not yet:** {error}")
    hint = exercise.judge(answer)
    if not hint:
        return Verdict("right", f"**{number} right.** {exercise.why}")
    nearly = exercise.judge.nearly(answer) if isinstance(exercise.judge, Number) else ""
    return (
        Verdict("near", f"**{number} nearly:** {nearly}")
        if nearly
        else Verdict("wrong", f"**{number} not yet:** {hint}")
    )


def policy_of(text: str) -> Policy:
    """'beta_dts:decay=0.99, …' as a policy. Raises ConfigError for what does not exist or is no number."""
    name, _, settings = text.replace(" ", "").partition(":")
    parameters: dict[str, int | float | bool] = {}
    for setting in filter(None, settings.split(",")):
        key, _, value = setting.partition("=")
        parameters[key] = _plain(key, value)
    return make_policy(name, **parameters)


def _plain(key: str, value: str) -> int | float | bool:
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    if value not in ("True", "False"):
        raise ConfigError(f"{key} must be a number, True or False, got {value!r}")
    return value == "True"


EXERCISES: dict[str, Exercise] = {
    "10.1": Exercise(
        "Means are 0.3, 0.5, 0.7; someone plays arms 0, 2, 2, 1. What is the regret after these four rounds?",
        Number(
            0.6,
            "for every round take 0.7 minus the mean of the arm that was played, and add up the four",
            slips={2.2: "that is the expected reward; regret is what the best arm would have brought more"},
        ),
        "0.4 + 0 + 0 + 0.2: the rewards that luck gave do not enter.",
        "0.6",
    ),
    "10.2": Exercise(
        "In the long run, in what part of the rounds (0 to 1) does ε-greedy with ε = 0.3 play one of the two wrong "
        "arms out of three?",
        Number(
            0.2,
            "it explores in 0.3 of the rounds; which arms can an exploring round play?",
            slips={0.3: "an exploring round also plays the best arm, one time in three"},
        ),
        "0.3 · 2/3: and it never gets less, however long it plays; so its regret grows for ever.",
        "0.2",
    ),
    "10.3": Exercise(
        "Find a policy whose regret after 300 rounds is at most 85 % of ε-greedy's with ε = 0.1.",
        cheaper_than(
            make_policy("epsilon_greedy", epsilon=0.1, step=0.0),
            three_coins(),
            300,
            0.85,
            "explore much at first and little later: which policy explores by what it does not know yet?",
        ),
        "It explores less than ε = 0.1 does, or stops exploring what it already knows to be worse.",
        "beta_ts",
    ),
    "11.1": Exercise(
        "With γ = 0.98, after how many rounds does a reward count half?",
        Number(
            34.3,
            "solve 0.98 ** n = 1/2",
            0.005,
            slips={50.0: "that is 1/(1 − γ), how many rounds count in all; here 0.98 ** n must be 1/2"},
            near="after 34 rounds a little more than half is left, after 35 a little less: solve 0.98 ** n = 1/2 "
            "without rounding n to whole rounds",
        ),
        "−1 / log2 0.98 = 34.3: the half-life of Appendix A.7.",
        "34.3",
    ),
    "11.2": Exercise(
        "With γ = 0.98, how many rounds count at most, all discounted counts together?",
        Number(50.0, "sum the series 1 + γ + γ² + …"),
        "1 / (1 − γ) = 50: seven arms share fifty rounds, so every arm stays a little uncertain for ever.",
        "50",
    ),
    "11.3": Exercise(
        "Find a policy whose regret in the changing world is at most 85 % of `beta_ts`'s after 1,000 rounds.",
        cheaper_than(
            make_policy("beta_ts"),
            make_world("piecewise", low=0.2, high=0.8, noise_std=0.0),
            1000,
            0.85,
            "forget, but not too fast: compare half-lives with the 300 rounds between changes",
        ),
        "It forgets fast enough for the changes and slowly enough to know anything at all.",
        "beta_dts:decay=0.995",
    ),
    "12.1": Exercise(
        "After how many plays n of an arm is OPTIMA's standard deviation 1/√(n + 1) as small as the distance 0.04/6 "
        "between two neighbouring means?",
        Number(
            22_499.0,
            "solve 1/√(n + 1) = 0.04/6",
            0.01,
            slips={149.0: "1/(n + 1) is the variance; its root must be 0.04/6"},
        ),
        "(6/0.04)² − 1 = 22,499 plays of one arm, in a run of 1,000 rounds: it will not happen.",
        "22499",
    ),
    "12.2": Exercise(
        "Which `scale` makes OPTIMA's posterior as wide as the rewards' noise says, in this world?",
        Number(
            0.02,
            "scale is the standard deviation of one reward's noise, in units of the reward; the last figure shows it",
            0.2,
            slips={0.0004: "that is the variance; scale is a standard deviation"},
        ),
        "σ = 0.02: what `optima_calibrated` finds by itself within a few rounds.",
        "0.02",
    ),
    "12.3": Exercise(
        "Find a policy that plays the best arm in at least 40 % of the 1,000 rounds before *and* after the change "
        "at round 30,000.",
        hears_a_late_change(),
        "Its belief about an arm that is not played widens again, so it tries that arm now and then.",
        "gaussian_dts",
    ),
    "13.1": Exercise(
        "Policy A's regret minus B's is −0.4 with the 95 % interval [−0.9, 0.1]. Is A shown to be better? (True or "
        "False)",
        YesOrNo(False, "does the interval contain a value at which B is the better one?"),
        "The interval contains 0 and more: B may be better by 0.1. More replications would tell.",
        "False",
    ),
    "13.2": Exercise(
        "Find a policy whose regret in the world `swap` (rewards of 0.02 to 0.06, 1,000 rounds) is at most 90 % of "
        "`optima_calibrated`'s.",
        cheaper_than(
            make_policy("optima_calibrated"),
            make_world("swap"),
            1000,
            0.9,
            "whose belief about arms that it does not play widens, and which knows the rewards' scale?",
        ),
        "It is calibrated, and it keeps listening.",
        "kalman_ts",
    ),
    "14.1": Exercise(
        "A model has five modules. How many arms are there?",
        Number(31.0, "every non-empty set of modules is an arm", slips={32.0: "the empty set is no arm"}),
        "2⁵ − 1 = 31; with ten rounds for each, 310 rounds are gone before a choice is made.",
        "31",
    ),
    "14.2": Exercise(
        "With `sharing` = 0.8, how strongly are Img and Img+Txt correlated before anything is seen?",
        Number(
            0.8 / np.sqrt(2),
            "0.8 times |j ∩ k| / √(|j| |k|), for sets of one and two modules with one in common",
            slips={1 / np.sqrt(2): "that is the modules' part alone; sharing scales it"},
        ),
        "0.8 · 1/√2 = 0.566.",
        "0.566",
    ),
    "14.3": Exercise(
        "Find a policy whose regret with 31 arms of five modules after 400 rounds is at most 75 % of `kalman_ts`'s.",
        cheaper_than(
            make_policy("kalman_ts"),
            five_modules(),
            400,
            0.75,
            "400 rounds are few for 31 arms; who learns about several arms from one reward, and how much of it?",
        ),
        "A reward says something about every arm that shares a module with the one played.",
        "shared_ts:sharing=0.9",
    ),
    "14.4": Exercise(
        "Eight modules have 255 arms. Once the drawn contributions are sorted, how many sets must `linear_ts` compare?",
        Number(
            8.0,
            "of all sets with k modules, which one can be the best? How many different k are there?",
            slips={255.0: "of two sets with equally many modules, the one with the larger contributions is the better"},
        ),
        "One of each size: the k largest contributions, for k = 1 … 8.",
        "8",
    ),
    "14.5": Exercise(
        "Find a policy whose regret with 255 arms of eight modules after 300 rounds is at most half of `kalman_ts`'s.",
        cheaper_than(
            make_policy("kalman_ts"),
            eight_modules(),
            300,
            0.5,
            "there are fewer rounds than arms; which policy holds beliefs about something there is less of?",
            replications=50,
        ),
        "Nine numbers can be learnt in 300 rounds, 255 cannot.",
        "linear_ts",
    ),
}
