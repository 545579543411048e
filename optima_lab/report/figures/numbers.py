"""The numbers of a figure as a table, read back from what is drawn: the CSV that lies beside every figure."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = ["panel", "kind", "name", "x", "y", "value"]
Row = tuple[str, str, str, Any, Any, Any]


def numbers(figure: "Figure") -> pd.DataFrame:
    """A row for each point, end of a bar and cell: panel, kind, name, x, y, value; empty for a figure of pictures.

    `value` is a cell's alone; an axis of names has these in place of positions. Bands and densities are left out.
    """
    rows = [row for axes in figure.axes if axes.get_label() != "<colorbar>" for row in _of_axes(axes)]
    return pd.DataFrame(rows, columns=COLUMNS)


def _of_axes(axes: "Axes") -> Iterator[Row]:
    title = axes.get_title("left") or axes.get_title() or axes.get_ylabel() or axes.get_xlabel()
    panel = title.replace("\n", " ")
    names = [_named(axes.xaxis), _named(axes.yaxis)]
    for kind, name, points in (*_bars(axes), *_lines(axes), *_dots(axes)):
        for x, y in points:
            yield panel, kind, name, _said(x, names[0]), _said(y, names[1]), None
    for x, y, value in _cells(axes):
        yield panel, "cell", "", _said(x, names[0]), _said(y, names[1]), _rounded(value)


def _bars(axes: "Axes") -> Iterator[tuple[str, str, list[tuple[Any, Any]]]]:
    from matplotlib.container import BarContainer

    for container in axes.containers:
        if isinstance(container, BarContainer):
            upright = container.orientation == "vertical"
            ends = [
                (p.get_x() + p.get_width() / 2, p.get_height())
                if upright
                else (p.get_width(), p.get_y() + p.get_height() / 2)
                for p in container.patches
            ]
            yield "bar", _label(container), ends


def _lines(axes: "Axes") -> Iterator[tuple[str, str, list[tuple[Any, Any]]]]:
    for line in axes.lines:
        x, y = (np.asarray(data, float) for data in (line.get_xdata(), line.get_ydata()))
        if line.get_transform() == axes.transData:
            yield "line", _label(line), [*zip(x, y, strict=True)]
        elif len(set(y)) == 1:  # across the axes
            yield "line across", _label(line), [(None, y[0])]
        elif len(set(x)) == 1:
            yield "line across", _label(line), [(x[0], None)]


def _dots(axes: "Axes") -> Iterator[tuple[str, str, list[tuple[Any, Any]]]]:
    from matplotlib.collections import PathCollection

    for dots in axes.collections:
        if isinstance(dots, PathCollection):
            yield "dot", _label(dots), [(x, y) for x, y in np.asarray(np.ma.filled(dots.get_offsets(), np.nan), float)]


def _cells(axes: "Axes") -> Iterator[tuple[Any, Any, float]]:
    from matplotlib.collections import QuadMesh

    for mesh in axes.collections:
        if isinstance(mesh, QuadMesh) and (values := mesh.get_array()) is not None:
            corners = np.asarray(mesh.get_coordinates(), float)
            middle = (corners[:-1, :-1] + corners[1:, 1:]) / 2
            for place, value in np.ndenumerate(np.ma.filled(values.reshape(middle.shape[:2]), np.nan)):
                yield *middle[place], float(value)


def _label(artist: Any) -> str:
    label = str(artist.get_label() or "")
    return "" if label.startswith(("_child", "_nolegend", "_container")) else label.lstrip("_")


def _named(axis: Any) -> dict[float, str]:
    """What stands at the ticks of an axis of names; nothing for one of numbers."""
    from matplotlib.category import StrCategoryFormatter
    from matplotlib.ticker import FixedFormatter, FuncFormatter

    if not isinstance(axis.get_major_formatter(), FixedFormatter | FuncFormatter | StrCategoryFormatter):
        return {}
    labels = [label.get_text().replace("\n", " ") for label in axis.get_ticklabels()]
    places = np.asarray(axis.get_ticklocs(), float).tolist()
    return dict(zip(places, labels, strict=False)) if all(float(place).is_integer() for place in places) else {}


def _said(value: Any, names: dict[float, str]) -> Any:
    """The name at a position, dots of a seed beside it included; a number as it is."""
    if value is None or not np.isfinite(value):
        return None
    near = min(names, key=lambda place: abs(place - value), default=None)
    return names[near] if near is not None and abs(near - value) < 0.5 and names[near] else _rounded(value)


def _rounded(value: float) -> float | None:
    return float(f"{value:.6g}") if np.isfinite(value) else None
