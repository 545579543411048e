"""What a notebook draws and how it reads it aloud: found in its cells, so that the gallery says what the notebook says.

A figure is a call `save(figure, folder, "name", …)`; its reading is the next markdown cell "Reading this figure".
"""

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

READING = "reading this figure"


@dataclass(frozen=True)
class FigureCaption:
    """A figure's file name without ending, and the markdown that reads it ('' where the notebook has none)."""

    name: str
    markdown: str


def code(cell: Mapping[str, Any]) -> ast.Module:
    """A code cell's syntax tree without magics; an empty one where it is no Python."""
    lines = ["" if line.lstrip().startswith(("%", "!", "?")) else line for line in cell["source"].splitlines()]
    try:
        return ast.parse("\n".join(lines))
    except (SyntaxError, ValueError):
        return ast.Module(body=[], type_ignores=[])


def saved_names(cell: Mapping[str, Any]) -> list[str]:
    """The figures that a code cell saves."""
    calls = [node for node in ast.walk(code(cell)) if isinstance(node, ast.Call)]
    return [name for call in calls if _called(call) == "save" for name in _name_argument(call)]


def _called(call: ast.Call) -> str:
    return getattr(call.func, "attr", "") or getattr(call.func, "id", "")


def _name_argument(call: ast.Call) -> list[str]:
    arguments = [*call.args[2:3], *(keyword.value for keyword in call.keywords if keyword.arg == "name")]
    names = [node.value for node in arguments if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return [name for name in names if re.fullmatch(r"\w[\w.-]*", name)]  # a path would lead out of the folder


def readings(notebook: Mapping[str, Any]) -> list[FigureCaption]:
    """Every figure of a notebook (an nbformat node or its JSON) in order, with its reading."""
    captions: list[FigureCaption] = []
    waiting: list[str] = []
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            waiting += saved_names(cell)
        elif cell["cell_type"] == "markdown" and READING in cell["source"][:120].lower() and waiting:
            captions += [FigureCaption(name, _body(cell["source"])) for name in waiting]
            waiting = []
    return captions + [FigureCaption(name, "") for name in waiting]


def _body(markdown: str) -> str:
    """The reading without its heading line."""
    lines = markdown.strip().splitlines()
    return "\n".join(lines[1:] if lines and READING in lines[0].lower() and lines[0].startswith("#") else lines).strip()
