"""Be the bandit: a person chooses the arms of a real student, beside strategies that choose their own.

All students start alike and see the same batches, as in any population. What a person does cannot be repeated from a
seed, so these records are no runs: they lie below `<runs>/games` and nothing ever averages them.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any
from weakref import finalize

import numpy as np
import pandas as pd

from optima_lab.bandits.arms import ARMS, LABELS, parse_arm
from optima_lab.bandits.policies import Selection, State
from optima_lab.bandits.policies.ema import MeanThompson
from optima_lab.bandits.posterior import departures
from optima_lab.config import Config
from optima_lab.config.parameters import override
from optima_lab.data.datasets import locate
from optima_lab.display import YOU
from optima_lab.distill.strategies import Spec, Strategy, parse_strategies
from optima_lab.distill.trainer import distill
from optima_lab.errors import ConfigError
from optima_lab.experiments.looking import announce, runs_folder
from optima_lab.experiments.population import (
    evaluation_records,
    make_students,
    require_comparable,
    run_info,
    write_data,
)
from optima_lab.experiments.records import Writer, write_json
from optima_lab.experiments.teachers import TeacherCache
from optima_lab.presets import preset as make_preset

BESIDE = ("optima", "random", "img+txt+multi")


@dataclass(frozen=True)
class ByHand(MeanThompson):
    """A person's arm where there is one in `chosen`, else the sampler's own draw; the belief is of plain averages."""

    initial_plays: int = 0
    chosen: list[int] = field(default_factory=list)

    def select(self, state: State, generator: np.random.Generator) -> Selection:
        drawn = super().select(state, generator)
        return drawn._replace(arm=np.array(self.chosen[-1:])) if self.chosen else drawn


class Contest:
    """A task's students, one of them a person's; `play` is a round of them all.

    rounds: how many there are; the learning rate falls to zero over them.  beside: strategies to play against.
    Raises ConfigError for what cannot be a run, before anything is trained; a teacher is made where it is missing.
    """

    def __init__(
        self,
        task: str = "vqa",
        preset: str = "laptop",
        rounds: int = 30,
        seed: int = 0,
        beside: str | Sequence[Spec] = BESIDE,
        runs: str | Path = "runs",
        **changes: Any,
    ) -> None:
        self.config = config = _sized(make_preset(task, preset, seed=seed, **changes), rounds)
        parameters = {"initial_plays": 0, "scale": 1.0}
        mine = Strategy(YOU, policy=MeanThompson.name, parameters=parameters)
        strategies = (mine, *parse_strategies(beside, config))
        where = runs_folder(runs)
        announce(where, [(config, len(strategies))], runs)
        write_data(config, where)
        cache = TeacherCache(config, locate(config, where))
        require_comparable(config, cache)
        self._teacher, _ = cache.teacher()
        self._data, self._hand = cache.data, ByHand(**parameters)
        self._task, self._models, self._students = make_students(config, cache, self._teacher, strategies)
        self._students[0].policy = self._hand
        self._rounds = distill(config, self._task, self._students)
        self.folder = _new_folder(where / "games" / task, f"{preset}-s{seed}")
        with ExitStack() as files:
            places = [(self.folder / strategy.id, run_info(config, strategy)) for strategy in strategies]
            self._writers = [files.enter_context(Writer(*place)) for place in places]
            self._close = finalize(self, files.pop_all().close)  # a contest may be left at any time
        self.names = [strategy.text for strategy in strategies]
        self.rounds: list[list[dict[str, Any]]] = [[] for _ in strategies]
        self.left = config.rounds  # to come
        self.scores: dict[str, float] = {}

    def play(self, arm: str = "") -> dict[str, Any]:
        """One round of all students, yours with `arm` ('img+txt'), or '' for what your posterior draws; your record.

        A student whose numbers go wrong plays no more rounds; the others go on, and yours is told by its last record.
        Raises ConfigError for what is no arm, and once all rounds are played.
        """
        if not self.left:
            raise ConfigError(f"all {self.config.rounds} rounds are played; a new contest begins anew")
        self._hand.chosen[:] = [ARMS.index(parse_arm(arm))] if arm else []
        step, taken = next(self._rounds)
        self.left -= 1
        for played, writer, (rounds, steps) in zip(self.rounds, self._writers, taken, strict=True):
            played += rounds
            writer.append("rounds", rounds)
            writer.append("steps", steps)
            writer.flush()
        if not self.left:
            self._end(step)
        return self.rounds[0][-1]

    def _end(self, step: int) -> None:
        """Score everybody, and close the records."""
        lines = evaluation_records(self.config, self._teacher, self._models, self._data, step)
        for name, writer, evals in zip(self.names, self._writers, lines, strict=True):
            writer.append("evals", evals)
            scored = [line["value"] for line in evals if (line["split"], line["metric"]) == ("test", "score")]
            self.scores[name] = scored[0] if scored else float("nan")  # CIDEr of one picture is none
        self._close()
        for student, writer in zip(self._students, self._writers, strict=True):
            write_json(writer.folder / "done.json", {"steps": step, "stopped": student.stopped})

    def result(self) -> pd.DataFrame:
        """By player: the sum of its rewards, and, once all is played, its student's score on test."""
        rewards = [sum(row["reward"] for row in rows) for rows in self.rounds]
        return pd.DataFrame(
            {"rewards": rewards, "score": [self.scores.get(name, float("nan")) for name in self.names]}, self.names
        )

    def departures(self) -> pd.DataFrame:
        """Your rounds in which an arm that you knew had a larger mean than yours, unless yours was new to you."""
        mine, columns = self.rounds[0], ["round", "arm", "mean", "best", "best_mean"]
        mean, plays = (np.array([row[f"{name}_before"] for row in mine]) for name in ("mean", "plays"))
        arm = np.array([LABELS.index(row["arm"]) for row in mine])
        away = departures(mean, plays, arm) if mine else []
        rows = [(mine[t]["round"], LABELS[arm[t]], mean[t, arm[t]], LABELS[best], mean[t, best]) for t, best in away]
        return pd.DataFrame(rows, columns=columns)


def _sized(config: Config, rounds: int) -> Config:
    """The same with so many rounds, warmed up for a tenth of them at most, and scored at the end alone."""
    steps = rounds * config.distillation.round_steps
    warmup = min(config.training.warmup_steps, steps // 10)
    return override(config, {"steps": steps, "warmup_steps": warmup, "evaluations": 1})


def _new_folder(room: Path, name: str) -> Path:
    """The first of name-1, name-2, … that is not there."""
    room.mkdir(parents=True, exist_ok=True)
    return next(folder for number in count(1) if not (folder := room / f"{name}-{number}").exists())
