"""Recorded runs as compact arrays, one row a round: what the replay hands to the browser.

Everything comes from the records (`experiments.records`); what is missing, unfinished or damaged is said in `notes`.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from optima_lab.bandits.arms import COCA, Arms
from optima_lab.bandits.policies import Posterior
from optima_lab.bandits.posterior import PosteriorReplay
from optima_lab.display import called, in_order, task_title, tasks_in_order
from optima_lab.errors import RecordError
from optima_lab.experiments.experiment import RecordFolder
from optima_lab.experiments.line_tail import LineTail
from optima_lab.experiments.records import read_json, told_apart, why_stopped
from optima_lab.experiments.schema import arms_of, check_run, check_whole, strategy_of
from optima_lab.widgets.assets import LATTICE_MODULES

NO_ARM = 255  # in the array of arms: nothing was distilled layer by layer
RATIOS = ("ratio_kl", "ratio_hidden", "ratio_attention")
LOSSES = ("probe_train", "probe_kl", "probe_hidden", "probe_attention")
Arrays = Mapping[str, np.ndarray]
ReadTrack = Callable[[RecordFolder, Path], "RunTrace"]


@dataclass(frozen=True)
class RunTrace:
    """One run. `arrays` have T rows; mean, deviation and plays have T + 1: before every round, and after the last.

    round, step: numbers.  arm: number of the run's `arms`, or NO_ARM.  initial: forced plays.  reward (T,), ratio
    (T, 3), loss (T, 4) after the round.  draws, mean, deviation, plays (·, K): absent where the strategy has none. Of
    more modules than a lattice has these are of modules, as far as they are recorded, and `member` (T, c) replaces arm.
    stopped: 'round 12: …', where a student's numbers went wrong; '' for one that went on to its end.
    """

    name: str
    task: str
    seed: int
    strategy: str
    record: Mapping[str, Any]
    arrays: Arrays
    score: tuple[tuple[int, float], ...] = ()  # (round, score on the dev split), in the task's metric
    notes: tuple[str, ...] = ()
    stopped: str = ""
    arms: Arms = COCA

    @property
    def rounds(self) -> int:
        """How many rounds are recorded."""
        return len(self.arrays["round"])


def places(path: Path) -> list[RecordFolder]:
    """The experiments of a folder: of one experiment, of a task, or of everything below `runs`.

    Raises RecordError where there are none.
    """
    if not path.is_dir():
        raise RecordError(f"no such run: {path} must be the folder of an experiment or of runs, and does not exist")
    if (path / "run.json").is_file():  # one run by itself, such as `Optima.records` writes
        return [RecordFolder(path.parent, (path.name,), 0)]
    depths = ("*/run.json", "*/*/run.json", "*/*/*/run.json")
    begun = sorted({file.parent.parent for depth in depths for file in path.glob(depth)})
    if not begun:
        raise RecordError(f"no run in {path}: a run is a folder <task>/<experiment>/<strategy> with a run.json")
    return [_place(folder) for folder in begun]


def _place(folder: Path) -> RecordFolder:
    """With the seed of its first run that can be read; of the others `tracks` will say why they cannot."""
    folders, seed = sorted(file.parent for file in folder.glob("*/run.json")), None
    for run in folders:
        with suppress(RecordError):
            seed = _config(check_run(read_json(run / "run.json"), run)).get("seed")
            break
    return RecordFolder(folder, tuple(run.name for run in folders), seed if isinstance(seed, int) else 0)


def _config(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """A run's configuration, as far as it is one."""
    config = record.get("config")
    return config if isinstance(config, dict) else {}


def tracks(experiments: Sequence[RecordFolder], read: ReadTrack | None = None) -> tuple[list[RunTrace], list[str]]:
    """Every run that has a round, in the order of figures; and a line for each run that cannot be shown.

    `read` reads one run (`read_track`). Raises RecordError where no run has a round, saying why.
    """
    traces, sources, problems = [], [], []
    for experiment in experiments:
        for name in experiment.only:
            try:
                traces.append((read or read_track)(experiment, experiment.folder / name))
                sources.append(experiment)
            except RecordError as error:
                problems.append(str(error))
    if not traces:
        raise RecordError("; ".join(problems) or "no run was asked for")
    names = told_apart([(source, track.record) for source, track in zip(sources, traces, strict=True)])
    traces = [replace(track, strategy=name) for track, name in zip(traces, names, strict=True)]
    order, tasks = in_order(track.strategy for track in traces), tasks_in_order(track.task for track in traces)
    traces.sort(key=lambda t: (tasks.index(t.task), t.seed, order.index(t.strategy)))
    return _named(traces), problems


def _named(traces: Sequence[RunTrace]) -> list[RunTrace]:
    """Names that say as much as is needed to tell the runs apart."""
    several = [len({getattr(track, key) for track in traces}) > 1 for key in ("task", "seed")]
    named = []
    for track in traces:
        task = f"{task_title(track.task)} · " if several[0] else ""
        seed = f", seed {track.seed}" if several[1] else ""
        named.append(replace(track, name=f"{task}{called(track.strategy)}{seed}"))
    return named


class RunReader:
    """The run in a folder, read as often as one likes: what was read is kept, and only new lines are read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._begin({})

    def read(self, source: RecordFolder) -> RunTrace:
        """The run as it is now, one of the experiment `source`. Raises RecordError where it has no round."""
        before = self._record
        try:
            return self._read(source)
        except RecordError:
            self._begin({})
            if not before:
                raise
        return self._read(source)  # all of it: it may have been begun anew meanwhile

    def _begin(self, record: Mapping[str, Any]) -> None:
        self._record, self._arrays, self._replay, self._score = record, dict[str, np.ndarray](), None, []
        self._rounds, self._evals = (LineTail(self._folder / f"{name}.jsonl") for name in ("rounds", "evals"))

    def _read(self, source: RecordFolder) -> RunTrace:
        folder = self._folder
        if folder.is_symlink() or not (folder / "run.json").exists():
            raise RecordError(f"no such run: {folder} has no run.json of its own")
        record = check_run(read_json(folder / "run.json"), folder / "run.json")
        if record != self._record:
            self._begin(record)
        arms, arrays = self._grown()
        strategy, stopped = strategy_of(record), why_stopped(folder)
        alone = "only one round is recorded" if len(arrays["round"]) == 1 else ""
        end = _end(folder, record, int(arrays["round"][-1]), stopped)
        notes = tuple(filter(None, (end, _half_written(self._rounds.path), _not_finite(arrays["reward"]), alone)))
        score = self._scores()
        return RunTrace(strategy, source.task, source.seed, strategy, record, arrays, score, notes, stopped, arms)

    def _grown(self) -> tuple[Arms, Arrays]:
        """The run's arms and its arrays, with the rounds that came since; beliefs go on from the last round."""
        before, rows = self._rounds.read()
        if not before and not rows:
            raise RecordError(f"{self._record['strategy']}: no round is recorded yet in {self._rounds.path}")
        try:
            arms = arms_of(self._record)
            if rows:
                new = _of_rows(rows, arms)
                self._arrays = _joined(self._arrays, new) if before else new
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise RecordError(f"{self._rounds.path} must hold the same numbers in every round: {error!r}") from None
        if len(arms.modules) > LATTICE_MODULES:
            return arms, self._arrays
        if not self._replay or not before:
            policy, parameters = self._record.get("policy", ""), self._record.get("parameters", {})
            self._replay = PosteriorReplay(policy, parameters, arms.count)
        first = len(self._arrays["round"]) - len(rows)
        arm = self._arrays["arm"].astype(np.int64)  # NO_ARM is none of the arms: what is rebuilt ends there
        belief = self._replay.learn(arm[first:], self._arrays["reward"][first:])
        return arms, self._arrays | _beliefs(belief, self._arrays)

    def _scores(self) -> tuple[tuple[int, float], ...]:
        """(round, score on the dev split), as far as they are recorded."""
        before, lines = self._evals.read()
        rows = [check_whole(row, "evals", self._evals.path) for row in lines]
        shown = [row for row in rows if (row["split"], row["metric"]) == ("dev", "score") and row["value"] is not None]
        new = [(row["round"], float(row["value"])) for row in shown if "round" in row]
        self._score = [*self._score, *new] if before else new
        return tuple(self._score)


def read_track(source: RecordFolder, folder: Path) -> RunTrace:
    """The run in a folder of an experiment. Raises RecordError where it has no round."""
    return RunReader(folder).read(source)


def _joined(before: Arrays, new: Arrays) -> dict[str, np.ndarray]:
    """Arrays of more rounds; those with a row after the last round lose it to the next one."""
    rounds = len(before["round"])
    return {name: np.concatenate([before[name][:rounds], array]) for name, array in new.items() if name in before}


def _of_rows(rows: Sequence[Mapping[str, Any]], arms: Arms) -> dict[str, np.ndarray]:
    listed = len(arms.modules) <= LATTICE_MODULES
    return _columns(rows, arms) | (_vectors(rows, arms.count) if listed else _by_module(rows, arms.modules))


def _columns(rows: Sequence[Mapping[str, Any]], of: Arms) -> dict[str, np.ndarray]:
    """The columns that every strategy has."""
    labels = of.labels if len(of.modules) <= LATTICE_MODULES else ()
    arms = [NO_ARM if row["arm"] is None or not labels else labels.index(row["arm"]) for row in rows]
    return {
        "round": np.array([row["round"] for row in rows], np.uint32),
        "step": np.array([row["step"] for row in rows], np.uint32),
        "arm": np.array(arms, np.uint8),
        "initial": np.array([row["initial"] for row in rows], np.uint8),
        "reward": np.array([row["reward"] for row in rows], np.float64),
        "ratio": np.array([[row[name] for name in RATIOS] for row in rows], np.float64),
        "loss": np.array([[row[name] for name in LOSSES] for row in rows], np.float64),
    }


def _vectors(rows: Sequence[Mapping[str, Any]], arms: int) -> dict[str, np.ndarray]:
    """Draws (T, K), and means and plays (T + 1, K) where the strategy keeps them; null is NaN."""
    vectors = {}
    if all(row["draws"] is not None for row in rows):
        vectors["draws"] = np.array([row["draws"] for row in rows], np.float64)
    for name in ("mean", "plays"):
        if all(row[f"{name}_before"] is not None for row in rows):
            vectors[name] = _before_and_last(rows, name)
    for name, array in vectors.items():
        if array.shape[1:] != (arms,):
            raise ValueError(f"{name} must have {arms} numbers a round")
    return vectors


def _before_and_last(rows: Sequence[Mapping[str, Any]], name: str) -> np.ndarray:
    return np.array([*(row[f"{name}_before"] for row in rows), rows[-1][f"{name}_after"]], np.float64)


def _by_module(rows: Sequence[Mapping[str, Any]], modules: Sequence[str]) -> dict[str, np.ndarray]:
    """Which modules were in the arm (T, c), and θ, its deviation and plays (T + 1, c) where `linear_ts` keeps them."""
    played = [set(row["arm"].split("+")) if row["arm"] else set[str]() for row in rows]
    if unknown := set().union(*played) - set(modules):
        raise ValueError(f"arms must be sets of {', '.join(modules)}, got {min(unknown)}")
    arrays: dict[str, np.ndarray] = {
        "member": np.array([[module in arm for module in modules] for arm in played], np.uint8)
    }
    columns = {"mean": "theta", "deviation": "theta_deviation", "plays": "module_plays"}
    for name, recorded in columns.items():
        if all(row.get(f"{recorded}_before") is not None for row in rows):
            arrays[name] = _before_and_last(rows, recorded)[:, : len(modules)]
    if all(row["draws"] is not None and len(row["draws"]) == len(modules) + 1 for row in rows):
        arrays["draws"] = np.array([row["draws"][: len(modules)] for row in rows], np.float64)
    return arrays


def _beliefs(belief: Posterior | None, arrays: Arrays) -> dict[str, np.ndarray]:
    """Mean and deviation (T + 1, K) that the policy held of every arm: rebuilt, for records keep no deviation.

    Nothing is returned for a strategy without a posterior, or where what is rebuilt is not what was recorded (another
    version of the policy).
    """
    if belief is None:
        return {}
    finite = np.isfinite(belief.mean)
    if "mean" in arrays and not np.allclose(belief.mean[finite], arrays["mean"][finite], atol=1e-9):
        return {}
    return {"mean": arrays.get("mean", belief.mean), "deviation": belief.deviation}


def _end(folder: Path, record: Mapping[str, Any], last: int, stopped: str) -> str:
    """Why the record ends before its time, if it does."""
    if stopped:
        return f"its numbers went wrong and it stopped in {stopped}"
    if (folder / "done.json").exists() or "modules" in record:  # a loop of the user's own has no end that we know
        return ""
    total = _rounds(_config(record))
    of = f"of {total} " if total else ""
    return f"still training, or stopped: {last} {of}rounds are recorded so far"


def _rounds(config: Mapping[str, Any]) -> int:
    """How many rounds a whole run has; 0 where its configuration does not say."""
    steps, round_steps = config.get("steps"), config.get("round_steps")
    return steps // round_steps if isinstance(steps, int) and isinstance(round_steps, int) and round_steps > 0 else 0


def _half_written(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(-1, 2)
        whole = file.read(1) == b"\n"
    return "" if whole else "the last line of its record was only half written; it is left out"


def _not_finite(reward: np.ndarray) -> str:
    count = int((~np.isfinite(reward)).sum())
    return f"{count} of {len(reward)} rewards are not finite numbers: gaps" if count else ""
