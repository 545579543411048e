"""How strategies, arms, policies and tasks are called, coloured and ordered, the same in every figure, table and page.

Keys are what one writes at a shell: a strategy's text ('optima:reward=kl'), an arm's ('img+txt'), a policy's and a
task's name. What readers see is looked up here and is never a key.
"""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from re import split

from optima_lab.bandits.arms import KEYS
from optima_lab.config import TASKS

DAGGER = "†"  # after the name of a strategy whose student was stopped
INK, FAINT = "#1a1a1a", "#5f5f5f"  # text and lines; small print
YOU = "you"  # a person among strategies
OTHER = "#444444"  # strategies that have no colour of their own


@dataclass(frozen=True)
class Look:
    """How something is drawn, and what it is called: `name` in a word ('' is the key itself), `label` in a legend.

    `label` '' is the name; `colour` as '#rrggbb'.
    """

    colour: str = OTHER
    dash: str = "-"
    hatch: str = ""
    marker: str = "o"
    label: str = ""
    name: str = ""


# By strategy, in the order of every figure and table. Any two of the arms, OPTIMA and Random stay at least 20 CIELAB
# units apart under simulated deuteranopia, protanopia and tritanopia; an arm's marker repeats what its colour says.
STRATEGIES: Mapping[str, Look] = {
    "none": Look("#dddddd", "--", "xx", label="no distillation", name="None"),
    "kl": Look("#b8b8b8", "-.", "...", label="KL only (logits)", name="KL only"),
    "dide": Look("#b8b8b8", ":", "++", label="DIDE (cross-modal attention)", name="DIDE"),
    "img": Look("#006bff", marker="o", name="Img"),
    "txt": Look("#ff9c00", marker="s", name="Txt"),
    "multi": Look("#2a7b41", marker="^", name="Multi"),
    "img+txt": Look("#661100", marker="D", name="Img+Txt"),
    "img+multi": Look("#56b4e9", marker="v", name="Img+Multi"),
    "txt+multi": Look("#90549f", marker="P", name="Txt+Multi"),
    "img+txt+multi": Look("#332288", marker="X", label="Img+Txt+Multi (LWD)", name="Img+Txt+Multi"),
    "random": Look("#7a7a7a", ":", name="Random"),
    # The same sampler: told apart by hatch and dashes.
    "optima": Look("#d55e00", name="OPTIMA"),
    "optima_mean": Look("#d55e00", ":", "\\\\\\", name="OPTIMA simple mean"),
    "optima_calibrated": Look("#d55e00", "--", "///", name="OPTIMA calibrated"),
    YOU: Look(name="You"),
}
TEACHER = Look("#000000", "-.", label="teacher")
# By policy, for figures of simulated bandits: a hue for its family, a dash within it.
POLICIES: Mapping[str, Look] = {
    "optima": Look("#d55e00", label="OPTIMA"),
    "optima_calibrated": Look("#d55e00", "--", label="OPTIMA calibrated"),
    "optima_mean": Look("#d55e00", ":", label="OPTIMA simple mean"),
    "gaussian_dts": Look("#0072b2", label="discounted Thompson"),
    "gaussian_swts": Look("#0072b2", "--", label="sliding-window Thompson"),
    "kalman_ts": Look("#007a5a", label="Kalman Thompson"),
    "shared_ts": Look("#007a5a", "--", label="shared Thompson"),
    "linear_ts": Look("#007a5a", ":", label="linear Thompson"),
    "beta_ts": Look("#b8860b", label="Beta Thompson"),
    "beta_dts": Look("#b8860b", "--", label="discounted Beta Thompson"),
    "beta_swts": Look("#b8860b", ":", label="sliding-window Beta Thompson"),
    "discounted_ucb": Look("#cc79a7", label="discounted UCB"),
    "sliding_ucb": Look("#cc79a7", "--", label="sliding-window UCB"),
    "cusum_ucb": Look("#661100", label="CUSUM-UCB"),
    "glr_klucb": Look("#661100", "--", label="GLR-klUCB"),
    "exp3s": Look("#56b4e9", label="Exp3.S"),
    "epsilon_greedy": Look("#6b7a00", label="ε-greedy, ε = 0.1"),
    "softmax": Look("#6b7a00", "--", label="softmax"),
    "random": Look("#7a7a7a", ":", label="random"),
    "fixed": Look("#000000", ":", label="one fixed arm"),
    "oracle": Look("#000000", label="oracle"),
}
# For lines that are no policy's, by position.
SPARE = tuple(
    Look(colour, dash)
    for colour, dash in (
        *(("#0072b2", "-"), ("#d55e00", "--"), ("#007a5a", "-."), ("#cc79a7", ":")),
        *(("#661100", "-"), ("#b8860b", "--")),
    )
)


def base(strategy: str) -> str:
    """'optima' of 'optima [decay=0.5]': a strategy without what tells its runs apart."""
    return strategy.partition(" [")[0]


def look(strategy: str) -> Look:
    """How a strategy or a single arm is drawn, whatever tells its runs apart; one of no look of its own is grey."""
    return STRATEGIES.get(base(strategy), Look())


def colour(strategy: str) -> str:
    """The colour of a strategy or arm as '#rrggbb'."""
    return look(strategy).colour


def arm_look(number: int) -> Look:
    """How an arm is drawn by its number; the first seven are the paper's arms everywhere."""
    return look(KEYS[number % len(KEYS)])


def arm_colour(number: int) -> str:
    """The colour of an arm by its number as '#rrggbb'."""
    return arm_look(number).colour


def policy_look(name: str, position: int = 0) -> Look:
    """How a policy is drawn; a name that is no policy's gets a spare look by its position."""
    return POLICIES.get(name, SPARE[position % len(SPARE)])


def name_of(strategy: str) -> str:
    """What a strategy or an arm is called in a word: 'OPTIMA (reward=kl) [steps=9]' of 'optima:reward=kl [steps=9]'."""
    key, *own = split(r":(?=\w+=)", base(strategy))
    return (look(key).name or key) + (f" ({', '.join(own)})" if own else "") + strategy[len(base(strategy)) :]


def key_of(name: str) -> str:
    """'optima:reward=kl' of 'OPTIMA (reward=kl)': `name_of` undone, for records that hold no key."""
    word, _, own = name.partition(" (")
    key = next((key for key, entry in STRATEGIES.items() if entry.name == word), word)
    return ":".join([key, *split(r", (?=\w+=)", own.removesuffix(")"))]) if own else key


def called(strategy: str, stopped: Container[str] = ()) -> str:
    """What a strategy is called in figures and tables; those in `stopped` carry a dagger, explained below them."""
    label = look(strategy).label
    name = label + strategy[len(base(strategy)) :] if label else name_of(strategy)
    return name + (f" {DAGGER}" if strategy in stopped else "")


def in_order(strategies: Iterable[str]) -> list[str]:
    """Strategies in the order of every figure and table; unknown ones come last, by name."""
    rank = {name: number for number, name in enumerate(STRATEGIES)}
    return sorted(set(strategies), key=lambda key: (rank.get(base(key), len(rank)), name_of(key)))


def task_title(task: str) -> str:
    """'COCO Caption' of 'coco'; the key itself of a task that is none of ours."""
    return TASKS[task].title if task in TASKS else task


def task_metric(task: str) -> str:
    """The name and unit of a task's score: 'CIDEr × 100'."""
    return TASKS[task].metric if task in TASKS else "score (%)"


def tasks_in_order(tasks: Iterable[str]) -> list[str]:
    """Tasks in the order of every table; unknown ones come last, by name."""
    order = list(TASKS)
    return sorted(set(tasks), key=lambda name: (order.index(name) if name in order else len(order), name))
