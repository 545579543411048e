"""Runs of any number of modules: which of them were distilled, what that brought, and what a student became.

Functions take the lines of a rounds.jsonl (`optima.rounds.records`, or what `optima.records` wrote) and the modules'
names, and return figures; they save nothing.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from optima_lab.bandits.arms import Arms
from optima_lab.display import FAINT, INK, arm_colour
from optima_lab.report.figures.style import WIDE, blank, canvas, note, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Rounds = Sequence[Mapping[str, Any]]
MOST = 4  # modules of a lattice that can be read


def played(rounds: Rounds, modules: Sequence[str], title: str = "", windows: int = 12) -> "Figure":
    """The lattice of all arms up to four modules, `contributions` beyond."""
    if len(modules) <= MOST:
        return lattice(rounds, modules, title)
    return contributions(rounds, modules, title, windows)


def lattice(rounds: Rounds, modules: Sequence[str], title: str = "") -> "Figure":
    """Every arm as a node, single modules below: how often it was played (fill, n) and its mean reward r.

    Rounds of the first phase count as the others. Raises ConfigError for names that are no modules.
    """
    arms = Arms(tuple(modules))
    at, plays = _places(arms), {label: 0 for label in arms.labels}
    rewards: dict[str, list[float]] = {label: [] for label in arms.labels}
    for line in rounds:
        plays[line["arm"]] += 1
        rewards[line["arm"]].append(line["reward"])
    most = max(1, *plays.values())
    with style():
        figure, (axes,) = canvas((9.6, 1.4 + 1.3 * len(modules)))
        for upper, lower in ((a, b) for a in arms.sets for b in arms.sets if b < a and len(a) == len(b) + 1):
            axes.plot(*zip(at[upper], at[lower], strict=True), color="#d9d9d9", lw=1, zorder=1)
        for arm, label in zip(arms.sets, arms.labels, strict=True):
            mean = f"\nr {np.mean(rewards[label]):.3f}" if rewards[label] else ""
            _node(axes, at[arm], f"{label}\nn {plays[label]}{mean}", plays[label] / most)
        axes.set(title=title, ylabel="modules in the arm", xticks=[], yticks=range(1, len(modules) + 1))
        axes.grid(False)
        axes.set_ylim(0.4, len(modules) + 0.6)
        axes.set_xlim(0, 1)
        note(
            figure,
            [f"deeper: played more often, of {len(rounds)} rounds; r: mean reward of the arm's rounds (no unit)"],
        )
    return figure


def _places(arms: Arms) -> dict[frozenset[str], tuple[float, float]]:
    """Arms of one size side by side in a row."""
    rows = [[arm for arm in arms.sets if len(arm) == size] for size in range(1, len(arms.modules) + 1)]
    return {arm: ((n + 0.5) / len(row), float(y)) for y, row in enumerate(rows, 1) for n, arm in enumerate(row)}


def _node(axes: "Axes", at: tuple[float, float], text: str, depth: float) -> None:
    from matplotlib import colormaps

    dark = depth > 0.55
    box = {"boxstyle": "round,pad=0.35", "fc": colormaps["Blues"](0.9 * depth), "ec": INK, "lw": 1}
    axes.text(*at, text.replace("+", "+\n"), ha="center", va="center", fontsize=9,
              color="white" if dark else INK, bbox=box, zorder=3)  # fmt: skip


def contributions(rounds: Rounds, modules: Sequence[str], title: str = "", windows: int = 12) -> "Figure":
    """How often each module was in the arm through training, and beside it what `linear_ts` believes that it brings."""
    member = np.array([[name in line["arm"].split("+") for name in modules] for line in rounds], float)
    edges = np.round(np.linspace(0, len(rounds), min(windows, max(1, len(rounds))) + 1)).astype(int)
    share = np.stack([member[a:b].mean(0) for a, b in pairwise(edges)], 1)
    last = rounds[-1]
    rows = np.arange(len(modules))
    with style():
        figure, (often, brings) = canvas((9.6, 1.6 + 0.42 * len(modules)), columns=2)
        mesh = often.pcolormesh(
            edges + 0.5, np.arange(len(modules) + 1) - 0.5, 100 * share, cmap="Blues", vmin=0, vmax=100, lw=0.4
        )
        often.set(title="in the arm", xlabel="round")
        figure.colorbar(mesh, ax=often, label="share of rounds (%)")
        brings.set(title="believed contribution", xlabel="θ (reward, no unit), ± one standard deviation")
        if last.get("theta_after"):
            theta = np.array(last["theta_after"][: len(modules)])
            spread = np.array((last.get("theta_deviation_after") or [0.0] * len(modules))[: len(modules)])
            colours = [arm_colour(row) for row in range(len(modules))]
            brings.barh(rows, theta, xerr=spread, color=colours, ecolor=INK, height=0.6)
            brings.axvline(0, color=INK, lw=1)
            brings.locator_params(axis="x", nbins=5)
        else:
            blank(brings, "this policy believes in arms, not in modules")
        for axes in (often, brings):
            axes.set_yticks(rows, list(modules))
            axes.set_ylim(len(modules) - 0.5, -0.5)
            axes.grid(False)
        figure.suptitle(title)
    return figure


def agreement(
    theirs: np.ndarray, ours: Mapping[str, np.ndarray], title: str = "", what: str = "similarity"
) -> "Figure":
    """A teacher's numbers (P,) against its students', a panel each: on the line they agree; Spearman's ρ above.

    ours: what a panel is called → (P,).
    """
    from scipy.stats import rankdata

    with style():
        figure, panels = canvas((WIDE[0], 4.2), columns=len(ours))
        for axes, (name, values) in zip(panels, ours.items(), strict=True):
            axes.scatter(theirs, values, s=6, alpha=0.35, lw=0, color="#0072b2", rasterized=True)
            axes.axline((0, 0), slope=1, color=FAINT, lw=1, ls="--")
            order = np.corrcoef(rankdata(theirs), rankdata(values))[0, 1]  # Spearman's ρ
            axes.set(title=f"{name}: ρ = {order:.2f}", xlabel=f"{what}, teacher")
        panels[0].set_ylabel(f"{what}, student")
        figure.suptitle(title)
    return figure
