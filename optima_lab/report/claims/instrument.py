"""Whether an experiment can answer the paper's question: five properties of the instrument, none of which is who wins.

The thresholds stand here, older in the history than the first run of an adaptive strategy at the preset `study`. Scores
are in points: per cent of accuracy, for captions per cent of the teacher's CIDEr. What is not finished is said.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from optima_lab.bandits.arms import KEYS
from optima_lab.config import TASKS, Config
from optima_lab.config.parameters import changes_no_record, flat
from optima_lab.display import name_of
from optima_lab.errors import RecordError
from optima_lab.experiments.records import read_evals, read_runs
from optima_lab.experiments.run import open_experiments
from optima_lab.presets import preset
from optima_lab.report import statistics
from optima_lab.report.statistics import FULL

TEACHER = 85.0  # (a) points a teacher reaches on an understanding task, at least
ABOVE_BLIND = 20.0  # (a) points of the teacher above text alone and above the majority
REFERENCE = 0.8  # (a) the teacher's CIDEr over that of a second reference
SETTLED = 0.5  # (b) points between the dev scores of the last tenth of training and of the tenth before
TENTH_EVALUATIONS = 2  # (b) evaluations in a tenth, at least
GAP = (2.0, 10.0)  # (c) points of LWD below the teacher
TAUGHT = 2.0  # (c) points of LWD above no distillation
RESOLUTION = 0.7  # (d) half-width of the interval of OPTIMA - LWD on understanding tasks, points
RESOLUTION_CAPTIONS = 1.0  # (d) the same for captions, per cent of the teacher's CIDEr
ROOM = 3.0  # (e) best minus worst arm in half-widths
ROOM_TASKS = 2  # (e) tasks on which there is room

_RUN = ("task", "experiment", "seed", "strategy")

Scores = Mapping[str, Mapping[int, float]]  # strategy → seed → points
NONE, OPTIMA = "none", "optima"
MOST_SEEDS = 200  # looked at when saying how many seeds a resolution needs


@dataclass(frozen=True)
class Facts:
    """What a task's teacher reaches on test, and what is reached without pictures, without a model, by a person."""

    teacher: float
    text_only: float = float("nan")
    majority: float = float("nan")
    second_reference: float = float("nan")


@dataclass(frozen=True)
class Finding:
    """One property on one task: its numbers in words, and whether it holds; None where runs are missing."""

    letter: str
    task: str
    text: str
    holds: bool | None = None

    def __str__(self) -> str:
        verdict = {True: "yes", False: "no", None: "unfinished"}[self.holds]
        return f"({self.letter}) {self.task:<8}{verdict:<11}{self.text}"


def report(tasks: Sequence[str], name: str, runs: Path, data: str = "", **changes: object) -> list[Finding]:
    """`findings` of what is recorded below `runs` at a preset, its seeds taken together.

    Raises RecordError where no task has a run of that very configuration.
    """
    wanted = {task: preset(task, name, data=data, **changes) for task in tasks}
    experiments = [e for e in open_experiments(runs) if e.task in wanted and _same(e.config, wanted[e.task])]
    if not experiments:
        raise RecordError(f"{runs} must hold runs of preset {name!r} (python -m optima_lab train), got none")
    facts = {e.task: _facts(e.summary) for e in experiments}
    run_rows, evals = read_runs(experiments), read_evals(experiments)
    done = {tuple(run[name] for name in _RUN) for run in run_rows.to_dict("records") if run["done"]}
    of_finished = [tuple(line[name] for name in _RUN) in done for line in evals.to_dict("records")]
    return findings(run_rows, pd.DataFrame(evals[of_finished]) if of_finished else evals, facts)


def _same(config: Config, wanted: Config) -> bool:
    """But for the seed, how it is computed, and what a strategy has of its own."""
    left, right = flat(replace(config, seed=wanted.seed)), flat(wanted)
    compared = set(right) - changes_no_record() | {"preset", "data"}  # in an id by other words
    return all(left[field] == right[field] for field in compared)


def _facts(summary: Mapping[str, Any]) -> Facts:
    def score(*path: str) -> float:
        value: Any = summary
        for key in path:
            value = value.get(key, {}) if isinstance(value, Mapping) else {}
        return float(value) if isinstance(value, int | float) else float("nan")

    return Facts(
        score("teacher", "score_test"),
        score("text_only", "score"),
        score("baseline", "score"),
        score("human", "score"),
    )


def findings(runs: pd.DataFrame, evals: pd.DataFrame, facts: Mapping[str, Facts]) -> list[Finding]:
    """All five properties, task by task and (e) over tasks, from frames of `optima_lab.experiments.records`."""
    properties: list[Finding] = []
    arms: dict[str, Finding] = {}
    for task, own in facts.items():
        unit = 100.0 / own.teacher if TASKS[task].captions else 1.0
        scores = _scores(runs, task, unit)
        half, resolution = _resolution(task, scores)
        arms[task] = _room(task, scores, half)
        properties += [_teacher(task, own), _settled(task, evals, unit), _gap(task, own.teacher * unit, scores)]
        properties += [resolution, arms[task]]
    return [*sorted(properties, key=lambda finding: finding.letter), _room_on_tasks(arms)]


def _scores(runs: pd.DataFrame, task: str, unit: float) -> Scores:
    """Test scores of a task's finished runs, by strategy: those with settings of their own are others."""
    scores: dict[str, dict[int, float]] = {}
    for run in runs.to_dict("records"):
        if run["task"] == task and run["done"]:
            scores.setdefault(run["strategy"], {})[run["seed"]] = run["score_test"] * unit
    return scores


def _mean(scores: Mapping[int, float]) -> float:
    return float(np.mean([*scores.values()]))


def _teacher(task: str, facts: Facts) -> Finding:
    if TASKS[task].captions:
        share = facts.teacher / facts.second_reference
        text = f"teacher's CIDEr {facts.teacher:.1f} is {share:.2f} of a second reference's (at least {REFERENCE})"
        return Finding("a", task, text, bool(share >= REFERENCE))
    above = facts.teacher - max(facts.text_only, facts.majority)
    text = (
        f"teacher {facts.teacher:.1f} (at least {TEACHER:.0f}), {above:.1f} above text alone {facts.text_only:.1f} "
        f"and majority {facts.majority:.1f} (at least {ABOVE_BLIND:.0f})"
    )
    return Finding("a", task, text, bool(facts.teacher >= TEACHER and above >= ABOVE_BLIND))


def settled(steps: Sequence[int], values: Sequence[float]) -> float:
    """Mean dev score of the last tenth of the steps minus that of the tenth before; NaN with too few evaluations.

    The evaluations are those of one strategy's runs of equal length, in any order.
    """
    when, score = np.asarray(steps), np.asarray(values, float)
    late, before = when > 0.9 * when.max(), (when > 0.8 * when.max()) & (when <= 0.9 * when.max())
    if min(len(set(when[late])), len(set(when[before]))) < TENTH_EVALUATIONS:
        return float("nan")
    return float(score[late].mean() - score[before].mean())


def _settled(task: str, evals: pd.DataFrame, unit: float) -> Finding:
    curves: dict[str, list[tuple[int, float]]] = {}
    for line in evals.to_dict("records"):
        if (line["task"], line["split"], line["metric"]) == (task, "dev", "score"):
            curves.setdefault(line["strategy"], []).append((line["step"], line["value"] * unit))
    if not {FULL, NONE} <= set(curves):
        return Finding("b", task, f"needs runs of {name_of(FULL)} and {name_of(NONE)}")
    moved = {name: settled(*zip(*curve, strict=True)) for name, curve in curves.items()}
    if not np.isfinite([*moved.values()]).all():
        return Finding("b", task, f"a tenth of training needs {TENTH_EVALUATIONS} evaluations", False)
    worst = max(moved, key=lambda name: abs(moved[name]))
    text = (
        f"last tenth of training moves by {moved[FULL]:+.2f} (LWD), {moved[NONE]:+.2f} (none), at most "
        f"{moved[worst]:+.2f} ({name_of(worst)}; less than {SETTLED})"
    )
    return Finding("b", task, text, abs(moved[worst]) < SETTLED)


def _gap(task: str, teacher: float, scores: Scores) -> Finding:
    if not {FULL, NONE} <= set(scores):
        return Finding("c", task, f"needs runs of {name_of(FULL)} and {name_of(NONE)}")
    lwd, none = _mean(scores[FULL]), _mean(scores[NONE])
    low, high = GAP
    text = (
        f"LWD {lwd:.1f} is {teacher - lwd:.1f} below the teacher ({low:.0f} to {high:.0f}) and {lwd - none:.1f} above "
        f"no distillation (at least {TAUGHT:.0f})"
    )
    return Finding("c", task, text, bool(low <= teacher - lwd <= high and lwd - none >= TAUGHT))


def half_width(differences: Sequence[float]) -> float:
    """Half of Student's 95 % interval of a mean of independent differences; NaN for fewer than two."""
    values = np.asarray(differences, float)
    return statistics.half_width(float(values.std(ddof=1)), len(values)) if len(values) > 1 else float("nan")


def seeds_needed(differences: Sequence[float], wanted: float) -> int:
    """The fewest seeds whose interval would be no wider than ± `wanted`, were the scatter that of these differences."""
    deviation = float(np.std(np.asarray(differences, float), ddof=1))
    return next((n for n in range(2, MOST_SEEDS) if statistics.half_width(deviation, n) <= wanted), MOST_SEEDS)


def _resolution(task: str, scores: Scores) -> tuple[float, Finding]:
    wanted = RESOLUTION_CAPTIONS if TASKS[task].captions else RESOLUTION
    ours, full = scores.get(OPTIMA, {}), scores.get(FULL, {})
    differences = [ours[seed] - full[seed] for seed in ours if seed in full]
    if len(differences) < 2:
        return float("nan"), Finding(
            "d", task, f"needs two seeds of {name_of(OPTIMA)} and {name_of(FULL)}, has {len(differences)}"
        )
    half, needed = half_width(differences), seeds_needed(differences, wanted)
    text = f"OPTIMA - LWD is known to ± {half:.2f} from {len(differences)} seeds (± {wanted}: {needed} seeds)"
    return half, Finding("d", task, text, half <= wanted)


def _room(task: str, scores: Scores, half: float) -> Finding:
    """Over the seeds that all arms have."""
    seeds = set.intersection(*(set(scores.get(name, {})) for name in KEYS))
    if not seeds:
        missing = [name_of(key) for key in KEYS if key not in scores] or ["one seed"]
        return Finding("e", task, f"needs runs of {', '.join(missing)}")
    means = {name: _mean({seed: scores[name][seed] for seed in seeds}) for name in KEYS}
    best, worst = max(means, key=means.__getitem__), min(means, key=means.__getitem__)
    spread = means[best] - means[worst]
    text = f"best arm {name_of(best)} {means[best]:.1f}, worst {name_of(worst)} {means[worst]:.1f}: {spread:.1f} points"
    if not np.isfinite(half):
        return Finding("e", task, f"{text}; the half-width of (d) is missing")
    ratio = spread / half if half else float("inf")
    return Finding("e", task, f"{text}, {ratio:.1f} half-widths (at least {ROOM:.0f})", ratio >= ROOM)


def _room_on_tasks(arms: Mapping[str, Finding]) -> Finding:
    with_room = sum(finding.holds is True for finding in arms.values())
    open_tasks = sum(finding.holds is None for finding in arms.values())
    unasked = max(0, ROOM_TASKS - len(arms))  # tasks that nothing was asked of may have room as well
    holds = True if with_room >= ROOM_TASKS else None if with_room + open_tasks + unasked >= ROOM_TASKS else False
    return Finding("e", "all", f"room to win on {with_room} of {len(arms)} tasks (at least {ROOM_TASKS})", holds)
