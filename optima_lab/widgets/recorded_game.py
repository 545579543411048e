"""Recorded rewards as games: a person, OPTIMA, random arms and LWD choose arms, and every pull brings what is recorded.

What an arm brings in round t is what the student that it taught throughout got in its round t, as it stands in the
record; the caveat of `bandits.recorded` holds, and the page says it.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from optima_lab.bandits.arms import LABELS
from optima_lab.bandits.recorded import fixed_arm_rewards
from optima_lab.display import task_title
from optima_lab.errors import OptimaError, RecordError
from optima_lab.experiments.experiment import RecordFolder
from optima_lab.experiments.looking import runs_folder
from optima_lab.experiments.records import read_json, read_rounds
from optima_lab.experiments.schema import check_run
from optima_lab.widgets.recording import places

LEAST_ROUNDS = 10


@dataclass(frozen=True)
class RecordedGame:
    """One experiment. rewards: float32 (T, K), as the browser has them.  decay, initial_plays: OPTIMA's γ, T0."""

    title: str
    rewards: np.ndarray
    decay: float
    initial_plays: int
    smoke: bool


def recorded_games(experiments: Sequence[RecordFolder] | str | Path) -> list[RecordedGame]:
    """A game of each experiment with runs of OPTIMA and of every arm of CoCa's, of at least `LEAST_ROUNDS` rounds.

    experiments: some, or a folder of runs; others, and a folder without runs, have none.
    """
    games: list[RecordedGame] = []
    if isinstance(experiments, str | Path):
        with suppress(RecordError):
            games = recorded_games(places(runs_folder(experiments)))
        return games
    for source in experiments:
        with suppress(OptimaError):
            games += _games(source, {game.title for game in games})
    return games


def _games(source: RecordFolder, taken: set[str]) -> list[RecordedGame]:
    """The experiment's game, if it is one. Raises OptimaError where an arm has no run, or one that cannot be read."""
    runs = {name: _run_record(source.folder / name / "run.json") for name in source.only}
    optima = [run.get("parameters", {}) for run in runs.values() if run.get("policy") == "optima"]
    fixed = tuple(name for name, run in runs.items() if run.get("arm") in LABELS and not run.get("policy"))
    if not fixed:
        return []
    (rewards,) = fixed_arm_rewards(read_rounds([RecordFolder(source.folder, fixed, source.seed)]), source.task)
    usual = [own for own in optima if own.get("scale", 1.0) == 1.0 and {"decay", "initial_plays"} <= own.keys()]
    if not usual or rewards.shape[1] < LEAST_ROUNDS or not np.isfinite(rewards).all():
        return []
    preset = str((runs[fixed[0]].get("config") or {}).get("preset", ""))
    title = f"{task_title(source.task)}{preset and ', ' + preset}, seed {source.seed}"
    title = f"{title} ({source.folder.name})" if title in taken else title
    decay, initial_plays = usual[0]["decay"], usual[0]["initial_plays"]
    return [RecordedGame(title, rewards.T.astype(np.float32), decay, initial_plays, preset == "smoke")]


def _run_record(path: Path) -> dict[str, Any]:
    return dict(check_run(read_json(path), path)) if path.exists() else {}
