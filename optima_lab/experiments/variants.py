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
class Identity:
    """One experiment: its configuration by flat names, the fingerprint of its data, its folder's name."""

    task: str
    seed: int
    id: str
    config: Facts
    data: str = ""


def of_summary(task: str, summary: Facts, name: str, seed: int = -1) -> Identity:
    """What an experiment.json says of it; `name` is its folder's."""
    config = summary.get("config")
    values: Facts = config if isinstance(config, Mapping) else {}
    data = str(summary.get("data_fingerprint") or "")
    with suppress(ConfigError):  # what is told apart need not be whole
        values = flat(config_of(values, data, name))
    return Identity(task, int(values.get("seed", seed)), name, values, data)


def of_experiments(experiments: Sequence[Identity]) -> list[Facts]:
    """For each experiment what tells it apart from the others of its task, in the order of the parameters."""
    differences: list[Facts] = [{} for _ in experiments]
    for places in _grouped(range(len(experiments)), lambda place: experiments[place].task):
        for place, facts in zip(places, _of_task([experiments[place] for place in places]), strict=True):
            differences[place] = facts
    return differences


def _of_task(experiments: Sequence[Identity]) -> list[Facts]:
    differing = _differing([each.config for each in experiments])
    facts: list[Facts] = [{name: each.config.get(name) for name in differing} for each in experiments]
    if "preset" in differing:  # everything differs: what is usual for a preset is not said
        facts = [{"preset": own["preset"], **_unusual(e, own)} for e, own in zip(experiments, facts, strict=True)]
    facts = _refined(facts, [{"data": each.data[:8]} for each in experiments])
    ids = [{"id": each.id.rpartition("-")[2]} for each in experiments]
    return _refined(facts, ids, [each.seed for each in experiments])


def _refined(facts: Sequence[Facts], more: Sequence[Facts], apart: Sequence[Hashable] = ()) -> list[Facts]:
    """`facts` with `more` where those of like facts differ in it; with `apart`, only where it is the same for two."""
    refined = [*facts]
    for places in _grouped(range(len(facts)), lambda place: _key(facts[place])):
        same = len({apart[place] for place in places}) < len(places) if apart else True
        if same and len({_key(more[place]) for place in places}) > 1:
            for place in places:
                refined[place] = {**facts[place], **more[place]}
    return refined


def _unusual(experiment: Identity, facts: Facts) -> Facts:
    usual = _usual(experiment.task, str(experiment.config.get("preset")))
    return {name: value for name, value in facts.items() if name != "preset" and usual.get(name) != value}


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
    differences: list[Facts] = [{} for _ in named]
    for places in _grouped(range(len(named)), lambda place: named[place][0]):
        settings = [named[place][1] for place in places]
        names = dict.fromkeys(name for each in settings for name in each)
        differing = [name for name in names if len({repr(each.get(name)) for each in settings}) > 1]
        for place in places:
            differences[place] = {name: named[place][1][name] for name in differing if name in named[place][1]}
    return differences


def settings(run_info: Facts) -> Facts:
    """How a run's arms were chosen, from its run.json: policy, its parameters, reward, the user's own code."""
    policy_parameters, own = run_info.get("parameters") or {}, run_info.get("own") or {}
    facts = {"policy": run_info.get("policy") or "", **policy_parameters, "reward": run_info.get("reward") or "all"}
    return {**facts, "source": str(own["id"])[:6]} if own.get("id") else facts


def written(strategy: str, facts: Facts) -> str:
    """'optima [decay=0.5]'; the name alone where nothing is to be told apart."""
    shown = ", ".join(f"{name}={_short(value)}" for name, value in facts.items())
    return f"{strategy} [{shown}]" if shown else strategy


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def alike(config: Facts, changes: Facts) -> bool:
    """Whether a configuration is its preset's but for these changes (and the seed, and what changes no record)."""
    try:
        expected = flat(preset(str(config["task"]), str(config["preset"]), **changes))
    except (KeyError, ConfigError):
        return False
    return not _differing([config, expected])


def _grouped(places: Iterable[int], key: Any) -> Iterable[list[int]]:
    groups: dict[Hashable, list[int]] = defaultdict(list)
    for place in places:
        groups[key(place)].append(place)
    return groups.values()


def _key(facts: Facts) -> Hashable:
    return repr(sorted(facts.items()))
