"""Pictures of the bandit laboratory: functions take arrays and return figures, estimate nothing and save nothing."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from optima_lab.display import FAINT, INK, arm_colour, policy_look
from optima_lab.report.figures import statistical
from optima_lab.report.figures.style import NARROW, WIDE, canvas, note, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.container import BarContainer
    from matplotlib.figure import Figure

    from optima_lab.bandits.regret import Interval

Band = tuple[np.ndarray, np.ndarray, np.ndarray]  # mean, lower and upper end, each (P,)


def look(name: str, position: int = 0) -> dict[str, Any]:
    """Colour and dash of a policy by its name, as matplotlib's words; a name that is no policy's gets a spare look."""
    entry = policy_look(name, position)
    return {"color": entry.colour, "ls": entry.dash}


def arm_names(arms: int, names: Sequence[str]) -> list[str]:
    """The names given, or 'arm 0' … where none are."""
    return list(names) or [f"arm {number}" for number in range(arms)]


def world_means(
    table: np.ndarray, changes: Sequence[int] = (), names: Sequence[str] = (), title: str = "", xlabel: str = "round"
) -> "Figure":
    """The true mean reward of every arm, (T, K), over rounds (or plays)."""
    with style():
        figure, (axes,) = canvas(WIDE)
        for arm, name in enumerate(arm_names(table.shape[1], names)):
            axes.plot(np.arange(len(table)), table[:, arm], color=arm_colour(arm), label=name)
        dotted(axes, changes)
        finish(axes, title, xlabel, "true mean reward")
        beside(axes)
    return figure


def curves(
    points: np.ndarray,
    bands: Mapping[str, Band],
    changes: Sequence[int] = (),
    title: str = "",
    ylabel: str = "regret",
    xlabel: str = "round",
    log: bool = False,
) -> "Figure":
    """One line per policy over rounds (or something else), (P,), with its confidence band: regret, shares of plays."""
    with style():
        figure, (axes,) = canvas(WIDE)
        for position, (name, (mean, low, high)) in enumerate(bands.items()):
            drawn = look(name, position)
            axes.plot(points, mean, label=name, **drawn)
            axes.fill_between(points, low, high, color=drawn["color"], alpha=0.15, lw=0)
        dotted(axes, changes)
        if log:
            axes.set_xscale("log")
            axes.set_xticks(points, [f"{point:g}" for point in points], minor=False)
            axes.minorticks_off()
        finish(axes, title, xlabel, ylabel)
        beside(axes)
    return figure


def plays(
    paths: Mapping[str, tuple[np.ndarray, np.ndarray]], best: np.ndarray, changes: Sequence[int] = (), title: str = ""
) -> "Figure":
    """Single runs: a tick for the arm of every round, grey where it was not the best of its round.

    paths: name → arms (T,) and rewards (T,), of which the sum is shown. best: number of the best arm, (T,).
    """
    with style():
        figure, panels = canvas((9.6, 1.0 + 1.5 * len(paths)), rows=len(paths))
        for axes, (name, (arm, reward)) in zip(panels, paths.items(), strict=True):
            right = arm == best
            rounds = np.arange(len(arm))
            axes.scatter(rounds[~right], arm[~right], s=26, marker="|", color="#9a9a9a", label="another arm")
            axes.scatter(rounds[right], arm[right], s=26, marker="|", color="#006bff", label="the best arm")
            axes.set_yticks(range(int(max(arm.max(), best.max())) + 1))
            dotted(axes, changes)
            finish(
                axes, f"{name}: best arm in {100 * right.mean():.0f} % of rounds, reward {reward.sum():.4g}", "", "arm"
            )
        panels[-1].set_xlabel("round")
        panels[0].legend(loc="lower left", bbox_to_anchor=(0.62, 1.0), ncols=2)
        figure.suptitle(title)
    return figure


def ridges(
    rounds: Sequence[int],
    mean: np.ndarray,
    deviation: np.ndarray,
    truth: np.ndarray,
    names: Sequence[str] = (),
    title: str = "",
    limits: tuple[float, float] | None = None,
) -> "Figure":
    """What is believed of every arm's mean reward: a panel per round in `rounds`, a normal density per arm.

    mean, deviation, truth: (len(rounds), K). The dot on each base line is the true mean.
    """
    arms = mean.shape[1]
    low, high = limits or (float((mean - 2.5 * deviation).min()), float((mean + 2.5 * deviation).max()))
    grid = np.linspace(low, high, 400)
    with style():
        figure, panels = canvas((max(6.4, 2.5 * len(rounds)), 1.4 + 0.5 * arms), columns=len(rounds))
        for panel, (axes, number) in enumerate(zip(panels, rounds, strict=True)):
            for arm in range(arms):
                ridge(axes, arm, grid, mean[panel, arm], deviation[panel, arm], truth[panel, arm])
            axes.set_yticks(range(arms), arm_names(arms, names) if panel == 0 else [""] * arms)
            axes.grid(False, axis="y")
            axes.set_xlim(low, high)
            axes.set_ylim(arms - 0.5, -1.1)
            finish(axes, f"round {number}", "mean reward", "")
            axes.locator_params(axis="x", nbins=4)
        figure.suptitle(title)
    return figure


def ridge(axes: "Axes", arm: int, grid: np.ndarray, mean: float, deviation: float, truth: float) -> None:
    """One arm's density on its own base line, scaled to its own height, with the truth as a dot."""
    height = 0.85 * np.exp(-0.5 * ((grid - mean) / max(deviation, 1e-12)) ** 2)
    axes.axhline(arm, color="#d9d9d9", lw=0.8, zorder=1)
    axes.fill_between(grid, arm, arm - height, color=arm_colour(arm), alpha=0.55, lw=0, zorder=2)
    axes.plot(grid, arm - height, color=arm_colour(arm), lw=1.2, zorder=3)
    axes.plot([truth], [arm], "o", ms=6, mfc="white", mec=INK, mew=1.3, zorder=4)


def heatmap(
    points: np.ndarray,
    shares: Mapping[str, np.ndarray],
    changes: Sequence[int] = (),
    names: Sequence[str] = (),
    best: np.ndarray | None = None,
    title: str = "",
) -> "Figure":
    """How often each arm was played, a panel per policy: shares (P, K) between one point and the next.

    best: number of the best arm between points, (P,), outlined.
    """
    edges = np.concatenate([[0], points])
    arms = next(iter(shares.values())).shape[1]
    with style():
        figure, panels = canvas((9.6, 0.9 + (0.9 + 0.22 * arms) * len(shares)), rows=len(shares))
        for axes, (name, share) in zip(panels, shares.items(), strict=True):
            mesh = axes.pcolormesh(
                edges, np.arange(arms + 1) - 0.5, 100 * share.T, cmap="Blues", vmin=0, vmax=100, rasterized=True
            )
            if best is not None:
                steps = np.repeat(edges, 2)[1:-1]
                axes.plot(steps, np.repeat(best, 2), color="#d55e00", lw=1.6, label="best arm of the round")
            dotted(axes, changes)
            axes.grid(False)
            axes.set_yticks(range(arms), arm_names(arms, names))
            axes.invert_yaxis()
            finish(axes, name, "", "")
        panels[-1].set_xlabel("round")
        if best is not None:
            panels[0].legend(loc="lower right", bbox_to_anchor=(1.0, 1.0))
        figure.colorbar(mesh, ax=panels, label="share of plays (%)")
        figure.suptitle(title)
    return figure


def delays(rounds: Mapping[str, np.ndarray], limit: int, title: str = "", what: str = "recovered") -> "Figure":
    """Recovery (or detection) after a change: bars to the median (R,), a line over the middle half, and who never did.

    limit: rounds that were watched; an infinite delay is drawn there.
    """
    import pandas as pd
    import seaborn

    with style():
        figure, (axes,) = canvas((9.6, 1.3 + 0.42 * len(rounds)))
        watched = {name: np.minimum(delay, limit) for name, delay in rounds.items()}
        looks = {name: policy_look(name, position) for position, name in enumerate(rounds)}
        long = pd.DataFrame(
            [(name, value) for name, delay in watched.items() for value in delay], columns=["name", what]
        )
        grouping = {"order": list(rounds), "hue": "name", "hue_order": list(rounds), "legend": False, "saturation": 1}
        palette = {name: it.colour for name, it in looks.items()}
        middle = {"estimator": "median", "errorbar": ("pi", 50), "err_kws": {"color": INK, "linewidth": 1.6}}
        seaborn.barplot(long, x=what, y="name", ax=axes, width=0.65, palette=palette, **grouping, **middle)
        for position, (name, delay) in enumerate(rounds.items()):
            axes.containers[position][0].set_alpha(0.75 if looks[name].dash == "-" else 0.4)
            never = 100 * np.mean(~np.isfinite(delay))
            axes.text(1.02 * limit, position, f"{never:.0f} % never", va="center", fontsize=9, color=FAINT)
        axes.axvline(limit, color=FAINT, ls="--", lw=1)
        axes.set_yticks(range(len(rounds)), list(rounds))
        axes.set_xlim(0, 1.15 * limit)
        axes.grid(False, axis="y")
        finish(axes, title, f"rounds until {what}: median (bar) and middle half (line) of replications", "")
        note(figure, [f"dashed: the {limit} rounds that were watched"])
    return figure


def intervals(estimates: Mapping[str, "Interval"], xlabel: str, title: str = "", zero: bool = False) -> "Figure":
    """A dot and its confidence interval per name; `zero` marks 0, where nothing can be told apart."""
    with style():
        figure, (axes,) = canvas((9.6, 1.2 + 0.36 * len(estimates)))
        for position, (name, estimate) in enumerate(estimates.items()):
            drawn = look(name, position)
            axes.plot([estimate.low, estimate.high], [position, position], lw=2.4, color=drawn["color"])
            filled = drawn["color"] if drawn["ls"] == "-" else "white"
            axes.plot([estimate.mean], [position], "o", ms=7, mfc=filled, mec=drawn["color"], mew=1.6)
        if zero:
            axes.axvline(0, color=INK, lw=1)
        axes.set_yticks(range(len(estimates)), list(estimates))
        axes.set_ylim(len(estimates) - 0.4, -0.6)
        axes.grid(False, axis="y")
        finish(axes, title, xlabel, "")
    return figure


def bars(
    groups: Mapping[str, Mapping[str, float]], ylabel: str, xlabel: str = "", title: str = "", digits: str = "%.3g"
) -> "Figure":
    """Groups of bars, one bar per policy, each labelled with its value in the format `digits`."""
    import pandas as pd
    import seaborn
    from matplotlib.container import BarContainer

    inner = list(next(iter(groups.values())))
    looks = {name: policy_look(name, position) for position, name in enumerate(inner)}
    long = pd.DataFrame(groups).rename_axis("name").melt(var_name="group", ignore_index=False).reset_index()
    grouping = {"order": list(groups), "hue": "name", "hue_order": inner, "legend": False, "saturation": 1, "gap": 0.08}
    with style():
        figure, (axes,) = canvas(WIDE)
        palette = {name: it.colour for name, it in looks.items()}
        seaborn.barplot(long, x="group", y="value", ax=axes, palette=palette, edgecolor="white", **grouping)
        for (name, it), container in zip(looks.items(), axes.containers, strict=True):
            container.set_label(name)
            assert isinstance(container, BarContainer)
            for bar in container:
                bar.set_hatch(None if it.dash == "-" else "///")
            axes.bar_label(cast("BarContainer", container), fmt=digits, fontsize=9, padding=2)
        axes.grid(False, axis="x")
        finish(axes, title, xlabel, ylabel)
        beside(axes)
    return figure


def matrix(values: np.ndarray, names: Sequence[str], label: str, title: str = "") -> "Figure":
    """A square of numbers between −1 and 1, e.g. how alike two arms are."""
    with style():
        figure, (axes,) = canvas(NARROW if len(names) < 12 else (8.0, 7.0))
        statistical.matrix(axes, values, names, label)
        axes.grid(False)
        finish(axes, title, "", "")
    return figure


def dotted(axes: "Axes", changes: Sequence[int]) -> None:
    """Changes of the world."""
    for number, change in enumerate(changes):
        axes.axvline(change, color=INK, ls=":", lw=1.3, label="the world changes" if number == 0 else None)


def beside(axes: "Axes") -> None:
    """The legend right of the axes, where it hides nothing."""
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))


def finish(axes: "Axes", title: str, xlabel: str, ylabel: str) -> None:
    """Title and axis labels; empty ones take no room."""
    axes.set(title=title, xlabel=xlabel, ylabel=ylabel)
