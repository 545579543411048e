"""What the claims about the sampler itself are measured by (Figs. 5 and 6), and the facts by task beside them.

A run of OPTIMA is a replicate: whatever happens within a run is one number, as its rounds depend on one another.
"""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from optima_lab.bandits.arms import KEYS
from optima_lab.config import TASKS
from optima_lab.display import name_of
from optima_lab.report import statistics
from optima_lab.report.claims.evidence import PAIR, Recorded, evidence, scores, stacked, variants
from optima_lab.report.correlation import Correlation, mean_against_score
from optima_lab.report.statistics import FULL, Frame

OPTIMA = "optima"
DECODER = ("multi", "txt+multi")  # the arms that "remain incompetent" in the paper's Fig. 5


def posterior_means(rounds: Frame, strategy: str = OPTIMA) -> Frame:
    """Means μ_k after the first T0·K rounds, averaged over rounds: a row for each task and seed, a column an arm."""
    return _means(rounds, strategy).groupby([*PAIR, "arm"])["mean"].mean().unstack().reindex(columns=KEYS)


def _means(rounds: Frame, strategy: str) -> Frame:
    rounds = statistics.recorded(rounds)
    parts = [
        statistics.means(rounds[rounds["task"] == task], strategy).assign(task=task) for task in set(rounds["task"])
    ]
    means = pd.concat(parts) if parts else pd.DataFrame(columns=[*PAIR, "round", "initial", "arm", "mean"])
    return means[~means["initial"].astype(bool)].astype({"mean": float, "seed": int})


def means_evolve(recorded: Recorded) -> Frame:
    """Fig. 5 left: each arm's mean after the last round minus after the first phase, by the average of the latter."""
    means = _means(recorded.rounds, OPTIMA).sort_values("round")
    ends = means.groupby([*PAIR, "arm"])["mean"].agg(["first", "last"])
    common = ends["first"].groupby(PAIR).mean()
    change = (ends["last"] - ends["first"]) / common.where(common > 0)
    wide = change.unstack().reindex(columns=KEYS)
    return stacked([evidence(name_of(arm), wide[arm]) for arm in KEYS])


def full_leads(recorded: Recorded) -> Frame:
    """Fig. 5 left: the mean of the arm of all modules minus that of each other arm, by the average over arms."""
    wide = posterior_means(recorded.rounds)
    relative = wide.div(wide.mean(axis=1), axis=0)
    return stacked(
        [evidence(f"{name_of(FULL)} − {name_of(arm)}", relative[FULL] - relative[arm]) for arm in KEYS if arm != FULL]
    )


def decoder_trails(recorded: Recorded) -> Frame:
    """Fig. 5 left: the average of the other arms' means minus the mean of Multi, and of Txt+Multi, by that average."""
    wide = posterior_means(recorded.rounds)
    others = wide.drop(columns=list(DECODER)).mean(axis=1)
    return stacked([evidence(f"other arms − {name_of(arm)}", 1 - wide[arm] / others) for arm in DECODER])


def means_tell(recorded: Recorded) -> Frame:
    """Fig. 5 right: Pearson's r of means and fixed arms' scores over all checkpoints of a run."""
    values = {where: result.pearson.value for where, result in _correlations(recorded)}
    return evidence("Pearson's r through training", _by_run(values))


def means_rank(recorded: Recorded) -> Frame:
    """Fig. 5 right without what training does to all arms: mean Spearman's ρ of the seven arms at one checkpoint."""
    values = {where: result.within for where, result in _correlations(recorded)}
    return evidence("Spearman's ρ among arms at a checkpoint", _by_run(values))


def _correlations(recorded: Recorded) -> Iterator[tuple[tuple[str, int], Correlation]]:
    rounds, evals = statistics.recorded(recorded.rounds), statistics.recorded(recorded.evals)
    for (task, seed), ours in rounds[rounds["strategy"] == OPTIMA].groupby(PAIR):
        judged = evals[(evals["task"] == task) & (evals["seed"] == seed)]
        yield (str(task), int(str(seed))), mean_against_score(ours, judged)


def _by_run(values: dict[tuple[str, int], float]) -> pd.Series:
    index = pd.MultiIndex.from_tuples(list(values), names=PAIR)
    return pd.Series(list(values.values()), index, dtype=float)


def plays(rounds: Frame, strategy: str = OPTIMA) -> Frame:
    """How often each arm was played after the first phase: a row for each task and seed, a column an arm."""
    rounds = statistics.recorded(rounds)
    chosen = rounds[(rounds["strategy"] == strategy) & rounds["arm"].isin(KEYS) & ~rounds["initial"].astype(bool)]
    counts = chosen.groupby([*PAIR, "arm"]).size().unstack(fill_value=0)
    return counts.reindex(columns=KEYS, fill_value=0).astype(float)


def concentration(counts: Frame) -> pd.Series:
    """How likely two rounds of a run play the same arm, Σ n(n - 1) / N(N - 1): 1/7 if play is uniform, 1 for one arm.

    Simpson's index without bias: its mean under uniform play is 1/7 however few rounds there are.
    """
    total = counts.sum(axis=1)
    return (counts * (counts - 1)).sum(axis=1) / (total * (total - 1)).where(total > 1)


def most_played(recorded: Recorded) -> Frame:
    """Fig. 6: the share of rounds (in points) of the arm of all modules minus that of each other arm."""
    counts = plays(recorded.rounds)
    share = 100 * counts.div(counts.sum(axis=1), axis=0)
    return stacked(
        [evidence(f"{name_of(FULL)} − {name_of(arm)}", share[FULL] - share[arm]) for arm in KEYS if arm != FULL]
    )


def flatter_on_captions(recorded: Recorded) -> Frame:
    """Fig. 6: how concentrated play is on SNLI-VE and on NLVR2, minus on COCO, same seed."""
    index = concentration(plays(recorded.rounds))
    by_task = index.unstack("task") if len(index) else pd.DataFrame()
    parts = []
    for task in ("snli_ve", "nlvr2"):
        if {task, "coco"} <= set(by_task.columns):
            values = pd.concat({f"{task}, coco": by_task[task] - by_task["coco"]}, names=["task"])
            parts.append(evidence(f"{TASKS[task].title} − {TASKS['coco'].title}", values))
    return stacked(parts)


def facts(recorded: Recorded) -> Frame:
    """What stands out in each task, means over seeds: a row a task. Descriptions, no tests."""
    wide, halflives = scores(recorded.runs), variants(recorded.runs, "decay")
    means, counts = posterior_means(recorded.rounds), plays(recorded.rounds)
    rows = []
    for task in [name for name in TASKS if name in set(wide.index.get_level_values("task"))]:
        ours = _paired(wide.loc[[task]].reindex(columns=[*KEYS, OPTIMA, "random"]))
        fixed = ours.reindex(KEYS).dropna().sort_values()
        row: dict[str, Any] = {"task": TASKS[task].title}
        if len(fixed):
            row |= {"best fixed arm": f"{name_of(fixed.index[-1])} ({fixed.iloc[-1]:.1f})"}
            row |= {"weakest fixed arm": f"{name_of(fixed.index[0])} ({fixed.iloc[0]:.1f})"}
        row |= {name_of(key): f"{ours[key]:.1f}" for key in (OPTIMA, "random") if key in ours}
        row |= {"leading mean μ": _first(means, task, "{:.3f}")}
        share = counts.div(counts.sum(axis=1), axis=0)
        row |= {"most played": _first(100 * share, task, "{:.0f} %")}
        if len(counts) and task in counts.index:
            again = 100 * concentration(counts).loc[[task]].mean()
            row |= {"two rounds play one arm (uniform 14.3 %)": f"{again:.1f} %"}
        if len(halflives) and task in halflives.index:
            best = _paired(halflives.loc[[task]])
            row |= {"best half-life (plays)": f"{statistics.half_life(float(best.idxmax())):.1f}"} if len(best) else {}
        rows.append(row)
    return pd.DataFrame(rows).set_index("task") if rows else pd.DataFrame()


def _paired(wide: Frame) -> Any:
    """Means over the seeds that have all columns recorded at all: no two of them are of different seeds."""
    return wide.dropna(axis=1, how="all").dropna().mean().dropna()


def _first(wide: Frame, task: str, digits: str) -> str:
    """The column with the largest mean over seeds, and that mean."""
    if not len(wide) or task not in wide.index:
        return "–"
    ours = wide.loc[[task]].mean().sort_values()
    return f"{name_of(ours.index[-1])} ({digits.format(ours.iloc[-1])})"
