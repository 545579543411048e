"""What the gallery holds: executed notebooks, the figures that they saved, and where each comes from.

It is found in `figures/<task>/`: executed notebooks (`*.ipynb`, `*.failed.ipynb`) beside the figures they saved.
"""

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from optima_lab.report.captions import readings
from optima_lab.report.figures.style import FORMATS, drawn_size, origin


@dataclass(frozen=True)
class Picture:
    """One figure: files (names in its folder), reading (markdown), what it was drawn from, its size (pixels)."""

    name: str
    title: str
    files: tuple[str, ...]
    reading: str
    origin: dict[str, Any]
    size: tuple[int, int]


@dataclass(frozen=True)
class Executed:
    """One executed notebook: its figures, its parameters, and the one line that says why it failed ('' on success)."""

    path: Path
    title: str
    parameters: dict[str, Any]
    error: str
    pictures: tuple[Picture, ...] = field(default=())

    @property
    def name(self) -> str:
        """The notebook's own name, the same whether it failed or not."""
        return self.path.name.replace(".failed.ipynb", ".ipynb")


def collect(room: Path) -> list[Executed]:
    """The executed notebooks of a folder by name; one that failed stands before its older success."""
    notebooks = [_executed(path) for path in sorted(room.glob("*.ipynb"))]
    return sorted(notebooks, key=lambda notebook: (notebook.name, not notebook.error))


def _executed(path: Path) -> Executed:
    failed = path.name.endswith(".failed.ipynb")
    try:
        if not path.is_file():  # a named pipe would be waited for
            raise OSError("no file")
        notebook = json.loads(path.read_text(encoding="utf-8"))
        cells = [
            cell | {"source": "".join(cell["source"]), "cell_type": cell["cell_type"]} for cell in notebook["cells"]
        ]
        ours = dict(notebook["metadata"].get("optima_lab", {}))
        papermill = notebook["metadata"].get("papermill", {}).get("parameters", {})
        parameters = dict(ours.get("parameters", papermill))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return Executed(path, path.stem, {}, f"{path.name} is no notebook: {error}")
    pictures = () if failed else tuple(_pictures(path.parent, cells))
    error = str(ours.get("error", f"{path.name} did not reach its end")) if failed else ""
    return Executed(path, _heading(cells, path.stem), parameters, error, pictures)


def _heading(cells: Sequence[dict], otherwise: str) -> str:
    """The first heading of a notebook's markdown."""
    lines = [line for cell in cells if cell["cell_type"] == "markdown" for line in cell["source"].splitlines()]
    return next((line.lstrip("# ").strip() for line in lines if line.startswith("# ")), otherwise)


def _pictures(folder: Path, cells: Sequence[dict]) -> list[Picture]:
    pictures = []
    for reading in readings({"cells": cells}):
        files = tuple(
            f"{reading.name}.{kind}" for kind in (*FORMATS, "csv") if (folder / f"{reading.name}.{kind}").is_file()
        )
        if files:
            png = folder / f"{reading.name}.png"
            source = origin(png)
            title = source.pop("title", "") or reading.name.replace("_", " ")
            pictures.append(Picture(reading.name, title, files, reading.markdown, source, drawn_size(png)))
    return pictures


def manifest(rooms: Mapping[str, Sequence[Executed]]) -> dict[str, Any]:
    """What `manifest.json` says: files, notebook, parameters, runs, seeds, configuration of each figure; failures."""
    figures = {
        f"{room}/{picture.name}": {
            "files": [f"{room}/{name}" for name in picture.files],
            "notebook": f"{room}/{notebook.path.name}",
            "parameters": notebook.parameters,
            **picture.origin,
        }
        for room, notebooks in rooms.items()
        for notebook in notebooks
        for picture in notebook.pictures
    }
    failed = {
        f"{room}/{failed.name}": failed.error
        for room, notebooks in rooms.items()
        for failed in notebooks
        if failed.error
    }
    return {"commit": commit(), "figures": figures, "failed": failed}


def commit() -> str:
    """The git commit of this library's own repository, '' where it is not in one."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return ""
    try:
        ask = ["git", "-C", str(root), "rev-parse", "--short=12", "HEAD"]
        return subprocess.run(ask, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
