"""Code of a user's own by which a student is taught: a policy, a reward, losses. Its source is part of the run's id."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from inspect import Parameter, signature
from typing import Any, cast

from optima_lab.bandits.arms import ARMS
from optima_lab.bandits.policies import POLICIES, Policy
from optima_lab.bandits.policies.trial import try_out
from optima_lab.config.fields import Value
from optima_lab.distill.rewards import VARIANTS, ProbeLosses, RewardFunction, own_reward
from optima_lab.errors import ConfigError, OptimaError, nearest
from optima_lab.source import Source, function_name, source_of

Loss = Callable[[Any], Any]  # of `losses.Matched`, a scalar: a mean over examples, added to Eq. 5


@dataclass(frozen=True)
class Own:
    """What of a strategy is the user's own, None or empty where it is the library's; `source` is that of all of it."""

    policy: Policy | None = None
    reward: RewardFunction | None = None
    losses: tuple[Loss, ...] = ()
    source: Source = field(default_factory=Source)


def own_code(policy: Policy | None, reward: str | RewardFunction, losses: Sequence[Loss]) -> Own:
    """What of these is a user's, tried out and read. Raises ConfigError for what cannot be used or has no source."""
    mine = policy if policy is not None and type(policy) not in POLICIES.values() else None
    if mine is not None:
        try_out(mine, len(ARMS))
    if isinstance(reward, str) and reward not in VARIANTS:
        valid = tuple(VARIANTS)
        raise ConfigError(f"reward must be one of {', '.join(valid)}, got {reward!r}{nearest(reward, valid)}")
    if not isinstance(reward, str):
        _try_reward(reward)
    for loss in losses:
        if not callable(loss) or isinstance(loss, type):
            raise ConfigError(f"losses must be functions of what is matched, got {loss!r}")
    names = [short_name(loss) for loss in losses]
    if len(set(names)) < len(names):
        raise ConfigError(f"losses must have names of their own, got {', '.join(names)}")
    function = None if isinstance(reward, str) else reward
    things = [each for each in (mine, function, *losses) if each is not None]
    return Own(mine, function, tuple(losses), source_of(*things) if things else Source())


def _try_reward(reward: Any) -> None:
    losses = ProbeLosses(1.0, 1.0, 1.0, 1.0), ProbeLosses(0.9, 0.8, 0.7, 0.6)
    if not callable(reward) or isinstance(reward, type):
        raise ConfigError(f"reward must be a name or a function of the losses before and after, got {reward!r}")
    try:
        own_reward(*losses, cast(RewardFunction, reward))
    except OptimaError:
        raise
    except Exception as error:  # a user's code may raise anything
        reason = f"{type(error).__name__}: {error}"
        raise ConfigError(f"{short_name(reward)} must work in a first try with {losses}, got {reason}") from error


def short_name(function: Any) -> str:
    """What a function or a callable object is called in names and records: 'lambda' of '<lambda>'."""
    return function_name(function).strip("<>")


def own_parameters(policy: Policy) -> dict[str, Value]:
    """What an object of a user's class was made with, as records hold it: numbers and texts."""
    plain = {name: value for name, value in vars(policy).items() if not name.startswith("_")}
    return {
        name: value if isinstance(value, bool | int | float | str) else repr(value) for name, value in plain.items()
    }


def usual_parameters(kind: type[Policy]) -> dict[str, Any]:
    """A class's default values, by name."""
    return {p.name: p.default for p in signature(kind).parameters.values() if p.default is not Parameter.empty}
