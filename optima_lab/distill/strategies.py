"""Strategies: how the arms of one run are chosen.

A strategy is written as text: an arm's label ('img+txt'), 'none', 'kl', or the name of a bandit policy, which may carry
parameters of its own after colons: 'optima:decay=0.9:reward=kl'.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from hashlib import sha256
from typing import Any

from numpy.random import default_rng

from optima_lab.bandits.arms import ARMS, LABELS, parse_arm
from optima_lab.config import Config, cast
from optima_lab.distill.rewards import VARIANTS
from optima_lab.errors import ConfigError, nearest

NAMES = {
    "none": "None",
    "kl": "KL only",
    "random": "Random",
    "optima": "OPTIMA",
    "optima_calibrated": "OPTIMA calibrated",
}


@dataclass(frozen=True)
class Strategy:
    """How one student of a population is taught.

    `arm` is a label for a fixed arm; `policy` names a bandit policy; neither: nothing is matched layer by layer.
    """

    name: str
    arm: str = ""
    policy: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    reward: str = "all"
    alpha_kl: float | None = None  # instead of the configuration's

    @property
    def id(self) -> str:
        """Its folder's name: readable, and different for different parameters."""
        stem = (self.arm or self.policy or {"None": "none"}.get(self.name, "kl")).lower()
        if not self.policy:
            return stem
        return f"{stem}-{sha256(repr((sorted(self.parameters.items()), self.reward)).encode()).hexdigest()[:6]}"


def default_strategies() -> tuple[str, ...]:
    """The main figures' population: no distillation, every fixed arm, random, OPTIMA and its calibrated variant."""
    return ("none", *(label.lower() for label in LABELS), "random", "optima", "optima_calibrated")


def parse_strategies(text: str | Sequence[str], config: Config) -> tuple[Strategy, ...]:
    """The strategies of a list, or of text with commas between them; 'all' is the default population.

    Raises ConfigError for unknown names, parameters and values.
    """
    text = text if isinstance(text, str) else ",".join(text)
    names = default_strategies() if text.strip() == "all" else tuple(part.strip() for part in text.split(","))
    if "" in names:
        raise ConfigError(f"strategies must be names between commas, got {text!r}")
    strategies = tuple(parse_strategy(name, config) for name in names)
    twice = {s.id for s in strategies if sum(other.id == s.id for other in strategies) > 1}
    if twice:
        raise ConfigError(f"strategies must differ, got {', '.join(sorted(twice))} twice")
    return strategies


def parse_strategy(text: str, config: Config) -> Strategy:
    """One strategy; the configuration gives the parameters that the text does not."""
    name, *options = text.split(":")
    given = dict(_option(option, text) for option in options)
    if len(given) < len(options):
        raise ConfigError(f"a strategy's parameters must be given once each, got {text!r}")
    key = name.strip().lower()
    if key in ("none", "kl") or "+" in key or key in ("img", "txt", "multi"):
        if given:
            raise ConfigError(f"strategy {name!r} takes no parameters, got {', '.join(given)}")
        if key in ("none", "kl"):
            return Strategy(NAMES[key], alpha_kl=0.0 if key == "none" else 1.0)
        arm = next(label for label in LABELS if parse_arm(label) == parse_arm(key))
        return Strategy(arm, arm=arm)
    return _adaptive(key, given, config)


def _option(option: str, text: str) -> tuple[str, str]:
    key, equals, value = option.partition("=")
    if not equals:
        raise ConfigError(f"a strategy's parameter must be name=value, got {option!r} in {text!r}")
    return key.strip(), value.strip()


def _adaptive(key: str, given: dict[str, str], config: Config) -> Strategy:
    from optima_lab.bandits.policies import POLICIES, make_policy

    policies = [name for name in POLICIES if name != "oracle"]  # outside a simulation nobody knows the true means
    if key not in policies:
        valid = ["none", "kl", *(label.lower() for label in LABELS), *policies]
        raise ConfigError(f"unknown strategy {key!r}{nearest(key, valid)}")
    kinds: dict[str, Any] = {f.name: f.type for f in fields(POLICIES[key])}
    inherited = {"decay": config.decay, "initial_plays": config.initial_plays}
    parameters: dict[str, Any] = {k: v for k, v in inherited.items() if k in kinds}
    reward = given.pop("reward", "all")
    if reward not in VARIANTS:
        valid = tuple(VARIANTS)
        raise ConfigError(f"reward must be one of {', '.join(valid)}, got {reward!r}{nearest(reward, valid)}")
    for name, value in given.items():
        if name not in kinds:
            raise ConfigError(f"{key} has no parameter {name!r}{nearest(name, [*kinds, 'reward'])}")
        parameters[name] = cast(kinds[name], value, f"{key}'s {name}")
    policy = make_policy(key, **parameters)  # its own ranges are checked here, before anything loads
    policy.init(len(ARMS), 1, default_rng(0))
    parameters = asdict(policy)  # defaults too: the same policy has the same id however it is written
    shown = [*(f"{k}={v}" for k, v in parameters.items() if k in given), *([f"reward={reward}"] * (reward != "all"))]
    name = NAMES.get(key, key)
    strategy = Strategy(name, policy=key, parameters=parameters, reward=reward)
    return replace(strategy, name=f"{name} ({', '.join(shown)})") if shown else strategy
