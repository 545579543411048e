"""Strategies: how the arms of one run are chosen.

A strategy is written as text: an arm's label ('img+txt'), 'none', 'kl', 'dide', or the name of a bandit policy. After
colons come what it does in its own way: a policy's parameters, 'optima:decay=0.9:reward=kl', and those fields of the
configuration that students of one population may differ in, 'img+txt+multi:attention=weights'.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from hashlib import sha256
from typing import Any

from numpy.random import default_rng

from optima_lab.bandits.arms import ARMS, LABELS, parse_arm
from optima_lab.config import Config, Value, cast, override
from optima_lab.distill.rewards import VARIANTS
from optima_lab.errors import ConfigError, nearest

NAMES = {
    "none": "None",
    "kl": "KL only",
    "dide": "DIDE",
    "random": "Random",
    "optima": "OPTIMA",
    "optima_calibrated": "OPTIMA calibrated",
    "optima_mean": "OPTIMA simple mean",
}
OWN = ("round_steps", "attention", "decoder_attention", "alpha_kl", "alpha_hidden", "alpha_attention")
# The baselines of Table 1: MiniVLM matches predictions alone; DIDE predictions and cross-modal attention (the paper is
# silent on how it weighs them: here Eq. 5 with α1 = 1 and α2 = 0, over the decoder's layers).
BASELINES: dict[str, tuple[str, dict[str, Value]]] = {
    "none": ("", {"alpha_kl": 0.0}),
    "kl": ("", {"alpha_kl": 1.0}),
    "dide": ("Multi", {"decoder_attention": "cross", "alpha_kl": 1.0, "alpha_hidden": 0.0}),
}


@dataclass(frozen=True)
class Strategy:
    """How one student of a population is taught.

    `arm` is a label for a fixed arm; `policy` names a bandit policy; neither: nothing is matched layer by layer.
    `changes` are the fields of the configuration that this student has in its own way.
    """

    name: str
    arm: str = ""
    policy: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    reward: str = "all"
    changes: dict[str, Value] = field(default_factory=dict)
    key: str = ""

    @property
    def id(self) -> str:
        """Its folder's name: readable, and different for whatever changes its records."""
        own = {} if self.key in BASELINES else self.changes
        if not (self.policy or own):
            return self.key
        parts = (sorted(self.parameters.items()), self.reward, *([sorted(own.items())] if own else []))
        return f"{self.key}-{sha256(repr(parts).encode()).hexdigest()[:6]}"

    def configure(self, config: Config) -> Config:
        """The configuration this student is trained by."""
        return override(config, self.changes)


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
    """One strategy; the configuration gives what the text does not."""
    name, *options = text.split(":")
    given = dict(_option(option, text) for option in options)
    if len(given) < len(options):
        raise ConfigError(f"a strategy's parameters must be given once each, got {text!r}")
    key = name.strip().lower()
    if key in BASELINES:
        if given:
            raise ConfigError(f"strategy {name!r} takes no parameters, got {', '.join(given)}")
        arm, changes = BASELINES[key]
        return Strategy(NAMES[key], arm=arm, changes=changes, key=key)
    own = override(config, {name: value for name, value in given.items() if name in OWN})
    rest = {name: value for name, value in given.items() if name not in OWN}
    strategy = _fixed(key, rest) if "+" in key or key in ("img", "txt", "multi") else _adaptive(key, rest, config)
    changes = {name: getattr(own, name) for name in OWN if getattr(own, name) != getattr(config, name)}
    shown = [f"{name}={value}" for name, value in strategy.parameters.items() if name in rest]
    shown += [f"reward={strategy.reward}"] * (strategy.reward != "all")
    shown += [f"{name}={value}" for name, value in changes.items()]
    return replace(strategy, changes=changes, name=_display(strategy.name, shown))


def _display(name: str, unusual: Sequence[str]) -> str:
    return f"{name} ({', '.join(unusual)})" if unusual else name


def _fixed(key: str, given: dict[str, str]) -> Strategy:
    if given:
        name = next(iter(given))
        raise ConfigError(f"a fixed arm has no parameter {name!r}{nearest(name, OWN)}")
    arm = next(label for label in LABELS if parse_arm(label) == parse_arm(key))
    return Strategy(arm, arm=arm, key=arm.lower())


def _option(option: str, text: str) -> tuple[str, str]:
    key, equals, value = option.partition("=")
    if not equals:
        raise ConfigError(f"a strategy's parameter must be name=value, got {option!r} in {text!r}")
    return key.strip(), value.strip()


def _adaptive(key: str, given: dict[str, str], config: Config) -> Strategy:
    from optima_lab.bandits.policies import POLICIES, make_policy

    policies = [name for name in POLICIES if name != "oracle"]  # outside a simulation nobody knows the true means
    if key not in policies:
        valid = [*BASELINES, *(label.lower() for label in LABELS), *policies]
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
    return Strategy(NAMES.get(key, key), policy=key, parameters=parameters, reward=reward, key=key)
