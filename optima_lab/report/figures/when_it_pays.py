"""When does choosing modules pay? Differences between strategies through training, and what they go with.

Every difference is between two students of one task and seed, which share teacher, batches and probe; bands and bars
are Student's 95 % intervals over seeds. Nothing here asks who wins.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from optima_lab.config import TASKS
from optima_lab.display import FAINT, INK, called, colour, in_order, look, task_title
from optima_lab.report import statistics
from optima_lab.report.figures.style import TALL, WIDE, blank, canvas, note, style
from optima_lab.report.statistics import FULL, Frame

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN = ("optima", "optima_calibrated", "random", "multi", "none")
FEWEST = 3  # seeds that are given an interval: that of two is 12.7 standard errors wide on each side
MARKERS = ("o", "s", "^", "D", "v", "P")  # one a task


def steps_per_epoch(summary: Mapping[str, Any]) -> float:
    """Optimizer steps in which a student sees all its training examples once; NaN where that is unknown."""
    config = summary["config"]
    examples = config.get("student_texts") or summary.get("counts", {}).get("train")
    return examples / config["batch_size"] if examples else float("nan")


def difference_curve(evals: Frame, strategy: str, against: str = FULL) -> Frame:
    """The dev score of `strategy` minus that of `against` through training: step, mean, half, n.

    Pairs are of one experiment and step; `half` is half of Student's 95 % interval, NaN for fewer than three seeds.
    """
    points = statistics.points(evals, "score")
    wide = points.pivot_table(index=["step", "experiment"], columns="strategy", values="value")
    if not {strategy, against} <= set(wide.columns):
        return pd.DataFrame(columns=["step", "mean", "half", "n"])
    apart = (wide[strategy] - wide[against]).dropna().groupby("step")
    table = apart.agg(mean="mean", sd="std", n="count").reset_index()
    half = [
        statistics.half_width(sd, n) if n >= FEWEST else np.nan for sd, n in zip(table["sd"], table["n"], strict=True)
    ]
    return table.assign(half=half)[["step", "mean", "half", "n"]]


def difference_curves(evals: Frame, strategies: Sequence[str] = SHOWN, epoch: float = float("nan")) -> "Figure":
    """How far each strategy is from LWD of the same seed, from the first evaluation to the last.

    epoch: optimizer steps in one; without it the axis counts steps.
    """
    evals = statistics.recorded(evals)
    task, unit = statistics.task_of(evals), epoch if np.isfinite(epoch) else 1.0
    curves = {name: difference_curve(evals, name) for name in strategies}
    recorded = in_order(name for name, curve in curves.items() if len(curve))
    with style():
        figure, (axes,) = canvas(WIDE)
        axes.set_title(statistics.title(task, "difference from LWD through training"))
        axes.set_xlabel("epochs of training" if unit != 1.0 else "optimizer step")
        axes.set_ylabel("score minus LWD's, dev split (points)")
        if not recorded:
            blank(axes, "no seed has both LWD and another strategy")
        else:
            axes.axhline(0, color=colour(FULL), lw=1.6)
        for name in recorded:
            _band(axes, curves[name], name, unit)
        if recorded:
            axes.legend(loc="lower right", ncols=2)
        seeds = {name: int(curves[name]["n"].max()) for name in recorded}
        note(figure, [_seeds(seeds), _absent(strategies, recorded)])
    return figure


def _band(axes: "Axes", curve: Frame, name: str, unit: float) -> None:
    x, mean, half = curve["step"] / unit, curve["mean"], curve["half"]
    entry = look(name)
    axes.plot(x, mean, color=entry.colour, ls=entry.dash, marker=entry.marker, ms=3, label=called(name))
    axes.fill_between(x, mean - half, mean + half, color=entry.colour, alpha=0.15, lw=0)


def _seeds(seeds: Mapping[str, int]) -> str:
    if not seeds or max(seeds.values()) < FEWEST:
        return f"fewer than {FEWEST} seeds: no bands" if seeds else ""
    counts = sorted(set(seeds.values()))
    many = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f"bands: 95 % interval of the mean over {many} seeds"


def _absent(expected: Sequence[str], recorded: Sequence[str]) -> str:
    absent = [called(name) for name in expected if name not in recorded]
    return f"not recorded: {', '.join(absent)}" if absent else ""


def sampler_spread(rounds: Frame, strategy: str = "optima") -> Frame:
    """The sampler's own spread beside what it is to tell apart, round by round: task, experiment, round, step, ratio.

    ratio: (largest − smallest mean reward of the arms) / (median over arms of 1/√(n_k + 1)). Below 1 the draws are
    dominated by chance. Rounds of the initial phase are left out.
    """
    chosen = rounds[(rounds["strategy"] == strategy) & ~rounds["initial"].astype(bool)]
    chosen = chosen[chosen["mean_before"].map(statistics.is_vector) & chosen["plays_before"].map(statistics.is_vector)]
    both = zip(chosen["mean_before"], chosen["plays_before"], strict=True)
    ratio = [np.ptp(np.asarray(mean, float)) * np.sqrt(np.median(np.asarray(plays, float)) + 1) for mean, plays in both]
    return chosen[["task", "experiment", "round", "step"]].assign(ratio=np.array(ratio, float)).reset_index(drop=True)


def against_three(evals: Frame, rounds: Frame, summaries: Mapping[str, Mapping[str, Any]], name: str) -> Frame:
    """The difference `name` − LWD at every evaluation of every task, with what it may go with: a row a task and step.

    Columns: task, step, epochs, gap (the teacher's dev score − LWD's), ratio (`sampler_spread`), difference, half, n.
    summaries: of one experiment a task.
    """
    rows = []
    for task, summary in summaries.items():
        own = evals[evals["task"] == task]
        curve = difference_curve(own, name)
        points = statistics.points(own, "score")
        full = points[points["strategy"] == FULL].groupby("step")["value"].mean()
        teacher = summary.get("teacher", {}).get("score_dev") or float("nan")
        spread = sampler_spread(rounds[rounds["task"] == task], name).groupby("step")["ratio"].mean()
        for line in curve.to_dict("records"):
            near = spread[(spread.index <= line["step"])]
            rows.append(
                {
                    "task": task,
                    "step": line["step"],
                    "epochs": line["step"] / steps_per_epoch(summary),
                    "gap": teacher - full[line["step"]],
                    "ratio": float(near.iloc[-1]) if len(near) else float("nan"),
                    "difference": line["mean"],
                    "half": line["half"],
                    "n": line["n"],
                }
            )
    return pd.DataFrame(rows, columns=["task", "step", "epochs", "gap", "ratio", "difference", "half", "n"])


AXES = (
    ("epochs", "length of training (epochs)"),
    ("gap", "LWD behind its teacher (points)"),
    ("ratio", "reward differences\n/ spread of draws"),
)


def when_it_pays(
    evals: Frame, rounds: Frame, summaries: Mapping[str, Mapping[str, Any]], name: str = "optima"
) -> "Figure":
    """A strategy minus LWD over three axes: length of training, gap to the teacher, rewards beside the draws."""
    table = against_three(statistics.recorded(evals), statistics.recorded(rounds), summaries, name)
    tasks = [task for task in TASKS if task in set(table["task"])]
    with style():
        figure, drawn = canvas((TALL[0], 4.4), columns=3)
        figure.suptitle(f"When does choosing modules pay? {called(name)} minus LWD, dev split", x=0.01, ha="left")
        for axes, (column, label) in zip(drawn, AXES, strict=True):
            axes.set_xlabel(label)
            axes.axhline(0, color=colour(FULL), lw=1.4)
            for task, marker in zip(tasks, MARKERS, strict=False):
                own = table[(table["task"] == task) & np.isfinite(table[column].astype(float))]
                bars: dict[str, Any] = {"lw": 0.8, "color": FAINT, "ls": "none", "alpha": 0.6}
                axes.errorbar(own[column], own["difference"], own["half"].fillna(0.0), **bars)
                axes.plot(own[column], own["difference"], marker, ms=5, mec=INK, mew=0.6, label=task_title(task))
            if not np.isfinite(table[column].astype(float)).any():
                blank(axes, "nothing recorded")
        drawn[0].set_ylabel("difference from LWD (points)")
        if tasks:
            drawn[0].legend(loc="lower right")
        n = table["n"].max() if len(table) else 0
        note(
            figure,
            [
                f"bars: 95 % interval over {int(n)} seeds; a mark is one evaluation"
                if n >= FEWEST
                else f"fewer than {FEWEST} seeds: no bars"
            ],
        )
    return figure
