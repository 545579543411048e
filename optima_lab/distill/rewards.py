"""The reward of a round (Eq. 6 of arXiv 2310.04550) and its variants (A.6)."""

from math import isfinite
from typing import NamedTuple


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


VARIANTS = {"all": ("kl", "hidden", "attention"), "kl": ("kl",), "layers": ("hidden", "attention"), "train": ("train",)}


def decrement_ratio(before: float, after: float) -> float:
    """max(0, (before - after) / before) of Eq. 6.

    The paper is silent on 0/0: a loss of zero has nothing left to lose, its ratio is 0. So is that of a loss that is
    not finite.
    """
    if not (isfinite(before) and isfinite(after)) or before <= 0.0:
        return 0.0
    return max(0.0, (before - after) / before)


def reward(before: ProbeLosses, after: ProbeLosses, variant: str = "all") -> Reward:
    """r of Eq. 6: the mean of the decrement ratios over U = {D_KL, L_hidn, L_attn}.

    Variants of A.6: 'kl' (r_KD, D_KL alone), 'layers' (r_LWD, hidden states and attention). 'train' is not the paper's:
    the task's own loss on the probe. The mean runs over losses that there are: a model without logits has no D_KL, one
    whose attention is hidden no L_attn.
    """
    both = {name: (getattr(before, name), getattr(after, name)) for name in ProbeLosses._fields}
    ratios = {name: None if None in pair else decrement_ratio(*pair) for name, pair in both.items()}
    chosen = [ratio for name in VARIANTS[variant] if (ratio := ratios[name]) is not None]
    shown = (ratios[name] for name in VARIANTS["all"])
    return Reward(sum(chosen) / len(chosen) if chosen else 0.0, *shown)
