"""Code as a notebook's cells define it: of no module, its text where IPython keeps it."""

import linecache
from itertools import count
from typing import Any

_NUMBERS = count()


def cell(text: str, space: dict[str, Any] | None = None, **known: Any) -> dict[str, Any]:
    """Run a cell and return what is defined, in the `space` of those before it."""
    name = f"/tmp/ipykernel_0/{next(_NUMBERS)}.py"
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    space = {"__name__": "__main__"} if space is None else space
    space |= known
    exec(compile(text, name, "exec"), space)
    return space
