"""Policies for non-stationary bandits: one interface, one file per family, and their names."""

from dataclasses import fields
from typing import Any

from optima_lab.bandits.policies.base import Policy, Posterior, Selection, State, load_state, save_state
from optima_lab.bandits.policies.beta import BetaThompson, DiscountedBetaThompson, SlidingBetaThompson
from optima_lab.bandits.policies.change import CusumUcb
from optima_lab.bandits.policies.ema import CalibratedEmaThompson, EmaThompson
from optima_lab.bandits.policies.exp3 import Exp3S
from optima_lab.bandits.policies.gaussian import DiscountedGaussianThompson, KalmanThompson, SlidingGaussianThompson
from optima_lab.bandits.policies.glr import GlrKlUcb
from optima_lab.bandits.policies.greedy import EpsilonGreedy, Softmax
from optima_lab.bandits.policies.shared import SharedGaussianThompson
from optima_lab.bandits.policies.simple import Fixed, Oracle, Uniform
from optima_lab.bandits.policies.ucb import DiscountedUcb, SlidingUcb
from optima_lab.errors import ConfigError, nearest

__all__ = ["POLICIES", "Policy", "Posterior", "Selection", "State", "load_state", "make_policy", "save_state"]

POLICIES: dict[str, type[Policy]] = {
    policy.name: policy
    for policy in (
        EmaThompson,
        CalibratedEmaThompson,
        DiscountedGaussianThompson,
        SlidingGaussianThompson,
        KalmanThompson,
        SharedGaussianThompson,
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


def check_type(name: str, value: Any, kind: Any) -> None:
    """An int passes for a float; nothing else passes for anything else. Raises ConfigError."""
    allowed = (int, float) if kind is float else (kind,)
    if isinstance(value, bool) != (kind is bool) or not isinstance(value, allowed):
        raise ConfigError(f"{name} must be {kind.__name__}, got {type(value).__name__} {value!r}")
