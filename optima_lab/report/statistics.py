"""What figures and tables show, as frames: the statistic apart from the drawing.

Frames are those of `experiments.records`. A replicate is one experiment (one seed); everything here takes one task.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from optima_lab.bandits.arms import KEYS, Arms
from optima_lab.display import DAGGER, base, called, in_order, task_title
from optima_lab.errors import ConfigError

Frame = pd.DataFrame

REPLICATE = ["experiment", "seed"]
FULL = KEYS[-1]  # layerwise distillation (LWD): the arm of all modules


def half_width(deviation: float, n: int) -> float:
    """Half of Student's 95 % interval of a mean of n numbers with this standard deviation; NaN for fewer than two."""
    from scipy import stats

    return float(stats.t.ppf(0.975, n - 1)) * deviation / n**0.5 if n > 1 else float("nan")


@cache
def reported() -> Frame:
    """The numbers that the paper prints: source, method, strategy (ours, where there is one), task, quantity, value."""
    return pd.read_csv(Path(__file__).with_name("reported.csv"), keep_default_na=False, dtype={"value": float})


def paper_score(task: str, strategy: str, model: str = "CoCa-Tiny12", quantity: str = "score") -> float:
    """What the paper prints for a strategy of this task and student; NaN where it prints nothing."""
    table = reported()
    named = table.method.str.startswith(model) if strategy != "teacher" else table.method == "CoCa-Large"
    rows = table[named & (table.task == task) & (table.strategy == strategy) & (table.quantity == quantity)]
    return float(rows.value.iloc[0]) if len(rows) else float("nan")


def reported_speedup(method: str) -> float:
    """Table 1's inference speed-up of a method over its teacher; NaN where it prints none."""
    table = reported()
    values = table.value[(table.method == method) & (table.quantity == "speedup")]
    return float(values.iloc[0]) if len(values) else float("nan")


def half_life(decay: float | np.ndarray) -> np.ndarray:
    """-1/log2 γ (A.7 of arXiv 2310.04550): after so many plays of an arm a reward weighs half in its moving average."""
    return np.asarray(-1 / np.log2(decay))


def recorded(frame: Frame) -> Frame:
    """The frame, or one with all columns where nothing is recorded at all."""
    columns = (
        "task experiment seed strategy round step split metric value arm initial reward draws mean_before mean_after"
    )
    return frame if len(frame) else pd.DataFrame(columns=[*columns.split(), "plays_before", "plays_after"])


def named(expected: Sequence[str], frame: Frame) -> list[str]:
    """The strategies of `frame` that these stand for, each where it has variants ('optima [decay=0.5]') by them.

    One that is not recorded stays as it is.
    """
    recorded = in_order(frame["strategy"])
    variants = {name: [strategy for strategy in recorded if base(strategy) == name] for name in expected}
    return [strategy for name in expected for strategy in variants[name] or [name]]


def samplers(rounds: Frame, *columns: str) -> list[str]:
    """Every strategy with a number for each arm in one of these columns (draws or means), in figure order.

    OPTIMA where nothing does. Random arms have draws and no means.
    """
    wanted = [name for name in columns or ("draws", "mean_after") if name in rounds.columns]
    shown = rounds[wanted].map(is_vector, length=len(arm_keys(rounds))).any(axis=1)
    return in_order(rounds.loc[shown.astype(bool), "strategy"]) or ["optima"]


def task_of(frame: Frame) -> str:
    """The one task of a frame; '' for an empty one. Raises ConfigError where there are several."""
    tasks = sorted(set(frame["task"])) if "task" in frame else []
    if len(tasks) > 1:
        raise ConfigError(f"a figure shows one task, got records of {', '.join(tasks)}; select one of them first")
    return tasks[0] if tasks else ""


def title(task: str, text: str) -> str:
    """'VQA: what it shows', or the name of an unknown task."""
    return f"{task_title(task) or 'no records'}: {text}"


def final_scores(evals: Frame, split: str = "test") -> Frame:
    """The last score of every run: strategy, experiment, seed, step, value.

    Runs that ended before their population did are left out, as are non-finite scores: `missing` names them. Of a
    student that was stopped this is the score of its last good state: `stopped` names it.
    """
    scores = evals[(evals["metric"] == "score") & (evals["split"] == split)]
    last = scores.sort_values("step").groupby(["strategy", *REPLICATE], as_index=False).tail(1)
    whole = last["step"] == last.groupby(REPLICATE)["step"].transform("max")
    finished = last[whole & np.isfinite(last["value"].astype(float))]
    return finished[["strategy", *REPLICATE, "step", "value"]].reset_index(drop=True)


def over_seeds(scores: Frame) -> Frame:
    """Mean, standard deviation (n - 1 in its divisor; NaN for one seed) and n of every strategy, in figure order."""
    table = scores.groupby("strategy")["value"].agg(mean="mean", sd="std", n="count")
    return pd.DataFrame(table).reindex(in_order(table.index))


def missing(frame: Frame, scores: Frame, expected: Sequence[str]) -> list[str]:
    """What a reader might look for and not find: strategies without records, and runs without a score.

    Those did not reach the end, or their test split has no score: CIDEr needs two pictures.
    """
    notes = []
    expected = named(expected, frame)
    absent = [called(name) for name in expected if name not in set(frame["strategy"])]
    if absent:
        notes.append(f"not recorded: {', '.join(absent)}")
    scored = set(zip(scores["strategy"], scores["experiment"], strict=True))
    started = frame[frame["strategy"].isin(expected)].groupby(["strategy", *REPLICATE])["step"].max()
    judged, short, ended = unscored(frame), [], []
    for run in started.reset_index().to_dict("records"):
        if (run["strategy"], run["experiment"]) in judged:
            ended.append(f"{called(run['strategy'])} (seed {run['seed']})")
        elif (run["strategy"], run["experiment"]) not in scored:
            short.append(f"{called(run['strategy'])} (seed {run['seed']}, step {run['step']:,})")
    if short:
        notes.append(f"not finished, not drawn: {', '.join(short)}")
    if ended:
        notes.append(f"{NO_SCORE}, not drawn: {', '.join(ended)}")
    return notes


NO_SCORE = "finished, but its test split has no score (CIDEr needs two pictures)"


def unscored(evals: Frame) -> set[tuple[str, str]]:
    """(strategy, experiment) of runs that were judged on test and have other metrics there, but no score."""
    if "split" not in evals:
        return set()
    test = evals[(evals["split"] == "test") & np.isfinite(evals["value"].astype(float))]
    metrics = test.groupby(["strategy", "experiment"])["metric"].agg(set)
    return {
        (str(strategy), str(experiment))
        for (strategy, experiment), names in zip(metrics.index.to_list(), metrics, strict=True)
        if "score" not in names
    }


def stopped(frame: Frame, among: Sequence[str] | None = None) -> dict[str, str]:
    """Students that were stopped since their numbers went wrong: '† Txt stopped in round 12: …' by strategy.

    Any frame of `optima_lab.experiments.records` will do; `among` are the strategies that are shown (None: all).
    """
    if "stopped" not in frame:
        return {}
    runs = frame.loc[frame["stopped"].fillna("") != "", ["task", "strategy", "seed", "stopped"]].drop_duplicates()
    runs = runs[runs["strategy"].isin(among)] if among is not None else runs
    several = frame["task"].nunique() > 1
    notes = [
        f"{run['stopped']} ({task_title(run['task']) + ', ' if several else ''}seed {run['seed']})"
        for run in runs.to_dict("records")
    ]
    runs = runs.assign(line=notes)
    lines = runs.groupby("strategy")["line"].agg("; ".join)
    return {name: f"{DAGGER} {called(name)} stopped in {lines[name]}" for name in in_order(lines.index)}


def differences(scores: Frame, against: str = FULL) -> Frame:
    """Every run's score minus that of `against` in the same experiment, so that seeds are paired."""
    bases = scores["strategy"].map(base) == against
    baseline = scores[bases].set_index("experiment")["value"]
    paired = scores[scores["experiment"].isin(baseline.index) & ~bases].copy()
    paired["value"] = paired["value"] - paired["experiment"].map(baseline)
    return paired


def teacher_score(summaries: Sequence[Mapping], key: str = "score_test") -> float:
    """Mean over experiments of what their teacher reaches; NaN where it is not recorded."""
    values = teacher_scores(summaries, key)
    return float(np.mean(values)) if values else float("nan")


def teacher_scores(summaries: Sequence[Mapping], key: str = "score_test") -> list[float]:
    """What the teacher of each experiment reaches, where it is recorded."""
    return [float(s["teacher"][key]) for s in summaries if s.get("teacher", {}).get(key) is not None]


def points(evals: Frame, quantity: str, split: str = "dev") -> Frame:
    """Every finite evaluation of one quantity on a split through training: a row a run and step."""
    chosen = (evals["metric"] == quantity) & (evals["split"] == split)
    return evals[chosen & np.isfinite(evals["value"].astype(float))]


def means(rounds: Frame, strategy: str) -> Frame:
    """Posterior means μ_k after every round: experiment, seed, round, step, initial, arm, mean (NaN before a play)."""
    arms = arm_keys(rounds)
    chosen = rounds[(rounds["strategy"] == strategy) & rounds["mean_after"].map(lambda it: is_vector(it, len(arms)))]
    if chosen.empty:
        return pd.DataFrame(columns=[*REPLICATE, "round", "step", "initial", "arm", "mean"])
    wide = np.stack([np.asarray(row, float) for row in chosen["mean_after"]])
    ones = np.ones(len(arms))
    plays = [np.asarray(row, float) if is_vector(row, len(arms)) else ones for row in chosen["plays_after"]]
    wide = np.where(np.stack(plays) > 0, wide, np.nan)
    long = chosen.loc[chosen.index.repeat(len(arms)), [*REPLICATE, "round", "step", "initial"]].reset_index(drop=True)
    return long.assign(arm=np.tile(arms, len(chosen)), mean=wide.ravel())


def arm_keys(rounds: Frame) -> tuple[str, ...]:
    """A frame's arms as it writes them: of the modules that its runs name, the first of them, else the paper's seven.

    Raises ConfigError where they are too many to list.
    """
    named = [cell for cell in rounds["modules"] if isinstance(cell, list)] if "modules" in rounds.columns else []
    return Arms(tuple(named[0])).labels if named else KEYS


def is_vector(value: Any, length: int = len(KEYS)) -> bool:
    """Whether a cell holds one number for each arm (null where a strategy draws nothing)."""
    return value is not None and np.shape(value) == (length,)


def initial_rounds(rounds: Frame, strategy: str) -> int:
    """Length of the first phase of T0·K rounds that plays every arm in random order; 0 without one."""
    chosen = rounds[(rounds["strategy"] == strategy) & rounds["initial"].astype(bool)]
    return int(chosen["round"].max()) if len(chosen) else 0


def frequency(rounds: Frame, strategy: str, windows: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """How often each arm was played: share (arm, window), and the windows' edges in rounds.

    Windows are of equal length, at least K rounds; shares of a window add up to 1 over arms; all seeds together.
    """
    arms = arm_keys(rounds)
    chosen = rounds[(rounds["strategy"] == strategy) & rounds["arm"].isin(arms)]
    last = int(chosen["round"].max()) if len(chosen) else 0
    edges = np.round(np.linspace(0, last, max(1, min(windows, last // len(arms))) + 1)).astype(int)
    if last == 0:
        return np.zeros((len(arms), 0)), np.zeros(1)
    counts = np.stack(
        [np.histogram(chosen.loc[chosen["arm"] == arm, "round"], bins=edges + 0.5)[0] for arm in arms]
    ).astype(float)
    plays = counts.sum(axis=0)
    return np.divide(counts, plays, out=np.full_like(counts, np.nan), where=plays > 0), edges + 0.5
