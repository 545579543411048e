"""Tables 1 and 4 of arXiv 2310.04550: what was measured here, and apart from it, labelled, what the paper reports.

Measured cells are medians over seeds (Table 1) and standard deviations over seeds (Table 4), as in the paper. The two
kinds never share a table.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from optima_lab.config import TASKS
from optima_lab.display import INK, called, task_title
from optima_lab.report import pages, statistics
from optima_lab.report.claims.evidence import Recorded, all_stopped, scores
from optima_lab.report.figures.style import blank, canvas, note, style
from optima_lab.report.pages import Cell
from optima_lab.report.statistics import FULL, Frame, stopped

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Rows of Table 1 that can be measured: strategies of the student of the preset's own size (the paper's Tiny12), then of
# the smallest one (Tiny6), taught by the student of middle size as in the paper, and by the large teacher directly.
OWN = ("none", "kl", "dide", FULL, "random", "optima", "optima_calibrated")
SMALL = ("none", FULL, "optima")
MODELS = ("Large", "Tiny12", "Tiny6")
TEXTS = ("student", "strategy", "method", "teacher")  # columns of words, not of numbers
BAR = "#b4b4b4"  # light: error bars must be seen inside
SOURCES = {"score": "Table 1", "sd": "Table 4"}


def measured(recorded: Recorded, quantity: str = "score") -> Frame:
    """Our rows: student, strategy, seeds, and a column a task of medians ('score') or standard deviations ('sd')."""
    groups = (
        ("own size (Tiny12)", recorded.runs, OWN),
        ("smallest (Tiny6), two stages", recorded.two_stage, SMALL),
        ("smallest (Tiny6), one stage", recorded.tiny6, SMALL),
    )
    rows = []
    for student, runs, strategies in groups:
        wide, marks = scores(runs), stopped(runs)
        for name in [name for name in strategies if name in wide.columns]:
            by_task = wide[name].dropna().groupby("task")
            values = by_task.median() if quantity == "score" else by_task.std(ddof=1)
            facts = {"student": student, "strategy": called(name, marks), "seeds": int(by_task.size().max())}
            rows.append(facts | {task: float(values.get(task, np.nan)) for task in TASKS})
    return pd.DataFrame(rows, columns=["student", "strategy", "seeds", *TASKS])


def reported(quantity: str = "score") -> Frame:
    """The paper's rows: method, teacher, parameters (millions), speed-up, and a column a task of scores or of 'sd'."""
    table = statistics.reported()
    table = table[table["source"] == SOURCES[quantity]]
    rows = []
    for method in dict.fromkeys(table["method"]):
        ours = table[table["method"] == method]
        cells = {task: _one(ours, task, quantity) for task in TASKS}
        facts = {"parameters": _one(ours, "", "parameters_million"), "speed-up": _one(ours, "", "speedup")}
        rows.append(
            {"method": method, "teacher": ours["teacher"].iloc[0]} | (facts if quantity == "score" else {}) | cells
        )
    return pd.DataFrame(rows)


def _one(table: Frame, task: str, quantity: str) -> float:
    values = table.value[(table.task == task) & (table.quantity == quantity)]
    return float(values.iloc[0]) if len(values) else float("nan")


def html(recorded: Recorded, quantity: str = "score") -> str:
    """Ours and the paper's as two tables, each with a caption that says what it is; every text escaped."""
    ours, paper = measured(recorded, quantity), reported(quantity)
    what = "median" if quantity == "score" else "standard deviation"
    mine = f"Measured here: {what} over seeds of the test score (accuracy in %, CIDEr × 100)."
    mine = " ".join([mine, *(f"{line}." for line in all_stopped(recorded))])
    theirs = (
        f"Reported in the paper ({SOURCES[quantity]}), not measured here: other data, other sizes; "
        f"CoCa-Tiny: {what} of 5 seeds."
    )
    digits = 1 if quantity == "score" else 2
    return _html(ours, mine, "results", digits) + _html(paper, theirs, "results reported", digits)


def _html(table: Frame, caption: str, css: str, digits: int) -> str:
    style = {name: "text" if name in TEXTS else "" for name in table.columns}
    head = [Cell(_title(name), "col", style[name]) for name in table.columns]
    named = [zip(table.columns, row, strict=True) for row in table.itertuples(index=False, name=None)]
    rows = [[Cell(_cell(name, value, digits), css=style[name]) for name, value in row] for row in named]
    return pages.table(head, rows, css, caption)


def _cell(column: str, value: object, digits: int) -> str:
    if not isinstance(value, float):
        return str(value) or "–"
    return f"{value:.{digits}f}{'×' if column == 'speed-up' else ''}" if np.isfinite(value) else "–"


def _title(column: str) -> str:
    return {"parameters": "parameters (millions)"}.get(column) or task_title(column)


def speedups(speed: Mapping[str, Any]) -> Frame:
    """Measured seconds and speed-up over Large, beside Table 1's: a row a model; empty where nothing was measured.

    The speed-up is the median over interleaved repetitions of Large's seconds by the model's, with the quartiles.
    """
    models: Mapping[str, Sequence[float]] = speed.get("models", {})
    if not all(models.get(name) for name in MODELS[:1]):
        return pd.DataFrame()
    rows = []
    for name in [name for name in MODELS if models.get(name)]:
        length = min(len(models["Large"]), len(models[name]))
        seconds = np.asarray(models[name][:length], float)
        low, ratio, high = np.percentile(np.asarray(models["Large"][:length], float) / seconds, (25, 50, 75))
        spread = np.subtract(*np.percentile(seconds, (75, 25)))
        row = {"model": name, "repetitions": length, "seconds": float(np.median(seconds)), "spread": float(spread)}
        paper = 1.0 if name == "Large" else statistics.reported_speedup(f"CoCa-{name}")
        rows.append(row | {"speed-up": ratio, "low": low, "high": high, "reported": paper})
    return pd.DataFrame(rows)


def about_speed(speed: Mapping[str, Any]) -> str:
    """Where and how speed was measured, or how to measure it, as HTML."""
    facts = {"pixels": "pixels a side", "text_tokens": "text tokens", "batch": "a batch"}
    conditions = [f"{speed[name]} {text}" for name, text in facts.items() if name in speed]
    device = speed.get("device", "an unnamed device")
    return pages.render("speed.html", speed=bool(speed.get("models")), device=device, facts=conditions)


def inference_speed(speed: Mapping[str, Any]) -> "Figure":
    """Table 1's speed-up column: measured bars with quartiles, the paper's numbers as outlined bars beside them."""
    table = speedups(speed)
    with style():
        figure, (axes,) = canvas()
        axes.set_title("How much faster the students answer")
        axes.set_ylabel("speed-up over Large (×)")
        if table.empty:
            blank(axes, "no speed was measured: python -m optima_lab speed")
            return figure
        for place, row in enumerate(table.to_dict("records")):
            spread = [[row["speed-up"] - row["low"]], [row["high"] - row["speed-up"]]]
            axes.bar(place - 0.2, row["speed-up"], 0.38, color=BAR, label="measured here")
            axes.errorbar(place - 0.2, row["speed-up"], yerr=spread, color=INK, capsize=4, lw=1.4)
            axes.bar(place + 0.2, row["reported"], 0.38, fc="none", ec=INK, ls="--", label="reported in the paper")
            for at, value in ((place - 0.2, row["high"]), (place + 0.2, row["reported"])):
                axes.text(at, value, f" {value if at > place else row['speed-up']:.1f}×", ha="center", va="bottom")
        axes.set_xticks(range(len(table)), [f"{row['model']}" for row in table.to_dict("records")])
        handles, labels = axes.get_legend_handles_labels()
        axes.legend(handles[:2], labels[:2], loc="upper left")
        device = speed.get("device", "an unnamed device")
        note(figure, [f"measured on {device}; bars: quartiles of {table['repetitions'].max()} repetitions"])
    return figure
