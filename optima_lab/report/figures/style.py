"""How figures look and how they are kept: the same records give the same bytes.

Names and colours stand in `optima_lab.display`. Nothing is set globally: `style()` is a context, and figures are plain
`matplotlib.figure.Figure`s without pyplot.
"""

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

from optima_lab.config.parameters import flat
from optima_lab.display import DAGGER, FAINT, INK
from optima_lab.errors import ConfigError
from optima_lab.experiments.experiment import Experiment
from optima_lab.files import expand, json_text, write_bytes, write_text

if TYPE_CHECKING:
    from IPython.display import Image
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.ticker import StrMethodFormatter

NARROW, WIDE, TALL = (6.4, 4.2), (9.6, 4.6), (9.6, 7.2)  # inches
FORMATS = ("svg", "png", "pdf")
LARGE_BYTES = 300_000  # of a picture in a notebook

_RC: Mapping[str, Any] = {
    "axes.edgecolor": FAINT,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "figure.dpi": 100,
    "figure.titlesize": 13,
    "figure.titleweight": "bold",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial"],
    "font.size": 11,
    "grid.color": "#e4e4e4",
    "hatch.linewidth": 0.8,
    "legend.fontsize": 10,
    "legend.frameon": False,
    "lines.linewidth": 2.0,
    "pdf.fonttype": 42,  # text stays text
    "savefig.dpi": 160,
    "savefig.facecolor": "white",
    "svg.fonttype": "none",
    "svg.hashsalt": "optima-lab",
    "text.color": INK,
    "text.parse_math": False,  # a caption's dollar signs are no formula
    "xtick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.color": FAINT,
    "ytick.labelcolor": INK,
}


@contextmanager
def style() -> Iterator[None]:
    """The project's look for what is drawn or saved inside; outside, matplotlib is as it was."""
    from matplotlib import rc_context, rcParamsDefault

    look: Any = {key: value for key, value in rcParamsDefault.items() if not key.startswith("backend")} | dict(_RC)
    with rc_context(look):
        yield


def canvas(size: tuple[float, float] = NARROW, rows: int = 1, columns: int = 1) -> tuple["Figure", list["Axes"]]:
    """An empty figure that pyplot does not know, and its axes row by row. Call inside `style()`."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    return figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def note(figure: "Figure", lines: Iterable[str]) -> None:
    """Small print under a figure: what is missing, what bars mean, what the paper reports."""
    width = int(14 * figure.get_figwidth())  # characters; only what tells of a stopped student is as long
    text = "\n".join(fill(line, width) if line.startswith(DAGGER) else line for line in lines if line)
    if text:
        figure.supxlabel(text, x=0.01, ha="left", fontsize=9, color=FAINT)


def thousands() -> "StrMethodFormatter":
    """Ticks as 12,500."""
    from matplotlib.ticker import StrMethodFormatter

    return StrMethodFormatter("{x:,.0f}")


def blank(axes: "Axes", text: str) -> None:
    """An axes that says why it is empty."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=FAINT, wrap=True)
    axes.grid(False)


def provenance(experiments: Iterable[Experiment]) -> dict[str, Any]:
    """Where a figure comes from: run folders, seeds, and a short hash of all their configurations."""
    ordered = sorted(experiments, key=lambda e: (e.task, e.seed, e.id))
    configs = [flat(e.config) | {"data": ""} for e in ordered]  # where the data lies is no part of the question
    digest = sha256(json.dumps(configs, sort_keys=True).encode()).hexdigest()[:12]
    return {
        "runs": [f"{e.task}/{e.id}" for e in ordered],
        "seeds": sorted({int(e.seed) for e in ordered}),
        "config": digest if ordered else "",
    }


def save(figure: "Figure", folder: Path | str, name: str, experiments: Iterable[Experiment] = ()) -> list[Path]:
    """Write a figure as `folder/name.svg`, `.png` and `.pdf`, its numbers as `.csv`, and close it. Same records, same
    bytes. A figure of pictures has no numbers.

    Each file carries its title (the figure's label, else its first title) and its experiments in its own metadata, so
    that a picture sent around still names its runs.
    Raises ConfigError for a name that is no plain file name, RecordError where the folder cannot be written.
    """
    from optima_lab.report.figures.numbers import numbers

    if not re.fullmatch(r"[a-z0-9][a-z0-9_]*", name):
        raise ConfigError(f"a figure's name must be of the letters a-z, 0-9 and _, got {name!r}")
    source = json_text(provenance(experiments), sort_keys=True)
    first = figure.axes[0].get_title("left") if figure.axes else ""
    title = str(figure.get_label() or figure.get_suptitle() or first)
    paths = [expand(folder) / f"{name}.{kind}" for kind in FORMATS]
    with style(), _laid_out(figure):
        for path in paths:
            write_bytes(path, _render(figure, path.suffix[1:], title, source))
        table = numbers(figure)
    if len(table):
        paths.append(write_text(expand(folder) / f"{name}.csv", table.to_csv(index=False)))
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close(figure)
    return paths


@contextmanager
def _laid_out(figure: "Figure") -> Iterator[None]:
    """Lay the figure out once for all its files: half the time of saving, and the same layout in each."""
    engine = figure.get_layout_engine()
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    try:
        yield
    finally:
        figure.set_layout_engine(engine)


def _render(figure: "Figure", kind: str, title: str, source: str) -> bytes:
    metadata: dict[str, Any] = {
        "svg": {"Date": None, "Creator": "optima-lab", "Title": title, "Source": source},
        "png": {"Software": None, "Title": title, "Source": source},
        "pdf": {"CreationDate": None, "Producer": None, "Creator": "optima-lab", "Title": title, "Keywords": source},
    }[kind]
    buffer = BytesIO()
    figure.savefig(buffer, format=kind, metadata=metadata)
    return buffer.getvalue()


def origin(path: Path) -> dict[str, Any]:
    """What `save` noted in a PNG about its runs: title, runs, seeds, config; empty where nothing was noted."""
    from PIL import Image as Picture

    try:
        with Picture.open(path) as picture:
            text = getattr(picture, "text", {})
        return {"title": text.get("Title", ""), **json.loads(text.get("Source", "{}"))}
    except (OSError, ValueError, TypeError):
        return {}


def drawn_size(path: Path) -> tuple[int, int]:
    """Width and height of a saved PNG as drawn, in pixels of a page (the file is finer); (0, 0) where it is none."""
    from PIL import Image as Picture

    try:
        with Picture.open(path) as picture:
            width, height = (round(side * _RC["figure.dpi"] / _RC["savefig.dpi"]) for side in picture.size)
            return width, height
    except (OSError, ValueError):
        return 0, 0


def show(paths: list[Path], description: str = "") -> "Image":
    """The saved PNG for a notebook's output: what one sees is what was saved. `description` is for screen readers.

    A figure of photographs is shown as JPEG, so that executed notebooks stay small.
    """
    from IPython.display import Image
    from PIL import Image as Picture

    png = next(path for path in paths if path.suffix == ".png")
    alt = description or origin(png).get("title") or png.stem
    width, _ = drawn_size(png)
    with Picture.open(png) as picture:
        if png.stat().st_size <= LARGE_BYTES:
            return Image(data=png.read_bytes(), width=width, alt=alt)
        buffer = BytesIO()
        picture.convert("RGB").save(buffer, "JPEG", quality=88)
    return Image(data=buffer.getvalue(), format="jpeg", width=width, alt=alt)
