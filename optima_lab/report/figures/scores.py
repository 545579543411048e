"""Figures of results: what each strategy reaches (Figs. 1, 3, 4 of arXiv 2310.04550), and what a task looks like.

Every function takes frames of one task and returns a figure; it saves nothing. What is not recorded is said, not drawn.
"""

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd

from optima_lab.bandits.arms import KEYS
from optima_lab.config import TASKS
from optima_lab.display import FAINT, INK, TEACHER, base, called, colour, in_order, look, name_of, task_metric
from optima_lab.report import statistics
from optima_lab.report.figures import statistical
from optima_lab.report.figures.style import NARROW, WIDE, blank, canvas, note, style, thousands
from optima_lab.report.statistics import FULL, Frame

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SINGLE = KEYS[:3]  # the arms of one module
Reference = tuple[str, str, float, str]  # of a line across: name, dash, value, ink
COMPARED = (*KEYS, "random", "optima")


class ExampleLike(Protocol):
    """A record of a task as `optima_lab.data.formats` reads it."""

    @property
    def images(self) -> Sequence["Path"]: ...
    @property
    def text(self) -> str: ...
    @property
    def answers(self) -> Sequence[str]: ...


def _why_empty(evals: Frame, otherwise: str) -> str:
    """What stands in place of scores that are not there."""
    return "no score: CIDEr is not defined for one test picture" if statistics.unscored(evals) else otherwise


def module_contribution(evals: Frame) -> "Figure":
    """Fig. 1: the score of students that are distilled in a single module; the dashed line is no distillation."""
    evals = statistics.recorded(evals)
    task = statistics.task_of(evals)
    scores = statistics.final_scores(evals)
    arms = statistics.named(SINGLE, evals)
    shown, marks = scores[scores["strategy"].isin(arms)], statistics.stopped(evals, arms)
    with style():
        figure, (axes,) = canvas(NARROW)
        axes.set_title(statistics.title(task, "students distilled in one module"), pad=26)
        axes.set_ylabel(f"{task_metric(task)}, test")
        axes.set_xlabel("module whose layers the student matches")
        table = statistics.over_seeds(shown).reindex(arms)
        if shown.empty:
            blank(axes, _why_empty(evals, "no finished run of a single-module arm"))
        else:
            lines = _references(scores)
            _bars(axes, table, shown, arms, upright=True, lines=lines)
            modules = dict(zip(SINGLE, ("image encoder", "text encoder", "multimodal decoder"), strict=True))
            names = [f"{_lines(called(arm, marks))}\n({modules[base(arm)]})" for arm in arms]
            axes.set_xticks(range(len(arms)), names)
            _reference(axes, lines, upright=True)
        note(figure, [*statistics.missing(evals, scores, SINGLE), _error_bars(table), *marks.values()])
    return figure


def _lines(name: str) -> str:
    """A name of several parts, a line each: it stands under a bar."""
    return name.replace(" [", "\n[").replace(", ", ",\n")


def arms_compared(evals: Frame, summaries: Sequence[Mapping[str, Any]] = ()) -> "Figure":
    """Fig. 3: every fixed arm, random arms and OPTIMA, with teacher and no distillation as reference lines.

    `summaries` are the experiments' (`Experiment.summary`), for the teacher. The right panel shows each run's
    difference from layerwise distillation (LWD) of the same seed, where small differences can be seen.
    """
    evals = statistics.recorded(evals)
    task = statistics.task_of(evals)
    scores = statistics.final_scores(evals)
    shown = scores[scores["strategy"].map(base) != "none"]
    names = in_order({*statistics.named(COMPARED, evals), *shown["strategy"]})
    table, marks = statistics.over_seeds(shown).reindex(names), statistics.stopped(evals)
    teacher, teachers = _teacher(summaries, evals)
    with style():
        figure, (left, right) = canvas((9.6, 0.36 * len(names) + 2.2), columns=2)
        figure.suptitle(statistics.title(task, "what each strategy reaches"), x=0.01, ha="left")
        left.set_xlabel(f"{task_metric(task)}, test")
        right.set_title("minus LWD of the same seed", fontsize=11)
        right.set_xlabel("difference from LWD (points)")
        if shown.empty:
            blank(left, _why_empty(evals, "no finished run"))
        else:
            lines = _references(scores, teacher)
            _bars(left, table, shown, names, upright=False, lines=lines)
            _reference(left, lines, upright=False)
        _dots(right, statistics.differences(shown), names)
        for axes in (left, right):
            axes.set_yticks(range(len(names)), [called(name, marks) for name in names])
            axes.set_ylim(len(names) - 0.4, -0.6)
        right.tick_params(labelleft=False)
        absent = statistics.missing(evals, scores, [*COMPARED, "none"])
        note(figure, [*absent, teachers, _error_bars(table), _paper(task), *marks.values()])
    return figure


def _teacher(summaries: Sequence[Mapping[str, Any]], evals: Frame) -> tuple[float, str]:
    """The teacher's score; where experiments of more than other seeds have other teachers there is no one line."""
    values = statistics.teacher_scores(summaries)
    several = any(base(name) != name for name in evals["strategy"].unique()) and len(set(values)) > 1
    if several:
        return float("nan"), f"teachers of these runs differ: {min(values):.1f} to {max(values):.1f}"
    return statistics.teacher_score(summaries), ""


def generalization(evals: Frame, strategies: Sequence[str] = ("optima", FULL)) -> "Figure":
    """Fig. 4: prediction loss and KL on the dev split through training, OPTIMA against layerwise distillation."""
    evals = statistics.recorded(evals)
    strategies = statistics.named(strategies, evals)
    task, marks = statistics.task_of(evals), statistics.stopped(evals, strategies)
    nats = "nats a token" if task in TASKS and TASKS[task].captions else "nats"
    panels = (
        ("prediction_loss", f"prediction loss ({nats})", "prediction loss"),
        ("kl", f"KL(student ‖ teacher) ({nats})", "distance from the teacher"),
    )
    with style():
        figure, drawn = canvas(WIDE, columns=2)
        figure.suptitle(statistics.title(task, "losses on the dev split"), x=0.01, ha="left")
        for axes, (quantity, unit, title) in zip(drawn, panels, strict=True):
            points = statistics.points(evals, quantity)
            points = points[points["strategy"].isin(strategies)]
            axes.set_title(title, fontsize=11)
            axes.set_xlabel("optimizer step")
            axes.xaxis.set_major_formatter(thousands())
            axes.set_ylabel(f"{unit}, dev split")
            if points.empty:
                blank(axes, f"no {unit.split(' (')[0]} of {' or '.join(map(called, strategies))} recorded")
                continue
            for name in in_order(points["strategy"]):
                statistical.line(axes, points[points["strategy"] == name], "step", name, called(name, marks))
            _log_if_wide(axes, points["value"])
            axes.legend()
        absent = [called(name) for name in strategies if name not in set(evals["strategy"])]
        seeds = int(evals.loc[evals["strategy"].isin(strategies), "experiment"].nunique())
        bands = f"bands: mean ± standard deviation over {seeds} seeds" if seeds > 1 else ""
        note(figure, [f"not recorded: {', '.join(absent)}" if absent else "", bands, *marks.values()])
    return figure


def samples(examples: Sequence[ExampleLike], task: str = "") -> "Figure":
    """A few records of a task as the models get them: picture (or pair), sentence, answer."""
    columns = min(4, max(1, len(examples)))
    rows = -(-max(1, len(examples)) // columns)
    pictures = [_side_by_side(example.images) for example in examples]
    tallest = max([0.4, *(picture.shape[0] / picture.shape[1] for picture in pictures)])
    with style():
        figure, drawn = canvas((2.9 * columns, (2.8 * min(tallest, 1.2) + 0.7) * rows + 0.3), rows, columns)
        figure.suptitle(statistics.title(task, "some of its records"), x=0.01, ha="left")
        for axes in drawn:
            axes.set_axis_off()
        for axes, example, picture in zip(drawn, examples, pictures, strict=False):
            axes.imshow(picture, interpolation="nearest")
            axes.set_title(_caption(example), fontsize=10, fontweight="normal", loc="left", wrap=True)
        if not examples:
            blank(drawn[0], "no records")
    return figure


def _bars(
    axes: "Axes", table: Frame, scores: Frame, names: Sequence[str], upright: bool, lines: Sequence[Reference] = ()
) -> None:
    """A bar from zero for every name; with several seeds each as a dot, and mean ± sd; the mean in numbers.

    The numbers stand at the end of the bars, clear of the reference `lines`.
    """
    top = float(np.nanmax([scores["value"].max(), 1e-9]))
    scores = scores[scores["strategy"].isin(names)]
    statistical.bars(axes, scores, names, upright)
    several = table["n"].max() > 1
    if several:
        statistical.dots(axes, scores, names, dict.fromkeys(names, "white"), upright=upright, size=4)
    furthest = 1.16 * top
    for position, name in enumerate(names):
        values = scores.loc[scores["strategy"] == name, "value"].to_numpy(float)
        if not len(values):
            continue
        reach = values.mean() + values.std(ddof=1) if len(values) > 1 else values.mean()
        end = _clear(max(reach, values.max()) + 0.02 * top, (0.07 if upright else 0.17) * top, lines)
        at, ha, va = ((position, end), "center", "bottom") if upright else ((end, position), "left", "center")
        words = axes.text(*at, f"{values.mean():.1f}", ha=ha, va=va)
        words.set(zorder=4, bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.6})
        furthest = max(furthest, end + 0.14 * top)
    (axes.set_ylim if upright else axes.set_xlim)(0, furthest)
    axes.grid(False, axis="x" if upright else "y")


def _clear(start: float, size: float, lines: Sequence[Reference]) -> float:
    """The first place from `start` on where a word of this size touches no line."""
    for value in sorted(value for *_, value, _ in lines):
        if start - 0.1 * size < value < start + 1.1 * size:
            start = value + 0.2 * size
    return start


def _references(scores: Frame, teacher: float = float("nan")) -> list[Reference]:
    """No distillation and the teacher, as far as they are recorded: name, dash, value, ink."""
    undistilled = scores[scores["strategy"].map(base) == "none"].groupby("strategy")["value"].mean()
    lines = [(called(name), look("none").dash, float(undistilled[name]), FAINT) for name in in_order(undistilled.index)]
    every = [*lines, (TEACHER.label, TEACHER.dash, teacher, INK)]
    return [line for line in every if np.isfinite(line[2])]


def _reference(axes: "Axes", lines: Sequence[Reference], upright: bool) -> None:
    """Lines of no distillation and of the teacher, named with their values above the axes."""
    line = axes.axhline if upright else axes.axvline
    for words, dash, value, ink in lines:
        line(value, color=ink, ls=dash, lw=1.6, zorder=3, label=f"{words} {value:.1f}")
    limits = axes.get_ylim() if upright else axes.get_xlim()
    (axes.set_ylim if upright else axes.set_xlim)(0, max([limits[1], *(1.04 * value for _, _, value, _ in lines)]))
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0.1)


def _dots(axes: "Axes", paired: Frame, names: Sequence[str]) -> None:
    """Each run's difference as a dot, their mean as a mark and in numbers at the right; LWD is the line at zero."""
    axes.axvline(0, color=colour(FULL), lw=1.6)
    axes.grid(False, axis="y")
    if paired.empty:
        blank(axes, "no seed has both LWD and another strategy")
        return
    statistical.dots(axes, paired, names, {name: colour(name) for name in names})
    statistical.means(axes, paired, names, "{:+.1f}")
    axes.margins(x=0.08)


def _log_if_wide(axes: "Axes", values: pd.Series) -> None:
    """A logarithmic axis where the values span more than a factor of 20; otherwise from zero."""
    low, high = float(values.min()), float(values.max())
    if low > 0 and high / low > 20:
        axes.set_yscale("log")
    else:
        axes.set_ylim(0 if low >= 0 else None, None)


def _error_bars(table: Frame) -> str:
    seeds = int(np.nan_to_num(table["n"].max()))
    if seeds < 2:
        return "one seed: no error bars"
    return f"bars: mean ± standard deviation over {seeds} seeds; dots: single seeds"


def _paper(task: str) -> str:
    """The paper's own numbers, as far as it prints them."""
    names = {"teacher": "teacher", FULL: "LWD", **{key: name_of(key) for key in ("img+multi", "optima")}}
    scores = [(name, statistics.paper_score(task, key)) for key, name in names.items()]
    text = ", ".join(f"{name} {score:.1f}" for name, score in scores if np.isfinite(score))
    return f"reported in the paper (CoCa-Large → CoCa-Tiny12, full data): {text}" if text else ""


def _caption(example: ExampleLike) -> str:
    lines = textwrap.wrap(example.text, 34) if example.text else []
    answers = [*dict.fromkeys(example.answers)][:1]
    return "\n".join([*lines, *(textwrap.wrap(f"→ {answers[0]}", 34) if answers else [])])


def _side_by_side(images: Sequence["Path"]) -> np.ndarray:
    """One array of a record's pictures, scaled to one height (200 pixels at most), with a white gap between them."""
    from optima_lab.data.images import thumbnail

    pictures = [thumbnail(path, 200) for path in images]
    height = min(200, max(picture.height for picture in pictures))
    arrays = [np.asarray(p.resize((max(1, round(p.width * height / p.height)), height))) for p in pictures]
    gap = np.full((height, max(1, height // 16), 3), 255, np.uint8)
    return np.concatenate([piece for array in arrays for piece in (array, gap)][:-1], axis=1)
