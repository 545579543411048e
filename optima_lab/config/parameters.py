"""Flat names: at a shell, in notebooks and in records the parameters of all groups stand beside each other."""

from collections.abc import Mapping
from dataclasses import Field, fields, replace
from typing import Any, TypeVar, get_type_hints

from optima_lab.config import (
    Config,
    Data,
    Distillation,
    Evaluation,
    Finetuning,
    Model,
    Optim,
    Pretraining,
    PretrainingStage,
    Training,
)
from optima_lab.config.fields import Value, cast, flat_name
from optima_lab.errors import ConfigError, nearest

GROUPS = (Data, Model, Optim, Pretraining, Finetuning, Training, Distillation, Evaluation)


_FIRST = ("task", "preset", "seed")


def _places() -> dict[str, tuple[str, Field[Any]]]:
    """Flat name → the group that holds it ('' for the configuration's own) and its field, in the order of the class."""
    groups = {group.__name__.lower(): group for group in GROUPS}
    own = sorted((f for f in fields(Config) if f.name not in groups), key=lambda f: _FIRST.index(f.name))
    return {flat_name(f): ("", f) for f in own} | {
        flat_name(f): (name, f) for name, group in groups.items() for f in fields(group)
    }


def parameters() -> dict[str, type]:
    """Every parameter's flat name and type, in the order of the classes."""
    hints = {"": get_type_hints(Config)} | {group.__name__.lower(): get_type_hints(group) for group in GROUPS}
    return {name: hints[group][f.name] for name, (group, f) in _places().items()}


def about() -> dict[str, str]:
    """One line for every parameter: what it is."""
    return {name: f.metadata["about"] for name, (_, f) in _places().items()}


def changes_no_record() -> set[str]:
    """The parameters that are no part of an experiment's id: how it is computed, and what belongs to strategies."""
    return {name for name, (_, f) in _places().items() if f.metadata.get("same")}


def flat(config: Config) -> dict[str, Value]:
    """Every parameter's value by its flat name: what records and tables hold."""
    return {
        name: getattr(getattr(config, group) if group else config, f.name) for name, (group, f) in _places().items()
    }


def override(config: Config, changes: Mapping[str, Any]) -> Config:
    """`config` with some parameters changed, by flat names; text is cast to the parameter's type, names are checked."""
    places, kinds = _places(), parameters()
    by_group: dict[str, dict[str, Value]] = {}
    for name, value in changes.items():
        if name not in places:
            raise ConfigError(f"unknown parameter {name!r}{nearest(name, list(places))}")
        group, f = places[name]
        by_group.setdefault(group, {})[f.name] = cast(kinds[name], value, name)
    own: dict[str, Any] = by_group.pop("", {})
    return replace(config, **own, **{group: replace(getattr(config, group), **new) for group, new in by_group.items()})


S = TypeVar("S", bound=PretrainingStage)


def narrow(config: PretrainingStage, stage: type[S]) -> S:
    """What a stage is given of a configuration."""
    return stage(**{f.name: getattr(config, f.name) for f in fields(stage)})


def non_default(stage: Any) -> dict[str, Value]:
    """A stage's (or group's) parameters that differ from the defaults, by flat names, to name what is made with it.

    A parameter added later leaves the names of older things alone; whoever changes a default raises RECORD_VERSION.
    Left out is what changes no record.
    """
    changed: dict[str, Value] = {}
    for f in fields(stage):
        value = getattr(stage, f.name)
        if "about" not in f.metadata:
            changed |= non_default(value)
        elif not f.metadata.get("same") and value != f.default:
            changed[flat_name(f)] = value
    return changed
