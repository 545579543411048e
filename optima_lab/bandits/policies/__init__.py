"""Policies for non-stationary bandits: one interface, one file per family, and their names."""

from dataclasses import fields
from typing import Any

from optima_lab.bandits.policies.base import (
    Policy,
    Posterior,
    Selection,
    State,
    load_state,
    require_positive,
    save_state,
)
from optima_lab.bandits.policies.baselines import Fixed, Oracle, Uniform
from optima_lab.bandits.policies.beta import BetaThompson, DiscountedBetaThompson, SlidingBetaThompson
from optima_lab.bandits.policies.cusum import CusumUcb
from optima_lab.bandits.policies.ema import CalibratedEmaThompson, EmaThompson, MeanThompson
from optima_lab.bandits.policies.exp3 import Exp3S
from optima_lab.bandits.policies.gaussian import DiscountedGaussianThompson, KalmanThompson, SlidingGaussianThompson
from optima_lab.bandits.policies.glr import GlrKlUcb
from optima_lab.bandits.policies.greedy import EpsilonGreedy, Softmax
from optima_lab.bandits.policies.linear import LinearThompson
from optima_lab.bandits.policies.shared import SharedGaussianThompson
from optima_lab.bandits.policies.ucb import DiscountedUcb, SlidingUcb
from optima_lab.errors import ConfigError, nearest

__all__ = [
    "POLICIES",
    "Policy",
    "Posterior",
    "Selection",
    "State",
    "load_state",
    "make_policy",
    "save_state",
    "sized_policy",
]

POLICIES: dict[str, type[Policy]] = {
    policy.name: policy
    for policy in (
        EmaThompson,
        CalibratedEmaThompson,
        MeanThompson,
        DiscountedGaussianThompson,
        SlidingGaussianThompson,
        KalmanThompson,
        SharedGaussianThompson,
        LinearThompson,
        BetaThompson,
        DiscountedBetaThompson,
        SlidingBetaThompson,
        DiscountedUcb,
        SlidingUcb,
        CusumUcb,
        GlrKlUcb,
        Exp3S,
        EpsilonGreedy,
        Softmax,
        Uniform,
        Fixed,
        Oracle,
    )
}


def make_policy(name: str, **parameters: Any) -> Policy:
    """The policy of this name; parameters that are not given keep their defaults (rewards of 0.01–0.1, K = 7).

    Raises ConfigError for a name, a parameter or a type that does not exist, naming the nearest that does.
    """
    if name not in POLICIES:
        raise ConfigError(f"policy must be one of {len(POLICIES)} names, got {name!r}{nearest(name, list(POLICIES))}")
    kinds = {field.name: field.type for field in fields(POLICIES[name])}  # pyright: ignore[reportArgumentType]
    for parameter, value in parameters.items():
        if parameter not in kinds:
            raise ConfigError(f"policy {name!r} has no parameter {parameter!r}{nearest(parameter, list(kinds))}")
        check_type(f"{name}.{parameter}", value, kinds[parameter])
    return POLICIES[name](**parameters)


def sized_policy(name: str, reward_max: float, noise: float, **parameters: Any) -> Policy:
    """`make_policy` with what has the reward's unit set to the rewards' size; what is in `parameters` stays as given.

    reward_max: rewards lie in [0, reward_max]. noise: standard deviation of one reward. The defaults are those of 0.2
    and 0.02. OPTIMA's `scale` is left at the paper's 1, and samplers that estimate their noise go on doing so.
    Raises ConfigError as make_policy does, and for a range or noise that is not positive.
    """
    require_positive("reward_max", reward_max)
    require_positive("noise", noise)
    sizes = {"reward_max": reward_max, "bound": reward_max / 2, "temperature": reward_max / 20, "drift": noise / 20}
    sizes |= {"prior_mean": reward_max / 4, "prior_std": reward_max / 4, "base_std": reward_max / 4, "noise": noise}
    defaults = vars(make_policy(name))
    sized = {key: size for key, size in sizes.items() if defaults.get(key)}  # a default of 0 means: estimate it
    return make_policy(name, **(sized | parameters))


def check_type(name: str, value: Any, kind: Any) -> None:
    """An int passes for a float; nothing else passes for anything else. Raises ConfigError."""
    allowed = (int, float) if kind is float else (kind,)
    if isinstance(value, bool) != (kind is bool) or not isinstance(value, allowed):
        raise ConfigError(f"{name} must be {kind.__name__}, got {type(value).__name__} {value!r}")
