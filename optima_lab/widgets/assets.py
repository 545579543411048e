"""From Python to the browser: arrays as bytes, the JavaScript of a widget, and the same widget as one offline page.

A widget's module is `canvas.js` (shared) before its own file, so that a page needs nothing else: no network, no server.
"""

import json
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from optima_lab.bandits.arms import LABELS, MODULES, SHORT
from optima_lab.display import look
from optima_lab.files import expand, write_text
from optima_lab.report import pages

SOURCES = {
    "replay": ("canvas.js", "replay.js"),
    "exercises": ("canvas.js", "exercises.js"),
    "rollouts": ("canvas.js", "panels.js", "rollouts.js"),
    "playground": ("canvas.js", "bandits.js", "panels.js", "playground.js"),
}
KINDS = {"f": ("f4", np.float32), "u": ("u4", np.uint32), "i": ("u4", np.uint32), "b": ("u1", np.uint8)}
PAGE_BYTES = 2_000_000  # of one offline page


def pack(arrays: Mapping[str, np.ndarray]) -> tuple[list[dict[str, Any]], bytes]:
    """Arrays one after another: where each lies (name, kind, shape, offset in bytes), and all of their bytes.

    Numbers become float32, uint32 or uint8, little-endian; every array starts at a multiple of eight bytes.
    """
    layout, parts, offset = [], [], 0
    for name, array in arrays.items():
        kind, dtype = ("u1", np.uint8) if array.dtype == np.uint8 else KINDS[array.dtype.kind]
        content = np.ascontiguousarray(array, np.dtype(dtype).newbyteorder("<")).tobytes()
        content += bytes(-len(content) % 8)
        layout.append({"name": name, "kind": kind, "shape": list(array.shape), "offset": offset})
        parts.append(content)
        offset += len(content)
    return layout, b"".join(parts)


def arms() -> list[dict[str, Any]]:
    """The seven arms as widgets draw them: label, colour, marker, modules."""
    known = {SHORT[module]: module for module in MODULES}
    return [
        {
            "label": label,
            "colour": look(label).colour,
            "marker": look(label).marker,
            "modules": [MODULES.index(known[part]) for part in label.split("+")],
        }
        for label in LABELS
    ]


@cache
def script(widget: str) -> str:
    """The JavaScript module of a widget."""
    return "\n".join(_read(name) for name in SOURCES[widget])


@cache
def stylesheet() -> str:
    """The look of all widgets."""
    return _read("widget.css")


def _read(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def plain(about: object) -> str:
    """JSON of what is `readable`."""
    return json.dumps(readable(about), ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def readable(value: Any) -> Any:  # JSON of any shape: a type of its own would say no more
    """Facts as JSON can hold them and every browser reads them: what is no finite number or no character is left out.

    Numbers that are not finite become null, halves of surrogate pairs a question mark.
    """
    if isinstance(value, Mapping):
        return {str(key): readable(each) for key, each in value.items()}
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, Sequence):
        return [readable(each) for each in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def page(title: str, widget: str, about: Mapping[str, Any], data: bytes, home: str = "", poll: float = 0.0) -> str:
    """A whole HTML page with one widget: script, look and data inside, nothing asked of a network.

    poll: seconds after which the page asks the server it came from for newer data (`widgets.watch`); 0: it has none.
    """
    known = {"title": readable(title), "home": home, "data": b64encode(data).decode(), "poll": poll}
    inside = {"about": plain(about), "script": script(widget)}
    safe = {name: Markup(_inside_script(text)) for name, text in inside.items()}
    return pages.render("widget.html", look=Markup(stylesheet()), **known, **safe)


def _inside_script(text: str) -> str:
    """Text that cannot end the script it stands in; in JSON and in strings of JavaScript it means the same."""
    return re.sub(r"<(?=/script|!--)", r"\\u003c", text, flags=re.IGNORECASE)


def write_page(path: Path, text: str) -> Path:
    """Write a page whole or not at all. Raises RecordError where the folder cannot be written."""
    return write_text(expand(path), text)
