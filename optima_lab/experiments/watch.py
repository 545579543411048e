"""Watching runs while they train: one small protocol, four moments, whoever listens.

A watcher is any object with some of `start(run)`, `round(run, record, steps)`, `evaluation(run, records)` and
`end(run, stopped)`, or a function, which is called as `round` is. It is given copies of what is recorded and changes no
number; so it is no part of a run's id. One that fails is told in a line and left out; training goes on.
"""

import re
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from optima_lab.bandits.arms import COCA, Arms
from optima_lab.bandits.policies.base import LISTED_ARMS
from optima_lab.display import called, task_title
from optima_lab.errors import ConfigError, nearest, one_line
from optima_lab.experiments.schema import arms_of, strategy_of
from optima_lab.source import function_name

MOMENTS = ("start", "round", "evaluation", "end")
Line = Mapping[str, Any]
Number = tuple[str, float, int]  # name, value, step


@dataclass(frozen=True)
class WatchedRun:
    """A run as watchers know it; `about` is its run.json, `done` the steps behind it (0 for one that begins)."""

    folder: Path
    run_info: Mapping[str, Any]
    done: int = 0

    @property
    def name(self) -> str:
        """'VQA laptop seed 0: OPTIMA (decay=0.5)'."""
        config = self.run_info.get("config", {})
        where = f"{task_title(str(config.get('task', '')))} {config.get('preset', '')} seed {config.get('seed', '')}"
        return f"{where}: {called(strategy_of(self.run_info))}"

    @property
    def id(self) -> str:
        """The same for a run that goes on, and in no other run: 'vqa-laptop-s0-1a2b3c4d-optima-b663be'."""
        task, experiment, strategy = self.folder.resolve().parts[-3:]
        return re.sub(r"[^\w-]", "-", f"{task}-{experiment}-{strategy}")

    @property
    def arms(self) -> Arms:
        """The arms it chooses from. Raises ValueError where its run.json names no modules that could be."""
        return arms_of(self.run_info)

    @property
    def parameters(self) -> dict[str, bool | int | float | str]:
        """The run's hyper-parameters: its configuration, strategy, policy and the policy's own, reward."""
        own = {f"policy.{name}": value for name, value in self.run_info.get("parameters", {}).items()}
        chosen = {name: str(self.run_info.get(name) or "") for name in ("strategy", "arm", "policy", "reward")}
        return {**self.run_info.get("config", {}), **chosen, **own}


class Watcher:
    """What watchers may do, each of it nothing: a base for one's own, which none needs."""

    def start(self, run: WatchedRun) -> None:
        """Training begins, or goes on after `run.done` steps."""

    def round(self, run: WatchedRun, record: Line, steps: Sequence[Line]) -> None:
        """A round has ended: its line of rounds.jsonl, and those of its steps in steps.jsonl."""

    def evaluation(self, run: WatchedRun, records: Sequence[Line]) -> None:
        """Lines of evals.jsonl: split, metric and value after a step."""

    def end(self, run: WatchedRun, stopped: str) -> None:
        """'' where it ended as planned, 'interrupted', or why the student was stopped."""


class NumberWatcher(Watcher, ABC):
    """A watcher of numbers alone: `log` is given those of every round and evaluation, as `scalars` names them."""

    @abstractmethod
    def log(self, run: WatchedRun, numbers: Iterable[Number]) -> None:
        """Show (name, value, step) of a run."""

    def round(self, run: WatchedRun, record: Line, steps: Sequence[Line]) -> None:
        """Losses of the steps, reward, arm and beliefs."""
        self.log(run, scalars(record, steps, (), run.arms))

    def evaluation(self, run: WatchedRun, records: Sequence[Line]) -> None:
        """Scores."""
        self.log(run, scalars(None, (), records))


def scalars(record: Line | None, steps: Iterable[Line], evals: Iterable[Line], arms: Arms = COCA) -> Iterator[Number]:
    """(name, value, step) of every number in these lines, step by step.

    An arm is its place among all `arms`, from 0, as long as they are listed, and which modules are in it.
    """
    for name, value, step in _scalars(record, steps, evals, arms):
        if isinstance(value, int | float):
            yield name, value, step


def _scalars(
    record: Line | None, steps: Iterable[Line], evals: Iterable[Line], arms: Arms
) -> Iterator[tuple[str, Any, int]]:
    labels = arms.labels if arms.count <= LISTED_ARMS else ()
    for line in steps:
        yield from ((f"loss/{name}", value, line["step"]) for name, value in line.items() if name not in ("step", "lr"))
        yield "lr", line.get("lr"), line["step"]
    if record is not None:
        step = record["step"]
        yield "reward", record.get("reward"), step
        yield "arm", labels.index(record["arm"]) if record.get("arm") in labels else None, step
        inside = (record.get("arm") or "").split("+")
        yield from ((f"in the arm/{short}", float(short in inside), step) for short in arms.shorts)
        for name, key, names in (
            ("posterior mean", "mean_after", labels),
            ("plays", "plays_after", labels),
            ("contribution", "theta_after", arms.shorts),  # θ has the base last
        ):
            yield from (
                (f"{name}/{each}", value, step) for each, value in zip(names, record.get(key) or (), strict=False)
            )
    for line in evals:
        yield f"{line['split']}/{line['metric']}", line["value"], line["step"]


def check_watchers(watchers: Sequence[Any]) -> None:
    """Raise ConfigError for what is no watcher."""
    if callable(watchers) or not isinstance(watchers, Sequence):
        raise ConfigError(f"callbacks must be a list of watchers or functions, got {watchers!r}")
    for each in watchers:
        methods = [name for name in MOMENTS if callable(getattr(each, name, None))]
        if isinstance(each, type) or not (methods or callable(each)):
            near = nearest("", list(MOMENTS)) if not isinstance(each, type) else f"; give an object: {each.__name__}()"
            raise ConfigError(f"a callback must be a function or have one of our methods, got {each!r}{near}")


@dataclass
class Watching:
    """The watchers of one run. As a context it tells them of its end, whatever that is."""

    run: WatchedRun
    watchers: Sequence[Any]
    _failed: set[int] = field(default_factory=set)

    def __enter__(self) -> "Watching":
        self.tell("start")
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self.tell("end", "interrupted")

    def tell_records(self, rounds: Sequence[Line], steps: Sequence[Line], evals: Sequence[Line]) -> None:
        """What was recorded since the last call."""
        before = 0
        for record in rounds:
            self.tell("round", record, [line for line in steps if before < line["step"] <= record["step"]])
            before = record["step"]
        if evals:
            self.tell("evaluation", evals)

    def tell(self, moment: str, *what: Any) -> None:
        """Call every watcher that listens to this moment."""
        for watcher in self.watchers:
            call = getattr(watcher, moment, None) or (watcher if moment == "round" and callable(watcher) else None)
            if call is None or id(watcher) in self._failed:
                continue
            try:
                call(self.run, *deepcopy(what))
            except Exception as error:  # a user's code, or a server that does not answer
                self._failed.add(id(watcher))
                why = one_line(f"{type(error).__name__}: {error}", 200)
                line = (
                    f"note: {function_name(watcher)} failed at the {moment} of {self.run.name} and is left out: {why}"
                )
                print(line, file=sys.stderr, flush=True)
