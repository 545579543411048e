"""Statistical plots by seaborn in the project's look: bars with intervals, dots of seeds, lines with bands, matrices.

Nothing is drawn at random: what seaborn would jitter stands at an offset that belongs to its seed, and intervals are
deviations or quantiles, not bootstraps. Call inside `style.style()`; whoever calls says under the figure what bars are.
"""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

from optima_lab.display import INK, called, look, name_of

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.axes import Axes

BAR = 0.72  # width of a bar; the dots of its seeds stay inside
WHISKER = {"color": INK, "linewidth": 1.4}


def bars(axes: "Axes", scores: "pd.DataFrame", names: Sequence[str], upright: bool) -> None:
    """A bar from zero to the mean over seeds of every strategy; ± standard deviation (n − 1) where there are several.

    scores: columns strategy, value. A strategy of `names` without scores keeps its place empty.
    """
    import seaborn

    several = scores.groupby("strategy")["value"].count().max() > 1
    grouping = {"order": names, "hue": "strategy", "hue_order": names, "legend": False, "saturation": 1, "width": BAR}
    drawn = {"palette": {name: look(name).colour for name in names}, "edgecolor": "white", "err_kws": WHISKER}
    labels = axes.get_xlabel(), axes.get_ylabel()
    interval: dict[str, Any] = {"errorbar": "sd" if several else None, "capsize": 0.2}
    seaborn.barplot(scores, **_sides("strategy", upright), ax=axes, **grouping, **drawn, **interval)
    axes.set(xlabel=labels[0], ylabel=labels[1])
    for name, container in zip(names, axes.containers, strict=True):
        for bar in container:
            bar.set_hatch(look(name).hatch or None)


def dots(
    axes: "Axes",
    scores: "pd.DataFrame",
    names: Sequence[str],
    faces: Mapping[str, str],
    edges: Mapping[str, str] | str = INK,
    upright: bool = False,
    size: float = 6,
) -> None:
    """Every run as a dot in the row (`upright`: column) of its strategy, at one offset for each seed in all rows.

    scores: columns strategy, seed and value, and experiment where seeds alone do not tell runs apart.
    faces, edges: colours by strategy.
    """
    import seaborn

    who = "experiment" if "experiment" in scores else "seed"
    runs = list(dict.fromkeys(scores.sort_values("seed", kind="stable")[who]))
    before, labels = len(axes.collections), (axes.get_xlabel(), axes.get_ylabel())
    grouping = {"order": names, "hue": who, "hue_order": runs, "dodge": True, "jitter": False, "legend": False}
    drawn = {"palette": ["white"] * len(runs), "size": size, "linewidth": 1}
    seaborn.stripplot(scores, **_sides("strategy", upright), ax=axes, **grouping, **drawn)
    axes.set(xlabel=labels[0], ylabel=labels[1])
    for (name, _), drawn_dots in zip(product(names, runs), axes.collections[before:], strict=True):
        drawn_dots.set(facecolor=faces[name], edgecolor=edges if isinstance(edges, str) else edges[name])


def means(axes: "Axes", scores: "pd.DataFrame", names: Sequence[str], number: str = "{:.1f}") -> None:
    """The mean of every row: a tick where it is of several runs, and in numbers at the right of the axes."""
    for position, name in enumerate(names):
        values = scores.loc[scores["strategy"] == name, "value"].to_numpy(float)
        if len(values) > 1:
            axes.plot([values.mean()] * 2, [position - 0.32, position + 0.32], color=INK, lw=2, zorder=4)
        if len(values):
            text = number.format(values.mean()).replace("-", "−")
            axes.text(1.01, position, text, transform=axes.get_yaxis_transform(), va="center", fontsize=10)


def line(axes: "Axes", points: "pd.DataFrame", x: str, strategy: str, label: str | None = "", **drawn: Any) -> None:
    """The mean over seeds of one strategy joined by a line, with a band of ± one standard deviation where n > 1.

    points: columns `x` and value, a row a seed and x. A single x has bars instead of a band. `label` '' is the
    strategy's own, None no entry in the legend; `drawn` are matplotlib's words for the line.
    """
    import seaborn

    entry = look(strategy)
    one = points[x].nunique() == 1
    interval: dict[str, Any] = (
        {"errorbar": "sd", "err_style": "bars" if one else "band"} if points[x].duplicated().any() else {}
    )
    interval = interval or {"errorbar": None}
    fill = {"capsize": 4, "lw": 1.4} if one else {"alpha": 0.18, "lw": 0}
    shown: dict[str, Any] = {
        "color": entry.colour,
        "ls": entry.dash,
        "marker": "o",
        "ms": 4,
        "mec": entry.colour,
    } | drawn
    labels = axes.get_xlabel(), axes.get_ylabel()
    seaborn.lineplot(points, x=x, y="value", ax=axes, legend=False, **interval, err_kws=fill, **shown)
    axes.set(xlabel=labels[0], ylabel=labels[1])
    axes.lines[-1].set_label(f"_{name_of(strategy)}" if label is None else label or called(strategy))


def matrix(axes: "Axes", values: "np.ndarray", names: Sequence[str], label: str) -> None:
    """A square of numbers between −1 and 1 as a heat map; the numbers stand inside where there is room for them."""
    import seaborn

    few = len(names) < 12
    options = {"xticklabels": names, "yticklabels": names, "vmin": -1, "vmax": 1, "cmap": "RdBu", "square": True}
    seaborn.heatmap(
        values, ax=axes, annot=few, fmt=".2f", annot_kws={"fontsize": 8}, cbar_kws={"label": label}, **options
    )
    axes.set_xticklabels(names, rotation=60, ha="right", rotation_mode="anchor")
    axes.set_yticklabels(names, rotation=0)


def _sides(category: str, upright: bool) -> dict[str, str]:
    return {"x": category, "y": "value"} if upright else {"x": "value", "y": category}
