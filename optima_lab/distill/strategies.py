"""Strategies: how the arms of one run are chosen.

In Python a strategy is `Fixed("img+txt")`, a policy, or `Adaptive(EmaThompson(decay=0.9), reward="kl")`; policy, reward
and losses may be the user's own (`distill.own`). At a shell it is text: an arm's label, 'none', 'kl', 'dide', or the
name of a bandit policy; after colons what it does in its own way: a policy's parameters, 'optima:decay=0.9:reward=kl',
and those fields of the configuration that students of one population may differ in, 'img+txt+multi:attention=weights'.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from hashlib import sha256
from re import sub
from typing import Any

from numpy.random import default_rng

from optima_lab.bandits.arms import ARMS, KEYS, label, parse_arm
from optima_lab.bandits.policies import POLICIES, Policy, make_policy
from optima_lab.bandits.policies.baselines import Oracle
from optima_lab.config import Config
from optima_lab.config.fields import Value, cast
from optima_lab.config.parameters import override
from optima_lab.distill.own import Loss, Own, own_code, own_parameters, short_name, usual_parameters
from optima_lab.distill.rewards import RewardFunction
from optima_lab.errors import ConfigError, nearest

OWN = (
    *("round_steps", "attention", "decoder_attention", "alpha_kl", "alpha_hidden", "alpha_attention"),
    *("kl_temperature", "task_weight", "full_rounds", "unchosen_weight", "module_cost"),
)
Changes = Mapping[str, Value]


@dataclass(frozen=True)
class Fixed:
    """The same modules in every round; '' matches nothing layer by layer.

    `changes`: fields of the configuration. `losses` of one's own are added to Eq. 5 in place of the run's.
    """

    arm: str = ""
    changes: Changes = field(default_factory=dict)
    losses: Sequence[Loss] = ()


@dataclass(frozen=True)
class Adaptive:
    """A bandit policy chooses the modules of every round and learns from the reward, '' for the run's.

    `reward`: a name, or a function of the losses before and after (`rewards.ProbeLosses`). The rest is as in `Fixed`.
    """

    policy: Policy
    reward: str | RewardFunction = ""
    changes: Changes = field(default_factory=dict)
    losses: Sequence[Loss] = ()


# The baselines of Table 1: MiniVLM matches predictions alone; DIDE predictions and cross-modal attention (the paper is
# silent on how it weighs them: here Eq. 5 with α1 = 1 and α2 = 0, over the decoder's layers).
BASELINES = {
    "none": Fixed("", {"alpha_kl": 0.0}),
    "kl": Fixed("", {"alpha_kl": 1.0}),
    "dide": Fixed(label(frozenset({"decoder"})), {"decoder_attention": "cross", "alpha_kl": 1.0, "alpha_hidden": 0.0}),
}


@dataclass(frozen=True)
class Strategy:
    """How one student of a population is taught, everything settled.

    `arm` is a label for a fixed arm; `policy` names a bandit policy; neither: nothing is matched layer by layer.
    `changes` are the fields of the configuration that this student has in its own way; `text` says all of it and is
    what it is known by. What is a user's own code is in `own`; then `policy` and `reward` are its names.
    """

    text: str
    arm: str = ""
    policy: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    reward: str = "all"
    changes: dict[str, Value] = field(default_factory=dict)
    own: Own = field(default_factory=Own)

    def __repr__(self) -> str:
        return f"Strategy({self.text!r})"

    @property
    def key(self) -> str:
        """What it is called by, its own ways left aside."""
        return self.text.partition(":")[0]

    @property
    def id(self) -> str:
        """Its folder's name: readable, and different for whatever changes its records."""
        own = {} if self.key in BASELINES and not self.own.source.id else self.changes
        if not (self.policy or own or self.own.source.id):
            return self.key
        parts = (sorted(self.parameters.items()), self.reward, *([sorted(own.items())] if own else []))
        parts += (self.own.source.id,) if self.own.source.id else ()
        name = sub(r"[^a-z0-9_+]", "_", self.key.lower())  # a class of the user's may be called anything
        return f"{name}-{sha256(repr(parts).encode()).hexdigest()[:6]}"

    def make_policy(self) -> Policy | None:
        """What chooses its arms; None for a fixed one."""
        return self.own.policy or (make_policy(self.policy, **self.parameters) if self.policy else None)

    def configure(self, config: Config) -> Config:
        """The configuration this student is trained by."""
        return override(config, self.changes)


def default_strategies() -> tuple[str, ...]:
    """The main figures' population: no distillation, every fixed arm, random, OPTIMA and its calibrated variant."""
    return ("none", *KEYS, "random", "optima", "optima_calibrated")


Spec = str | Fixed | Adaptive | Policy | Strategy


@dataclass(frozen=True)
class Given:
    """Strategies, and the reward and losses of those that say none; Table 1's baselines stay as they are."""

    strategies: Spec | Sequence[Spec] = "all"
    reward: str | RewardFunction = "all"
    losses: Sequence[Loss] = ()


Strategies = Spec | Sequence[Spec] | Given


def parse_strategies(strategies: Strategies, config: Config) -> tuple[Strategy, ...]:
    """The strategies of a list, or of text with commas between them; 'all' is the default population.

    Raises ConfigError for unknown names, parameters and values.
    """
    usual = strategies if isinstance(strategies, Given) else Given(strategies)
    chosen = usual.strategies
    if isinstance(chosen, str):
        specs: Sequence[Spec] = default_strategies() if chosen.strip() == "all" else chosen.split(",")
    else:
        specs = chosen if isinstance(chosen, Sequence) else [chosen]
    if not specs or any(isinstance(spec, str) and not spec.strip() for spec in specs):
        raise ConfigError(f"strategies must be names between commas, got {chosen!r}")
    parsed = tuple(parse_strategy(spec, config, usual) for spec in specs)
    twice = {s.id for s in parsed if sum(other.id == s.id for other in parsed) > 1}
    if twice:
        raise ConfigError(f"strategies must differ, got {', '.join(sorted(twice))} twice")
    return parsed


def parse_strategy(strategy: Spec, config: Config, usual: Given | None = None) -> Strategy:
    """One strategy; the configuration, and `usual`, give what is not said."""
    usual = usual or Given()
    if isinstance(strategy, Strategy):
        return strategy
    spec = _read(strategy, config) if isinstance(strategy, str) else strategy
    spec = Adaptive(spec) if isinstance(spec, Policy) else spec
    if not isinstance(spec, Fixed | Adaptive):
        made = f"; give an object: {spec.__name__}()" if isinstance(spec, type) else ""
        raise ConfigError(f"a strategy must be text, a policy, Fixed(…) or Adaptive(…), got {spec!r}{made}")
    key = next((key for key, baseline in BASELINES.items() if baseline == replace(spec, losses=())), "")
    if key:
        own = own_code(None, "all", spec.losses)
        return Strategy(
            _written(key, _of_losses(spec.losses)), arm=BASELINES[key].arm, changes=dict(spec.changes), own=own
        )
    spec = replace(spec, losses=spec.losses or usual.losses)
    own = override(config, spec.changes).distillation
    changes = {name: getattr(own, name) for name in OWN if getattr(own, name) != getattr(config.distillation, name)}
    unknown = [name for name in spec.changes if name not in OWN]
    if unknown:
        raise ConfigError(f"a strategy's changes must be of {', '.join(OWN)}, got {unknown[0]!r}")
    if isinstance(spec, Adaptive):
        return _adaptive(replace(spec, reward=spec.reward or usual.reward), changes, config)
    arm = label(parse_arm(spec.arm))
    text = _written(arm.lower(), changes | _of_losses(spec.losses))
    return Strategy(text, arm, changes=changes, own=own_code(None, "all", spec.losses))


def _adaptive(spec: Adaptive, changes: dict[str, Value], config: Config) -> Strategy:
    if isinstance(spec.policy, Oracle) or not isinstance(spec.policy, Policy):  # an oracle knows nothing in training
        valid = ", ".join(name for name in POLICIES if name != Oracle.name)
        raise ConfigError(f"a strategy's policy must be one of {valid}, or of your own, got {spec.policy!r}")
    own = own_code(spec.policy, spec.reward, spec.losses)
    if own.policy is not None:
        key, usual = type(spec.policy).__name__, usual_parameters(type(spec.policy))
        parameters = own_parameters(spec.policy)
    else:
        spec.policy.init(len(ARMS), 1, default_rng(0))  # its own ranges are checked here, before anything loads
        key = spec.policy.name
        parameters = asdict(spec.policy)  # defaults too: the same has one id, however it is written
        usual = asdict(make_policy(key, **_inherited(key, config))) if key != "fixed" else {}
    reward = spec.reward if isinstance(spec.reward, str) else short_name(spec.reward)
    special = {name: value for name, value in parameters.items() if usual.get(name) != value}
    special |= {"reward": reward} if reward != "all" else {}
    text = _written(key, special | changes | _of_losses(spec.losses))
    return Strategy(text, "", key, parameters, reward, changes, own)


def _of_losses(losses: Sequence[Loss]) -> dict[str, Value]:
    return {"losses": "+".join(map(short_name, losses))} if losses else {}


def _written(key: str, special: Changes) -> str:
    return ":".join([key, *(f"{name}={value}" for name, value in special.items())])


def _read(text: str, config: Config) -> Fixed | Adaptive:
    """What text means, with what the configuration gives a policy."""
    name, *options = text.split(":")
    values = dict(_option(option, text) for option in options)
    if len(values) < len(options):
        raise ConfigError(f"a strategy's parameters must be given once each, got {text!r}")
    key = name.strip().lower()
    if key in BASELINES:
        if values:
            raise ConfigError(f"strategy {name!r} takes no parameters, got {', '.join(values)}")
        return BASELINES[key]
    own = override(config, {name: value for name, value in values.items() if name in OWN}).distillation
    changes = {name: getattr(own, name) for name in values if name in OWN}
    rest = {name: value for name, value in values.items() if name not in OWN}
    if "+" in key or key in ("img", "txt", "multi"):
        if rest:
            unknown = next(iter(rest))
            raise ConfigError(f"a fixed arm has no parameter {unknown!r}{nearest(unknown, OWN)}")
        return Fixed(key, changes)
    reward = rest.pop("reward", "")
    return Adaptive(_policy(key, rest, config), reward, changes)


def _option(option: str, text: str) -> tuple[str, str]:
    key, equals, value = option.partition("=")
    if not equals:
        raise ConfigError(f"a strategy's parameter must be name=value, got {option!r} in {text!r}")
    return key.strip(), value.strip()


def _inherited(key: str, config: Config) -> dict[str, Any]:
    """What the configuration says of a policy's parameters."""
    values = {"decay": config.distillation.decay, "initial_plays": config.distillation.initial_plays}
    return {f.name: values[f.name] for f in fields(POLICIES[key]) if f.name in values}


def _policy(key: str, values: Mapping[str, str], config: Config) -> Policy:
    policies = [name for name in POLICIES if name != "oracle"]  # outside a simulation nobody knows the true means
    if key not in policies:
        valid = [*BASELINES, *KEYS, *policies]
        raise ConfigError(f"unknown strategy {key!r}{nearest(key, valid)}")
    kinds: dict[str, Any] = {f.name: f.type for f in fields(POLICIES[key])}
    parameters = _inherited(key, config)
    for name, value in values.items():
        if name not in kinds:
            raise ConfigError(f"{key} has no parameter {name!r}{nearest(name, [*kinds, 'reward'])}")
        parameters[name] = cast(kinds[name], value, f"{key}'s {name}")
    return make_policy(key, **parameters)
