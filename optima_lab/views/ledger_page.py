"""The ledger of claims for readers: a page that needs no network, two CSV files, and a figure of its scores."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from optima_lab.config import TASKS
from optima_lab.errors import RecordError
from optima_lab.views.claims import SCORE
from optima_lab.views.inference import FAILS, HOLDS, UNKNOWN
from optima_lab.views.pages import page, scrolling
from optima_lab.views.statistics import Frame
from optima_lab.views.style import FAINT, INK, blank, canvas, note, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAME = "ledger"
SIGNS: Mapping[str, str] = {HOLDS: "✓", FAILS: "✗", UNKNOWN: "?"}  # said in words and signs, not in colour alone
COLOURS: Mapping[str, str] = {HOLDS: "#006bff", FAILS: "#d55e00", UNKNOWN: "#7a7a7a"}
MARKS: Mapping[str, str] = {HOLDS: "o", FAILS: "X", UNKNOWN: "D"}
LINEAR_SD = 40  # differences that fit into so many deviations are drawn on a linear axis
HEAD = ("verdict", "claim", "effect [95 % interval]", "unit", "n", "p (Holm)", "decided by")
HOW = (
    "An effect above zero speaks for the claim. A claim <em>holds</em> where its corrected p is at most 0.05 and the "
    "interval of the effect lies above zero (one that says “differ” or “change”: leaves out zero), it <em>does not "
    "hold</em> where p is as small and the interval lies below; else one <em>cannot tell</em>, and with few seeds that "
    "is the honest answer. Effects are differences of the same task and seed, n is how many. Pooled over tasks, a "
    "difference of scores is in units of the task's typical standard deviation over seeds (seed sd), its p value comes "
    "from flipping the signs of all n pairs, and its interval is Student's. Claims about single tasks use Student's t "
    "over seeds. p is corrected by Holm for the comparisons of one claim. Intervals are not, nor are claims for one "
    "another: of twenty claims without any truth one would be decided by chance. Where a claim makes several "
    "comparisons, its row shows the one that it hangs on: the weakest where all must hold, the strongest where one is "
    "enough. Seeds vary a student's head, projections, data order, probe "
    "and bandit; the teacher, the data and the layers that a student starts from are the same for all seeds: nothing "
    "is said about others."
)


def html(table: Frame, rows: Frame, about: str, stopped: Sequence[str] = ()) -> str:
    """The page: what was asked (`about`), every claim with its verdict, how it was judged, every comparison.

    `stopped` (`evidence.all_stopped`) stands above the verdicts: those students have a part in them.
    """
    counts = ", ".join(f"{(table['verdict'] == verdict).sum()} {_plural(verdict)}" for verdict in SIGNS)
    lost = f"<p>With the scores of their last good states: {escape('; '.join(stopped))}.</p>" if stopped else ""
    parts = [
        '<header><p class="faint"><a href="../index.html">← all figures</a> · <a href="ledger.csv">ledger.csv</a> · '
        '<a href="ledger_details.csv">ledger_details.csv</a></p>',
        f"<h1>Ledger of claims</h1>\n<p>{escape(about)}</p><p>{len(table)} claims: {counts}.</p>{lost}</header>",
        f'<main>{scrolling(table_html(table, ""))}\n<h2 id="how">How this was judged</h2><p>{HOW}</p>',
        f'<h2 id="details">Every comparison</h2>{"".join(_details(rows, row) for _, row in table.iterrows())}</main>',
    ]
    return page("optima-lab: ledger of claims", "\n".join(parts))


def _plural(verdict: str) -> str:
    return {HOLDS: "hold", FAILS: "do not hold", UNKNOWN: "cannot be told"}[verdict]


def table_html(table: Frame, details: str = "ledger.html") -> str:
    """The ledger as an HTML table, a row a claim, that links to its comparisons on the page `details`; text escaped."""
    head = "".join(f"<th scope=col>{escape(name)}</th>" for name in HEAD)
    body = "".join(f"<tr>{''.join(_cells(row, details))}</tr>\n" for _, row in table.iterrows())
    return f'<table class="ledger verdicts"><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table>'


def _cells(row: Any, details: str) -> list[str]:
    verdict = str(row["verdict"])
    claim = f"{escape(row['text'])} <span class=faint>({escape(row['source'])})</span>"
    known = row["n"] > 0
    decided = f"{row['comparison']}{_where(row['task'])}" if known else ""
    words = "; ".join(text for text in (decided, str(row["note"])) if text)
    return [
        f'<td class="verdict {verdict.replace(" ", "-")}">{SIGNS[verdict]} {verdict}</td>',
        f'<td><a href="{details}#{row["claim"]}">{claim}</a></td>',
        f"<td class=number>{effect(row)}</td><td>{escape(row['unit'])}</td>",
        f"<td class=number>{row['n']:.0f}</td><td class=number>{_p(row['p_holm'])}</td>",
        f"<td>{escape(words)}</td>",
    ]


def _where(task: str) -> str:
    return f", {TASKS[task].title}" if task in TASKS else ""


def effect(row: Any) -> str:
    """'+1.20 [+0.30, +2.10]', or dashes where nothing is known."""
    if not np.isfinite(row["effect"]):
        return "–"
    digits = 1 if abs(row["effect"]) >= 10 else 2 if abs(row["effect"]) >= 0.1 else 3
    number, low, high = (f"{row[name]:+.{digits}f}".replace("-", "−") for name in ("effect", "low", "high"))
    return f"{number} [{low}, {high}]" if np.isfinite(row["low"]) else number


def _p(value: float) -> str:
    return "–" if not np.isfinite(value) else f"{value:.3f}" if value >= 0.001 else "< 0.001"


def _details(rows: Frame, claim: Any) -> str:
    ours = rows[rows["claim"] == claim["claim"]]
    names = ("comparison", "task", "effect [95 % interval]", "unit", "n", "p", "p (Holm)", "verdict")
    head = "".join(f"<th scope=col>{name}</th>" for name in names)
    body = "".join(f"<tr>{''.join(_comparison(row))}</tr>\n" for _, row in ours.iterrows())
    table = f'<table class="ledger comparisons"><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table>'
    inside = scrolling(table) if len(ours) else "<p>Nothing is recorded for this claim.</p>"
    text = f"{escape(claim['text'])} ({escape(claim['source'])})"
    summary = f"<summary>{SIGNS[claim['verdict']]} {text}</summary>"
    # The name stands inside, so that a browser that is sent there opens the details.
    return f'<details>{summary}<div id="{claim["claim"]}">{inside}</div></details>\n'


def _comparison(row: Any) -> list[str]:
    return [
        f"<td>{escape(row['comparison'])}</td><td>{escape(_task(row['task']))}</td>",
        f"<td class=number>{effect(row)}</td><td>{escape(row['unit'])}</td><td class=number>{row['n']:.0f}</td>",
        f"<td class=number>{_p(row['p'])}</td><td class=number>{_p(row['p_holm'])}</td>",
        f"<td>{row['verdict'] or 'not judged'}</td>",
    ]


def _task(task: str) -> str:
    return TASKS[task].title if task in TASKS else {"all": "all, pooled"}.get(task, task)


def save(table: Frame, rows: Frame, folder: Path | str, about: str, stopped: Sequence[str] = ()) -> Path:
    """Write `ledger.html`, `ledger.csv` and `ledger_details.csv`; return the page.

    Raises RecordError where the folder cannot be written.
    """
    room = Path(folder)
    texts = {"ledger.html": html(table, rows, about, stopped), "ledger.csv": table.to_csv(index=False)}
    texts["ledger_details.csv"] = rows.to_csv(index=False)
    try:
        room.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            part = room / f"{name}.part"
            part.write_text(text, encoding="utf-8")
            part.replace(room / name)
    except OSError as error:
        raise RecordError(f"cannot write the ledger into {room}: {error.strerror or error}") from error
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
        how = "bars: 95 % intervals (Student's) of n pairs of one task and seed"
        note(figure, [f"{how}; decided by these and p, corrected for a claim's comparisons"])
    return figure


def _rows(axes: "Axes", shown: Frame, names: Sequence[str]) -> None:
    axes.axvline(0, color=INK, lw=1.2)
    axes.grid(False, axis="y")
    ticks: dict[float, str] = {}
    place = 0.0
    for name in names:
        ours = shown[shown["claim"] == name]
        about = f"{ours['text'].iloc[0]} ({ours['source'].iloc[0]})"
        look = {"fontsize": 9, "color": FAINT, "zorder": 4, "bbox": {"fc": "white", "ec": "none", "pad": 1}}
        axes.text(-0.43, place, about, transform=axes.get_yaxis_transform(), va="center", **look)
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
