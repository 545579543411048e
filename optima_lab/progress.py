"""Progress with time left, for anything longer than two seconds."""

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm.auto import tqdm

T = TypeVar("T")
_place = 0  # of this process's bar on the terminal; workers of a sweep have one line each


def place_bars(place: int) -> None:
    """Let this process draw its bars on line `place` (from 0) below the cursor."""
    global _place
    _place = place


def progress(items: Iterable[T], label: str, total: int | None = None, done: int = 0) -> Iterator[T]:
    """`items` with a bar on standard error that appears after two seconds and goes when it is full.

    `done` of the `total` were there before. Where standard error is no terminal (a log, a test) the bar keeps to a line
    every ten seconds.
    """
    if sys.stderr is None:  # closed by who started us
        return iter(items)
    quiet = not sys.stderr.isatty() and "ipykernel" not in sys.modules
    every = 10 if quiet else 0.5
    look = {"delay": 2, "mininterval": every, "dynamic_ncols": True, "position": _place, "leave": _place == 0}
    return iter(tqdm(items, label, total, initial=done, **look))
