"""One process at a time: a folder that is being written is locked, and whoever else wants it waits and says so.

The lock is the operating system's own (`flock`): it ends with its process, however that ends. The empty file `.lock`
stays, since removing it would let two processes hold two locks of one name.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import gethostname

from filelock import FileLock, Timeout

from optima_lab.errors import RecordError

NAME = ".lock"


@contextmanager
def alone(folder: Path, about: str, name: str = NAME) -> Iterator[None]:
    """Be the only process inside; where another one is, say in one line that `about` is waited for, and wait.

    What was missing before may be there afterwards: look again. Raises RecordError where the folder cannot be written.
    """
    lock = FileLock(folder / name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            print(f"{about}: another process is writing it; waiting until it has ended", file=sys.stderr, flush=True)
            lock.acquire(poll_interval=0.2)
    except OSError as error:
        raise RecordError(f"{folder} must be writable, to be locked: {error.strerror or error}") from None
    try:
        yield
    finally:
        lock.release()


def taken(folder: Path, name: str = NAME) -> bool:
    """Whether some process is inside `alone(folder)` now; nothing is created to find out."""
    if not (folder / name).is_file():
        return False
    lock = FileLock(folder / name)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    except OSError:  # a read-only place: nobody writes there
        return False
    lock.release()
    return False


def part_of(path: Path) -> Path:
    """Where to write what is then renamed to `path`: a name that no other process has, on this machine or another."""
    return path.with_name(f"{path.name}.{gethostname()}-{os.getpid()}.part")
