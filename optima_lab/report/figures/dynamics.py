"""Figures of the sampler at work: Figs. 5 and 6 of arXiv 2310.04550, and one draw of Thompson sampling.

Every function takes frames of one task and returns a figure; it saves nothing. What is not recorded is said, not drawn.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from optima_lab.bandits.arms import KEYS
from optima_lab.display import INK, arm_colour, arm_look, called, look, name_of, task_metric
from optima_lab.report import statistics
from optima_lab.report.correlation import Correlation, Interval, mean_against_score
from optima_lab.report.figures.posteriors import draw_of
from optima_lab.report.figures.style import blank, canvas, note, style
from optima_lab.report.statistics import Frame

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LOOKED_UP = {"palette": "colour", "markers": "marker"}  # seaborn's word: what it is in `display.Look`
SAMPLERS = ("optima", "optima_calibrated")  # looked for in every run; others are drawn where they are recorded


def reward_means(rounds: Frame, strategies: Sequence[str] = ()) -> "Figure":
    """Fig. 5 left: the posterior means μ_k of all arms through training, a panel for every sampler recorded.

    `strategies` are those to show; empty: whichever has means.

    Several seeds are averaged. The first T0·K rounds, which play every arm in random order, are shaded.
    """
    rounds = statistics.recorded(rounds)
    task = statistics.task_of(rounds)
    present, absent = _shown(rounds, strategies, "mean_after")
    marks = statistics.stopped(rounds, present)
    with style():
        figure, panels = canvas((9.6, 1.2 + 3.3 * len(present)), rows=len(present))
        figure.set_label(statistics.title(task, "means of the reward distributions"))
        for axes, name in zip(panels, present, strict=True):
            table = statistics.means(rounds, name)
            table = table[np.isfinite(table["mean"].astype(float))]
            axes.set_title(statistics.title(task, f"means of the reward distributions, {called(name, marks)}"))
            axes.set_xlabel("round")
            axes.set_ylabel("posterior mean μ (no unit)")
            if table.empty:
                blank(axes, f"no posterior means of {name_of(name)} recorded")
                continue
            _mean_lines(axes, table, statistics.arm_keys(rounds))
            _shade(axes, statistics.initial_rounds(rounds, name))
            axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
        lines = [_average(rounds, present), _shading(rounds, present), _absent(absent)]
        note(figure, [*lines, *marks.values()])
    return figure


def mean_accuracy_correlation(rounds: Frame, evals: Frame, strategy: str = "") -> "Figure":
    """Fig. 5 right: μ_k of a sampler against the score of the student that always distils arm k, at the same step.

    `strategy` '' is OPTIMA where it is recorded, else the first that has means.
    """
    import seaborn

    rounds, evals = statistics.recorded(rounds), statistics.recorded(evals)
    task = statistics.task_of(rounds if len(rounds) else evals)
    strategy = strategy or statistics.samplers(rounds, "mean_after")[0]
    result, sampler = mean_against_score(rounds, evals, strategy), name_of(strategy)
    with style():
        figure, (axes,) = canvas((8.0, 5.0))
        axes.set_title(statistics.title(task, f"does μ of {sampler} tell how good an arm is?"))
        axes.set_xlabel(f"posterior mean μ of {sampler} at a checkpoint (no unit)")
        axes.set_ylabel(f"{task_metric(task)} of the fixed arm, {result.split}")
        if result.n == 0:
            blank(axes, f"no checkpoint has both a mean of {sampler} and a fixed arm's score")
        if result.n:
            arms = {name_of(arm): look(arm) for arm in KEYS if arm in set(result.pairs["arm"])}
            grouping = {"hue": "arm", "hue_order": [*arms], "style": "arm", "style_order": [*arms], "size": "step"}
            drawn = {word: {arm: getattr(it, kind) for arm, it in arms.items()} for word, kind in LOOKED_UP.items()}
            pairs = result.pairs.assign(arm=result.pairs["arm"].map(name_of))
            sizes = {"sizes": (18, 78), "size_norm": (0, result.pairs["step"].max())}
            labels = {"xlabel": axes.get_xlabel(), "ylabel": axes.get_ylabel()}
            seaborn.scatterplot(pairs, x="mean", y="score", ax=axes, alpha=0.85, lw=0, **grouping, **drawn, **sizes)
            axes.set(**labels)
            seaborn.move_legend(axes, "center left", bbox_to_anchor=(1.0, 0.5))
        note(figure, [*_correlation_lines(result, strategy), *statistics.stopped(evals, [*KEYS, strategy]).values()])
    return figure


def arm_frequency(rounds: Frame, strategies: Sequence[str] = (), windows: int = 20) -> "Figure":
    """Fig. 6: how often each arm is played through training; deeper is more often, 1/K is uniform play: 14.3 %."""
    rounds = statistics.recorded(rounds)
    task = statistics.task_of(rounds)
    present, absent = _shown(rounds, strategies)
    marks, arms = statistics.stopped(rounds, present), statistics.arm_keys(rounds)
    shares = {name: statistics.frequency(rounds, name, windows) for name in present}
    most = max([0.3, *(float(np.nanmax(share)) for share, _ in shares.values() if share.size)])
    with style():
        figure, panels = canvas((9.6, 1.3 + 3.0 * len(present)), rows=len(present))
        figure.set_label(statistics.title(task, "how often each arm is played"))
        for axes, name in zip(panels, present, strict=True):
            share, edges = shares[name]
            axes.set_title(statistics.title(task, f"how often each arm is played, {called(name, marks)}"))
            axes.set_xlabel(f"round ({share.shape[1]} windows)" if share.size else "round")
            axes.set_ylabel("arm")
            axes.grid(False)
            if not share.size:
                blank(axes, f"no rounds of {name_of(name)} recorded")
                continue
            axes.set_yticks(range(len(arms)), [*map(name_of, arms)])
            rows = np.arange(len(arms) + 1) - 0.5
            drawn = {"cmap": "Blues", "vmin": 0, "vmax": 100 * most, "edgecolors": "face", "linewidth": 0.4}  # no seams
            mesh = axes.pcolormesh(edges, rows, 100 * share, **drawn)
            axes.invert_yaxis()
            axes.axvline(statistics.initial_rounds(rounds, name) + 0.5, color=INK, ls="--", lw=1.2)
            bar = figure.colorbar(mesh, ax=axes, label="share of the rounds in a window (%)")
            uniform = 100 / len(arms)  # if nothing is learnt
            bar.ax.axhline(uniform, color=INK, lw=1.5)
            bar.ax.text(-0.2, uniform, f"uniform {uniform:.1f}", ha="right", va="center", fontsize=9, rotation=90)
        dashed = "dashed: end of the first rounds, which play every arm T0 times in random order"
        lines = [_average(rounds, present, "shares are of all rounds of"), dashed, _absent(absent)]
        note(figure, [*lines, *marks.values()])
    return figure


def thompson_draw(rounds: Frame, strategy: str = "", number: int = 0, seed: int | None = None) -> "Figure":
    """One round of Thompson sampling: each arm's posterior, its draw r̂, and the arm that won.

    Posteriors are as wide as the sampler's own: N(μ, 1/(n + 1)) is OPTIMA's with the paper's σ = 1 (Eqs. 2 and 7), not
    the calibrated one's. `number` is the round; 0 takes the first after the T0·K initial plays. `seed` defaults to the
    first recorded, `strategy` to OPTIMA or, where that is not recorded, to the first that draws.
    """
    rounds = statistics.recorded(rounds)
    strategy = strategy or next((name for name in statistics.samplers(rounds) if draw_of(rounds, name)), "optima")
    task, draw = statistics.task_of(rounds), draw_of(rounds, strategy, number, seed)
    with style():
        figure, (axes,) = canvas((9.6, 4.8))
        when = f", round {draw.round}" if draw else ""
        axes.set_title(statistics.title(task, f"one draw of {name_of(strategy)}{when}"))
        axes.set_xlabel("reward (no unit): density of the posterior, tick = its mean μ, dot = this round's draw r̂")
        axes.set_ylabel("arm")
        axes.grid(False, axis="y")
        if draw is None:
            blank(axes, f"no round of {name_of(strategy)} with draws recorded")
            return figure
        arms = statistics.arm_keys(rounds)
        for position, believed in enumerate(zip(draw.mean, draw.deviation, draw.draws, strict=True)):
            _density(axes, position, arm_colour(position), *believed)
        winner = int(np.nanargmax(draw.draws))
        axes.axvline(draw.draws[winner], color=INK, lw=1, ls=":")
        names = [f"{called(arm)}  (n = {n:.3g})" for arm, n in zip(arms, draw.plays, strict=True)]
        axes.set_yticks(range(len(arms)), names)
        axes.set_ylim(len(arms) - 0.4, -1.1)
        won = f"{name_of(arms[winner])} drew the highest r̂ = {draw.draws[winner]:.3f} and is distilled in this round"
        note(figure, [won, draw.width])
    return figure


def _density(axes: "Axes", position: int, colour: str, mean: float, deviation: float, draw: float) -> None:
    """N(mean, deviation²) on the base line of an arm; its mean and the draw alone where the deviation is not known."""
    if np.isfinite(deviation):
        grid = np.linspace(mean - 3.5 * deviation, mean + 3.5 * deviation, 121)
        height = 0.85 * np.exp(-0.5 * ((grid - mean) / deviation) ** 2)
        axes.fill_between(grid, position, position - height, color=colour, alpha=0.35, lw=0)
        axes.plot(grid, position - height, color=colour, lw=1.4)
    axes.plot([mean, mean], [position, position - 0.85], color=colour, lw=1.4)
    axes.plot([draw], [position], "o", color=colour, mec=INK, ms=8, clip_on=False)


def _mean_lines(axes: "Axes", table: Frame, arms: Sequence[str]) -> None:
    lines = table.groupby(["arm", "round"])["mean"].mean()
    for number, arm in enumerate(arms):
        if arm in lines.index.get_level_values("arm"):
            line = lines.loc[arm]
            every = max(1, len(line) // 8)
            x, y = line.index.to_numpy(float), line.to_numpy(float)
            shown = arm_look(number)
            drawn = {"color": shown.colour, "marker": shown.marker, "ms": 6, "markevery": every, "lw": 1.8}
            axes.plot(x, y, drawstyle="steps-post", label=called(arm), **drawn)
    axes.set_ylim(bottom=min(0.0, float(lines.min())))


def _shade(axes: "Axes", last: int) -> None:
    if last:
        axes.axvspan(0.5, last + 0.5, color="#ececec", lw=0, zorder=0)


def _shading(rounds: Frame, strategies: Sequence[str]) -> str:
    shaded = any(statistics.initial_rounds(rounds, name) for name in strategies)
    return "shaded: the first rounds, which play every arm T0 times in random order" if shaded else ""


def _shown(rounds: Frame, strategies: Sequence[str], *columns: str) -> tuple[list[str], list[str]]:
    """The strategies to draw, `statistics.samplers` of these columns where none are named; those not recorded."""
    recorded = set(rounds["strategy"])
    wanted = statistics.named(strategies or SAMPLERS, rounds)
    present = [name for name in wanted if name in recorded] if strategies else statistics.samplers(rounds, *columns)
    return present or wanted[:1], [name for name in wanted if name not in recorded]


def _absent(names: Sequence[str]) -> str:
    return f"not recorded: {', '.join(map(called, names))}" if names else ""


def _average(rounds: Frame, strategies: Sequence[str], what: str = "lines are means over") -> str:
    seeds = int(rounds.loc[rounds["strategy"].isin(strategies), "experiment"].nunique())
    return f"{what} {seeds} seeds" if seeds > 1 else "one seed"


def _correlation_lines(result: Correlation, strategy: str) -> list[str]:
    def words(interval: Interval) -> str:
        return f"{interval.value:+.2f} (95 % interval {interval.low:+.2f} to {interval.high:+.2f})"

    if not np.isfinite(result.pearson.value):
        return [f"n = {result.n} pairs of checkpoint and arm: too few for a correlation"]
    checkpoints = result.pairs.groupby(["experiment", "seed"])["step"].nunique().sum()
    return [
        f"Pearson r = {words(result.pearson)};  Spearman ρ = {words(result.spearman)};  n = {result.n} pairs",
        f"{checkpoints} checkpoints of {result.pairs['arm'].nunique()} arms; successive checkpoints are dependent: "
        "these intervals are too narrow",
        f"among the arms of one checkpoint ρ is {result.within:+.2f} on average" if np.isfinite(result.within) else "",
    ]
