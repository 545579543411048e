"""The ledger of claims for readers: a page that needs no network, two CSV files, and a figure of its scores."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from markupsafe import Markup

from optima_lab.config import TASKS
from optima_lab.display import FAINT, INK, task_title
from optima_lab.files import expand, write_text
from optima_lab.report import pages
from optima_lab.report.claims.claims import SCORE
from optima_lab.report.claims.significance import FAILS, HOLDS, NEEDS, UNKNOWN, in_words
from optima_lab.report.figures.style import blank, canvas, note, style
from optima_lab.report.pages import Cell, scrolling
from optima_lab.report.statistics import Frame

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAME = "ledger"
SIGNS: Mapping[str, str] = {
    HOLDS: "✓",
    FAILS: "✗",
    UNKNOWN: "?",
    NEEDS: "…",
}  # said in words and signs, not in colour alone
COLOURS: Mapping[str, str] = {HOLDS: "#006bff", FAILS: "#d55e00", UNKNOWN: "#7a7a7a", NEEDS: "#b0b0b0"}
MARKS: Mapping[str, str] = {HOLDS: "o", FAILS: "X", UNKNOWN: "D", NEEDS: "P"}
LINEAR_SD = 40  # differences that fit into so many deviations are drawn on a linear axis
HEAD = ("verdict", "claim", "effect [95 % interval]", "unit", "n", "p (Holm)", "decided by")
COMPARISON = ("comparison", "task", "effect [95 % interval]", "unit", "n", "p", "p (Holm)", "verdict")
COUNTED: Mapping[str, str] = {
    HOLDS: "hold",
    FAILS: "do not hold",
    UNKNOWN: "cannot be told",
    NEEDS: "need more seeds",
}


def html(table: Frame, rows: Frame, question: str, stopped: Sequence[str] = ()) -> str:
    """The page: what was asked (`question`), every claim with its verdict, how it was judged, every comparison.

    `stopped` (`evidence.all_stopped`) stands above the verdicts: those students have a part in them.
    """
    counts = ", ".join(f"{(table['verdict'] == verdict).sum()} {words}" for verdict, words in COUNTED.items())
    claims = [
        {"name": row["claim"], "sign": SIGNS[row["verdict"]], "text": row["text"], "source": row["source"]}
        | {"table": _details(rows[rows["claim"] == row["claim"]])}
        for _, row in table.iterrows()
    ]
    facts = {"title": "optima-lab: ledger of claims", "mark": "", "about": question, "counts": counts, "claims": claims}
    return pages.render("ledger.html", **facts, stopped=stopped, table=scrolling(Markup(table_html(table, ""))))


def table_html(table: Frame, details: str = "ledger.html") -> str:
    """The ledger as an HTML table, a row a claim, that links to its comparisons on the page `details`; text escaped."""
    rows = [_cells(row, details) for _, row in table.iterrows()]
    return pages.table([Cell(name, "col") for name in HEAD], rows, "ledger verdicts")


def _cells(row: pd.Series, details: str) -> list[Cell]:
    verdict = str(row["verdict"])
    words = in_words(verdict, row["needs"], row["replicate"])
    decided = f"{row['comparison']}{_where(row['task'])}" if row["n"] > 0 else ""
    tasks = f"by task: {row['by_task']}" if row["by_task"] else ""
    return [
        Cell(f"{SIGNS[verdict]} {words}", css=f"verdict {verdict.replace(' ', '-')}"),
        Cell(row["text"], link=f"{details}#{row['claim']}", faint=f"({row['source']})"),
        Cell(effect(row), css="number"),
        Cell(row["unit"]),
        Cell(f"{row['n']:.0f}", css="number"),
        Cell(_p(row["p_holm"]), css="number"),
        Cell("; ".join(text for text in (decided, tasks, str(row["note"])) if text)),
    ]


def _where(task: str) -> str:
    return f", {task_title(task)}" if task in TASKS else ""


def effect(row: Mapping[str, float] | pd.Series) -> str:
    """'+1.20 [+0.30, +2.10]', or dashes where nothing is known."""
    if not np.isfinite(row["effect"]):
        return "–"
    digits = 1 if abs(row["effect"]) >= 10 else 2 if abs(row["effect"]) >= 0.1 else 3
    number, low, high = (f"{row[name]:+.{digits}f}".replace("-", "−") for name in ("effect", "low", "high"))
    return f"{number} [{low}, {high}]" if np.isfinite(row["low"]) else number


def _p(value: float) -> str:
    return "–" if not np.isfinite(value) else f"{value:.3f}" if value >= 0.001 else "< 0.001"


def _details(rows: Frame) -> str:
    head = [Cell(name, "col") for name in COMPARISON]
    cells = [_comparison(row) for _, row in rows.iterrows()]
    return scrolling(pages.table(head, cells, "ledger comparisons")) if cells else ""


def _comparison(row: pd.Series) -> list[Cell]:
    numbers = {"n": f"{row['n']:.0f}", "p": _p(row["p"]), "p_holm": _p(row["p_holm"])}
    cells = [Cell(row["comparison"]), Cell(_task(row["task"])), Cell(effect(row), css="number"), Cell(row["unit"])]
    judged = in_words(row["verdict"], row["needs"], row["replicate"])
    return [*cells, *(Cell(text, css="number") for text in numbers.values()), Cell(judged)]


def _task(task: str) -> str:
    return "all, pooled" if task == "all" else task_title(task)


def save(table: Frame, rows: Frame, folder: Path | str, question: str, stopped: Sequence[str] = ()) -> Path:
    """Write `ledger.html`, `ledger.csv` and `ledger_details.csv`; return the page.

    Raises RecordError where the folder cannot be written.
    """
    room = expand(folder)
    texts = {"ledger.html": html(table, rows, question, stopped), "ledger.csv": table.to_csv(index=False)}
    texts["ledger_details.csv"] = rows.to_csv(index=False)
    for name, text in texts.items():
        write_text(room / name, text)
    return room / "ledger.html"


def score_differences(rows: Frame) -> "Figure":
    """Every pooled difference of scores with its interval: a row a comparison, right of zero speaks for the claim."""
    shown = rows[rows["decides"].astype(bool) & (rows["unit"] == SCORE) & np.isfinite(rows["low"].astype(float))]
    names = list(dict.fromkeys(shown["claim"]))
    with style():
        figure, (axes,) = canvas((9.6, 1.6 + 0.27 * (len(shown) + 1.5 * len(names))))
        axes.set_title("Differences of scores that claims are judged by", pad=28)
        axes.set_xlabel("mean difference (seed sd: standard deviations over seeds); right of zero speaks for the claim")
        if shown.empty:
            blank(axes, "no claim about scores has two seeds yet")
            axes.set_yticks([])
            return figure
        _rows(axes, shown, names)
        how = "bars: 95 % intervals (Student's) of n independent differences"
        note(figure, [f"{how}; decided by these and p, corrected for a claim's comparisons"])
    return figure


def _rows(axes: "Axes", shown: Frame, names: Sequence[str]) -> None:
    axes.axvline(0, color=INK, lw=1.2)
    axes.grid(False, axis="y")
    ticks: dict[float, str] = {}
    place = 0.0
    for name in names:
        ours = shown[shown["claim"] == name]
        sentence = f"{ours['text'].iloc[0]} ({ours['source'].iloc[0]})"
        look = {"fontsize": 9, "color": FAINT, "zorder": 4, "bbox": {"fc": "white", "ec": "none", "pad": 1}}
        axes.text(-0.43, place, sentence, transform=axes.get_yaxis_transform(), va="center", **look)
        place += 0.9
        for _, row in ours.iterrows():
            verdict = str(row["verdict"])
            look = {"color": COLOURS[verdict], "marker": MARKS[verdict], "ms": 7, "capsize": 3, "lw": 1.8}
            spread = [[row["effect"] - row["low"]], [row["high"] - row["effect"]]]
            axes.errorbar(row["effect"], place, xerr=spread, ls="", label=verdict, **look)
            n = f"n = {row['n']:.0f}"
            axes.text(1.01, place, n, transform=axes.get_yaxis_transform(), va="center", fontsize=9)
            ticks[place] = str(row["comparison"])
            place += 1
        place += 0.6
    axes.set_yticks(list(ticks), list(ticks.values()), fontsize=9)
    axes.set_ylim(place - 0.6, -0.9)
    _scale(axes, shown["low"].to_numpy(float).min(), shown["high"].to_numpy(float).max())
    axes.tick_params(axis="y", length=0)
    handles, labels = axes.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    order = [verdict for verdict in SIGNS if verdict in unique]
    axes.legend([unique[v] for v in order], order, loc="lower left", bbox_to_anchor=(0, 1.0), ncols=3)


def _scale(axes: "Axes", low: float, high: float) -> None:
    """Linear; where some difference is far out, logarithmic beyond ±2 with plain numbers at the ticks, and so named."""
    left, right = min(-2.5, 1.2 * low), max(2.5, 1.2 * high)
    axes.set_xlim(left, right)
    if right - left <= LINEAR_SD:
        return
    axes.set_xlabel(f"{axes.get_xlabel()}\nlogarithmic beyond ±2")
    steps = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
    ticks = [-step for step in reversed(steps)] + [0, *steps]
    axes.set_xscale("symlog", linthresh=2)
    axes.set_xticks([tick for tick in ticks if left <= tick <= right])
    axes.set_xlim(left, right)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.minorticks_off()
