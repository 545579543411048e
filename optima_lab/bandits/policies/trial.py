"""A first try of a policy of one's own: what it does wrong is told in one line, before anything long begins."""

from collections.abc import Callable
from traceback import extract_tb
from typing import Any

import numpy as np

from optima_lab.bandits.policies.base import Policy, State
from optima_lab.errors import ConfigError, OptimaError

ROUNDS = 3
_KINDS = "biuf"  # of arrays that a checkpoint keeps: flags and numbers


def try_out(policy: Policy, arms: int = 7, replications: int = 1) -> None:
    """Play a few rounds. Raises ConfigError where a method fails or returns what the interface does not allow."""
    name, held, generator = type(policy).__name__, repr(_held(policy)), np.random.default_rng(0)
    state = _call(policy, "init", arms, replications, generator)
    for _ in range(ROUNDS):
        arrays = isinstance(state, dict) and all(
            isinstance(a, np.ndarray) and a.dtype.kind in _KINDS for a in state.values()
        )
        _must(arrays, f"{name}'s state must be a dict of arrays of numbers", state)
        chosen = _call(policy, "select", state, generator)
        arm, scores = np.asarray(getattr(chosen, "arm", None)), np.asarray(getattr(chosen, "scores", None))
        right = arm.shape == (replications,) and arm.dtype.kind in "iu" and bool(((arm >= 0) & (arm < arms)).all())
        _must(
            right,
            f"{name}.select must return a Selection whose arm is {replications} whole numbers below {arms}",
            chosen,
        )
        _must(scores.shape == (replications, arms), f"{name}.select's scores must be ({replications}, {arms})", scores)
        state = _call(policy, "update", state, arm, np.full(replications, 0.05))
        belief = _call(policy, "posterior", state)
        for part in () if belief is None else belief:
            shape = np.shape(part)
            _must(shape == (replications, arms), f"{name}.posterior's arrays must be ({replications}, {arms})", shape)
    what = f"{name} must keep what changes in its state, not in itself: runs are resumed from states"
    _must(repr(_held(policy)) == held, what, sorted(_held(policy)))


def _held(policy: Policy) -> dict[str, Any]:
    return getattr(policy, "__dict__", {})


def _call(policy: Policy, method: str, *arguments: Any) -> Any:
    call: Callable[..., Any] = getattr(policy, method)
    try:
        return call(*arguments)
    except OptimaError:
        raise
    except Exception as error:  # a user's code may raise anything
        line = extract_tb(error.__traceback__)[-1]
        reason = f"{type(error).__name__}: {error} (line {line.lineno}{f', {line.line}' if line.line else ''})"
        raise ConfigError(f"{type(policy).__name__}.{method} must work in a first try, got {reason}") from error


def _must(holds: bool, what: str, got: State | Any) -> None:
    if not holds:
        text = " ".join(str(got).split())
        raise ConfigError(f"{what}, got {text if len(text) <= 80 else f'{text[:77]}...'}")
