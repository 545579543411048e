"""Figures of OPTIMA's design: the reward (Fig. 7 of arXiv 2310.04550), the half-life (Fig. 8), T0 and P.

Every function takes the runs of one task (`records.read_runs`) and returns a figure; it saves nothing. Which
run is which is read from its settings. A run is compared with the one of the same seed.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from optima_lab.display import DAGGER, FAINT, called, colour, task_metric
from optima_lab.report import statistics
from optima_lab.report.claims.evidence import scores, variants
from optima_lab.report.figures import statistical
from optima_lab.report.figures.style import WIDE, blank, canvas, note, style
from optima_lab.report.statistics import FULL, Frame, stopped

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MEAN = "optima_mean"
REFERENCES = (FULL, "random")
NONE = "no seed has finished all of these runs"
# Strategies, top to bottom, and what they are called in Fig. 7.
DESIGNS: Mapping[str, str] = {
    "optima": "OPTIMA: all three losses",
    "optima:reward=kl": "reward: KL only (r_KD)",
    "optima:reward=layers": "reward: hidden and attention only (r_LWD)",
    MEAN: "simple mean instead of moving average",
    "optima:attention=weights": "attention after softmax",
    FULL: "LWD",
    f"{FULL}:attention=weights": "LWD, attention after softmax",
    "random": "random arms",
}


def reward_design(runs: Frame) -> "Figure":
    """Fig. 7 and its neighbours: rewards, averages and attention, and each one's difference from OPTIMA as it is."""
    task, every, marks = statistics.task_of(runs), scores(runs), stopped(runs)
    names = [name for name in DESIGNS if name in every.columns]
    (wide,), gone = _paired(every[names])
    with style():
        figure, (left, right) = canvas((9.6, 0.42 * max(3, len(names)) + 2.0), columns=2)
        figure.suptitle(statistics.title(task, "what OPTIMA is rewarded by"), x=0.01, ha="left")
        left.set_xlabel(f"{task_metric(task)}, test")
        right.set_title("minus OPTIMA of the same seed", fontsize=11)
        right.set_xlabel("difference (points)")
        if wide.empty:
            blank(left, NONE)
        else:
            _dots(left, wide, names)
            if "optima" in names:
                others = [name for name in names if name != "optima"]
                _dots(right, wide[others].sub(wide["optima"], axis=0), names, "{:+.1f}")
        right.axvline(0, color=colour("optima"), lw=1.6)
        for axes in (left, right):
            axes.grid(False, axis="y")
            axes.set_yticks(range(len(names)), [DESIGNS[name] + f" {DAGGER}" * (name in marks) for name in names])
            axes.set_ylim(max(1, len(names)) - 0.4, -0.6)
        right.tick_params(labelleft=False, left=False)  # the numbers beside them are the left panel's means
        absent = [text for name, text in DESIGNS.items() if name not in names]
        stops = [marks[name] for name in names if name in marks]
        note(figure, [f"not recorded: {', '.join(absent)}" if absent else "", _seeds(wide), gone, *stops])
    return figure


def halflife(runs: Frame) -> "Figure":
    """Fig. 8: score over the half-life −1/log2 γ (plays of an arm, log axis); at the right the simple mean, γ → 1."""
    task, others = statistics.task_of(runs), scores(runs)
    others = others[[name for name in (MEAN, *REFERENCES) if name in others.columns]]
    (table, wide), gone = _paired(variants(runs, "decay"), others)
    with style():
        figure, (axes,) = canvas(WIDE)
        axes.set_title(statistics.title(task, "how fast OPTIMA forgets"), pad=26)
        axes.set_xlabel("half-life −1/log2 γ of the moving average (plays of an arm), logarithmic")
        axes.set_ylabel(f"{task_metric(task)}, test")
        axes.set_xscale("log")
        if table.empty:
            blank(axes, NONE)
            return figure
        x = statistics.half_life(np.array(table.columns, float))
        _line(axes, x, table)
        ticks = {float(at): f"{at:.1f}\nγ = {decay:g}" for at, decay in zip(x, table.columns, strict=True)}
        if MEAN in wide.columns:
            last = float(x[-1]) * 3
            _line(axes, np.array([last]), wide[[MEAN]])
            ticks[last] = "∞\nsimple mean"
        axes.set_xticks(list(ticks), list(ticks.values()))
        axes.minorticks_off()
        _levels(axes, wide)
        few = "" if table.shape[1] >= 6 else f"{table.shape[1]} half-lives are recorded; the paper's figure has more"
        lines = [few, _seeds(table, band=True), gone, "the paper's γ = 0.98 is a half-life of 34.3"]
        note(figure, [*lines, *_stopped_samplers(runs)])
    return figure


def first_plays_and_round_length(runs: Frame) -> "Figure":
    """T0, how often each arm is played first, and P, the steps of a round: the score at each value."""
    task, others = statistics.task_of(runs), scores(runs)
    others = others[[name for name in REFERENCES if name in others.columns]]
    panels = {"initial_plays": "T0: first plays of every arm", "round_steps": "P: optimizer steps in a round"}
    (*tables, wide), gone = _paired(*(variants(runs, setting) for setting in panels), others)
    with style():
        figure, drawn = canvas((9.6, 5.0), columns=2)
        figure.suptitle(statistics.title(task, "first plays and length of a round"), x=0.01, ha="left")
        drawn[1].sharey(drawn[0])
        for axes, table, label in zip(drawn, tables, panels.values(), strict=True):
            axes.set_xlabel(label)
            axes.set_ylabel(f"{task_metric(task)}, test")
            if table.empty:
                blank(axes, NONE)
                continue
            _line(axes, np.arange(table.shape[1], dtype=float), table)
            axes.set_xticks(range(table.shape[1]), [f"{value:g}" for value in table.columns])
            axes.margins(x=0.2)
            _levels(axes, wide, legend=axes is drawn[0])
        note(figure, [_seeds(wide, band=True), gone, *_stopped_samplers(runs)])
    return figure


def _paired(*tables: Frame) -> tuple[list[Frame], str]:
    """The seeds that have all runs of these tables, as no two means may be of different seeds; what of the others."""
    joined = pd.concat(tables, axis=1)
    complete = joined.dropna().index
    gone = f"left out: {len(joined) - len(complete)} of {len(joined)} seeds, which lack some of these runs"
    return [table.loc[complete] for table in tables], gone if len(complete) < len(joined) else ""


def _stopped_samplers(runs: Frame) -> list[str]:
    """A line for every run of OPTIMA that was stopped; what is drawn of it is its last good state."""
    return [line for name, line in stopped(runs).items() if name.startswith("optima")]


def _dots(axes: "Axes", wide: Frame, names: Sequence[str], number: str = "{:.1f}") -> None:
    """Each seed as a dot in the row of its name, their mean as a mark, and in numbers at the right."""
    drawn = wide.columns.intersection(list(names))
    scores = wide[drawn].melt(var_name="strategy", ignore_index=False).reset_index()
    edges = {name: colour(name if name in REFERENCES else "optima") for name in names}
    faces = {name: edges[name] if name in (*REFERENCES, "optima") else "white" for name in names}
    statistical.dots(axes, scores, names, faces, edges)
    statistical.means(axes, scores, names, number)


def _line(axes: "Axes", x: np.ndarray, table: Frame) -> None:
    """Means over seeds joined by a line, each seed as a small dot, a band of ± one standard deviation."""
    long = table.set_axis(x, axis=1).melt(var_name="x").astype(float)
    statistical.line(axes, long, "x", "optima", "" if len(x) > 1 else None, ms=7, zorder=3)
    if len(table) > 1:
        axes.plot(long["x"], long["value"], "o", ms=3.5, color=FAINT, alpha=0.7, ls="")


def _levels(axes: "Axes", wide: Frame, legend: bool = True) -> None:
    """LWD and random arms as lines across."""
    for name, dashes in zip(REFERENCES, ("-", ":"), strict=True):
        if name in wide.columns:
            axes.axhline(wide[name].mean(), color=colour(name), ls=dashes, lw=1.6, label=called(name))
    if legend and axes.get_legend_handles_labels()[0]:
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderaxespad=0.1)


def _seeds(wide: Frame, band: bool = False) -> str:
    seeds = len(wide)
    if seeds < 2:
        return "one seed: no spread" if seeds else ""
    return f"{seeds} seeds as dots; {'band: mean ± standard deviation' if band else 'bars: their means'}"
