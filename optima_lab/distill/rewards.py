"""The reward of a round (Eq. 6 of arXiv 2310.04550) and its variants (A.6)."""

from collections.abc import Callable
from math import isfinite
from numbers import Real
from typing import NamedTuple

from optima_lab.bandits.arms import Arm
from optima_lab.errors import ConfigError
from optima_lab.source import function_name


class ProbeLosses(NamedTuple):
    """Losses on the probe batch; hidden and attention over ALL layers, whatever arm was played; None: there is none."""

    train: float | None
    kl: float | None
    hidden: float | None
    attention: float | None


class Reward(NamedTuple):
    """A round's reward and the three ratios it is made of, each from 0 to 1; None for a loss that there is not."""

    value: float
    kl: float | None
    hidden: float | None
    attention: float | None


RewardFunction = Callable[[ProbeLosses, ProbeLosses], float]  # of the losses before a round and after it
VARIANTS = {"all": ("kl", "hidden", "attention"), "kl": ("kl",), "layers": ("hidden", "attention"), "train": ("train",)}


def decrement_ratio(before: float, after: float) -> float:
    """max(0, (before - after) / before) of Eq. 6.

    The paper is silent on 0/0: a loss of zero has nothing left to lose, its ratio is 0. So is that of a loss that is
    not finite.
    """
    if not (isfinite(before) and isfinite(after)) or before <= 0.0:
        return 0.0
    return max(0.0, (before - after) / before)


def reward(before: ProbeLosses, after: ProbeLosses, variant: str | RewardFunction = "all") -> Reward:
    """r of Eq. 6: the mean of the decrement ratios over U = {D_KL, L_hidn, L_attn}.

    Variants of A.6: 'kl' (r_KD, D_KL alone), 'layers' (r_LWD, hidden states and attention). 'train' is not the paper's:
    the task's own loss on the probe. The mean runs over losses that there are: a model without logits has no D_KL, one
    whose attention is hidden no L_attn. A function of both in place of a variant is a reward of one's own.
    """
    both = {name: (getattr(before, name), getattr(after, name)) for name in ProbeLosses._fields}
    ratios = {name: None if None in pair else decrement_ratio(*pair) for name, pair in both.items()}
    shown = (ratios[name] for name in VARIANTS["all"])
    if callable(variant):
        return Reward(own_reward(before, after, variant), *shown)
    chosen = [ratio for name in VARIANTS[variant] if (ratio := ratios[name]) is not None]
    return Reward(sum(chosen) / len(chosen) if chosen else 0.0, *shown)


def per_cost(value: Reward, arm: Arm, module_cost: float) -> Reward:
    """A reward divided by what its round cost, 1 for one module and `module_cost` more for each other."""
    return value._replace(value=value.value / (1 + module_cost * (len(arm) - 1))) if arm else value


def own_reward(before: ProbeLosses, after: ProbeLosses, function: RewardFunction) -> float:
    """What a function of the user's makes of a round; 0 where a loss is not finite, as in Eq. 6.

    Raises ConfigError where it returns no finite number.
    """
    if not all(isfinite(loss) for loss in (*before, *after) if loss is not None):
        return 0.0
    value = function(before, after)
    if not isinstance(value, Real) or not isfinite(value):
        call = f"{function_name(function)}({before}, {after})"
        raise ConfigError(f"a reward must be a finite number, {call} returned {value!r}")
    return float(value)
