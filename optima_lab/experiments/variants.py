"""What tells runs apart that bear the same name: nothing is averaged that differs in anything but the seed.

Whatever differs among the experiments of a task, and among the runs of one strategy, is written after a strategy's
name: 'optima [decay=0.5, steps=640]'. Runs that differ in the seed alone share a name; others never do.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any

from optima_lab.config import TASKS
from optima_lab.config.parameters import changes_no_record, flat, parameters
from optima_lab.errors import ConfigError
from optima_lab.experiments.ids import config_of
from optima_lab.presets import PRESETS, preset

Facts = Mapping[str, Any]


@dataclass(frozen=True)
class Asked:
    """One experiment: its configuration by flat names, the fingerprint of its data, its folder's name."""

    task: str
    seed: int
    id: str
    config: Facts
    data: str = ""


def of_summary(task: str, summary: Facts, name: str, seed: int = -1) -> Asked:
    """What an experiment.json says of it; `name` is its folder's."""
    config = summary.get("config")
    known: Facts = config if isinstance(config, Mapping) else {}
    data = str(summary.get("data_fingerprint") or "")
    with suppress(ConfigError):  # what is told apart need not be whole
        known = flat(config_of(known, data, name))
    return Asked(task, int(known.get("seed", seed)), name, known, data)


def of_experiments(asked: Sequence[Asked]) -> list[Facts]:
    """For each experiment what tells it apart from the others of its task, in the order of the parameters."""
    found: list[Facts] = [{} for _ in asked]
    for places in _grouped(range(len(asked)), lambda place: asked[place].task):
        for place, facts in zip(places, _of_task([asked[place] for place in places]), strict=True):
            found[place] = facts
    return found


def _of_task(asked: Sequence[Asked]) -> list[Facts]:
    told = [{name: each.config.get(name) for name in _differing([a.config for a in asked])} for each in asked]
    if "preset" in (told[0] if told else {}):  # everything differs: what is usual for a preset is not said
        told = [{"preset": t["preset"], **_unusual(a, t)} for a, t in zip(asked, told, strict=True)]
    told = _refined(told, [{"data": each.data[:8]} for each in asked])
    return _refined(told, [{"id": each.id.rpartition("-")[2]} for each in asked], [each.seed for each in asked])


def _refined(told: Sequence[Facts], more: Sequence[Facts], apart: Sequence[Hashable] = ()) -> list[Facts]:
    """`told` with `more` where those told the same differ in it; with `apart`, only where it is the same for two."""
    found = [*told]
    for places in _grouped(range(len(told)), lambda place: _key(told[place])):
        same = len({apart[place] for place in places}) < len(places) if apart else True
        if same and len({_key(more[place]) for place in places}) > 1:
            for place in places:
                found[place] = {**told[place], **more[place]}
    return found


def _unusual(asked: Asked, told: Facts) -> Facts:
    usual = _usual(asked.task, str(asked.config.get("preset")))
    return {name: value for name, value in told.items() if name != "preset" and usual.get(name) != value}


@cache
def _usual(task: str, name: str) -> Facts:
    return flat(preset(task, name)) if task in TASKS and name in PRESETS else {}


def _differing(configs: Sequence[Facts]) -> list[str]:
    """The parameters that change records and are not the same in all, the seed and the data's place left aside."""
    return [name for name in _compared() if len({repr(config.get(name)) for config in configs}) > 1]


@cache
def _compared() -> tuple[str, ...]:
    ignored = {"seed", "data", *changes_no_record()} - {"preset"}
    return tuple(name for name in parameters() if name not in ignored)


def of_runs(named: Sequence[tuple[Hashable, Facts]]) -> list[Facts]:
    """For each run, (its name and whatever else it is known by, its settings), what tells it apart from its like."""
    found: list[Facts] = [{} for _ in named]
    for places in _grouped(range(len(named)), lambda place: named[place][0]):
        settings = [named[place][1] for place in places]
        names = dict.fromkeys(name for each in settings for name in each)
        differing = [name for name in names if len({repr(each.get(name)) for each in settings}) > 1]
        for place in places:
            found[place] = {name: named[place][1][name] for name in differing if name in named[place][1]}
    return found


def settings(about: Facts) -> Facts:
    """How a run's arms were chosen, from its run.json: policy, its parameters, reward, the user's own code."""
    given, own = about.get("parameters") or {}, about.get("own") or {}
    told = {"policy": about.get("policy") or "", **given, "reward": about.get("reward") or "all"}
    return {**told, "source": str(own["id"])[:6]} if own.get("id") else told


def written(strategy: str, facts: Facts) -> str:
    """'optima [decay=0.5]'; the name alone where nothing is to be told apart."""
    shown = ", ".join(f"{name}={_short(value)}" for name, value in facts.items())
    return f"{strategy} [{shown}]" if shown else strategy


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def alike(config: Facts, changes: Facts) -> bool:
    """Whether a configuration is its preset's but for these changes (and the seed, and what changes no record)."""
    try:
        asked = flat(preset(str(config["task"]), str(config["preset"]), **changes))
    except (KeyError, ConfigError):
        return False
    return not _differing([config, asked])


def _grouped(places: Iterable[int], key: Any) -> Iterable[list[int]]:
    groups: dict[Hashable, list[int]] = defaultdict(list)
    for place in places:
        groups[key(place)].append(place)
    return groups.values()


def _key(facts: Facts) -> Hashable:
    return repr(sorted(facts.items()))
