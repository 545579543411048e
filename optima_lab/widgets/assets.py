"""From Python to the browser: arrays as bytes, the JavaScript of a widget, and the same widget as one offline page.

A widget's module is `canvas.js` (shared) before its own file, so that a page needs nothing else: no network, no server.
"""

import json
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from functools import cache
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from optima_lab.bandits.arms import COCA, Arms
from optima_lab.display import arm_look
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
LATTICE_MODULES = 4  # beyond, a lattice of all arms cannot be read
NUMBERS = {3: "three", 4: "four"}


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


def arms(of: Arms = COCA) -> list[dict[str, Any]]:
    """Arms as widgets draw them: label, colour, marker, modules. Of more than `LATTICE_MODULES` modules, the modules.

    Seven looks take turns where there are more. Labels of several modules are cut short, `brief` ones even more, for
    where there is no room.
    """
    c = len(of.modules)
    sets = of.sets if c <= LATTICE_MODULES else [frozenset({module}) for module in of.modules]
    short, tiny = (Arms(of.modules, _cut(of.modules, least)) for least in (3, 1))
    return [
        {
            "label": of.label(arm)
            if of == COCA or len(arm) == 1
            else _all(c)
            if len(arm) == c > 2
            else short.label(arm),
            "brief": _all(c) if of == COCA and len(arm) == c else of.label(arm) if of == COCA else tiny.label(arm),
            "colour": arm_look(number).colour,
            "marker": arm_look(number).marker,
            "modules": [of.modules.index(module) for module in of.modules if module in arm],
        }
        for number, arm in enumerate(sets)
    ]


def _all(modules: int) -> str:
    return f"all {NUMBERS[modules]}"


def _cut(names: Sequence[str], least: int) -> tuple[str, ...]:
    """The beginnings of names, as short as tells them apart."""
    longest = max(map(len, names))
    short = next(n for n in range(least, max(least, longest) + 1) if len({name[:n] for name in names}) == len(names))
    return tuple(name[:short] for name in names)


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


def plain(value: object) -> str:
    """JSON of what is `readable`."""
    return json.dumps(readable(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def readable(value: Any) -> Any:  # JSON of any shape: a type of its own would say no more
    """Facts as JSON can hold them and every browser reads them: what is no finite number or no character is left out.

    Numbers that are not finite become null, halves of surrogate pairs a question mark.
    """
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, int | float):  # most of what there is, and quickly told
        return None if isinstance(value, float) and not isfinite(value) else value
    if isinstance(value, Mapping):
        return {str(key): readable(item) for key, item in value.items()}
    return [readable(item) for item in value] if isinstance(value, Sequence) else value


def page(title: str, widget: str, about: Mapping[str, Any], data: bytes, home: str = "", poll: float = 0.0) -> str:
    """A whole HTML page with one widget: script, look and data inside, nothing asked of a network.

    poll: seconds after which the page asks the server it came from for newer data (`widgets.watch`); 0: it has none.
    """
    values = {"title": readable(title), "home": home, "data": b64encode(data).decode(), "poll": poll}
    inside = {"about": plain(about), "script": script(widget)}
    safe = {name: Markup(_inside_script(text)) for name, text in inside.items()}
    return pages.render("widget.html", look=Markup(stylesheet()), **values, **safe)


def _inside_script(text: str) -> str:
    """Text that cannot end the script it stands in; in JSON and in strings of JavaScript it means the same."""
    return re.sub(r"<(?=/script|!--)", r"\\u003c", text, flags=re.IGNORECASE)


def write_page(path: str | Path, text: str) -> Path:
    """Write a page whole or not at all. Raises RecordError where the folder cannot be written."""
    return write_text(expand(path), text)
