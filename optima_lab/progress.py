"""Progress with time left, for anything longer than two seconds."""

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm.auto import tqdm

T = TypeVar("T")


def progress(items: Iterable[T], about: str, total: int | None = None) -> Iterator[T]:
    """`items` with a bar on standard error that appears after two seconds and leaves one line behind.

    Where standard error is no terminal (a log, a test) the bar keeps to a line every ten seconds.
    """
    quiet = not sys.stderr.isatty() and "ipykernel" not in sys.modules
    return iter(tqdm(items, desc=about, total=total, delay=2, mininterval=10 if quiet else 0.5, dynamic_ncols=True))
