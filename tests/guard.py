"""What hostile input must not make our code do: touch other files, run something, hang, or hoard memory."""

import os
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

LIMIT_SECONDS = 5.0  # of computing and of waiting, for a pipe that nobody writes to; not for a busy processor
GROWTH_BYTES, PEAK_BYTES = 64 << 20, 1 << 30
_RUNS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "socket.connect", "pickle.find_class")
_CHANGES = ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.symlink", "os.link", "os.truncate", "os.chmod")
_SECRETS = {Path(os.path.realpath("/etc/passwd"))}  # what hostile input asks for outside of any test's folders
_allowed: list[Path] = []
_seen: list[str] = []


class Hang(BaseException):
    """Raised in a call that took too long; no `except Exception` catches it."""


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if not _allowed:
        return
    if event in _RUNS:
        _seen.append(f"{event} {arguments[:1]}")
    elif event in _CHANGES or (event == "open" and _may_write(arguments[1], arguments[2])):
        _note(
            event, [a for a in arguments[:2] if isinstance(a, str | bytes | os.PathLike)][: 1 + (event == "os.rename")]
        )
    elif event == "open" and isinstance(arguments[0], str | bytes):
        real = Path(os.path.realpath(os.fsdecode(arguments[0])))
        beside = real.is_relative_to(_allowed[-1].parent) and not real.is_relative_to(_allowed[-1])
        if beside or real in _SECRETS:
            _seen.append(f"read {real}")


def _may_write(mode: str | None, flags: int) -> bool:
    return bool(set(mode or "") & set("wax+")) or bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC))


def _note(event: str, paths: list[Any]) -> None:
    for path in paths:
        folder, name = os.path.split(os.path.abspath(os.fsdecode(path)))
        real = (
            Path(os.path.realpath(os.path.join(folder, name)))
            if event == "open"
            else Path(os.path.realpath(folder), name)
        )
        if not real.is_relative_to(_allowed[-1]) and real != Path(os.devnull):
            _seen.append(f"{event} {real}")


sys.addaudithook(_hook)  # for good: hooks cannot be removed, so this one sleeps outside of `watched`


@contextmanager
def watched(folder: Path) -> Iterator[None]:
    """Let the code inside compute or wait for five seconds, write below `folder` alone, and read nothing beside it.

    Raises Hang, or AssertionError where more was touched, or anything was run.
    """

    start, denied = monotonic(), _denied_seconds()

    def late(*_: object) -> None:
        left = LIMIT_SECONDS - (monotonic() - start - (_denied_seconds() - denied))
        if left <= 0:
            raise Hang(f"computes or waits longer than {LIMIT_SECONDS} s")
        signal.setitimer(signal.ITIMER_REAL, left)

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, LIMIT_SECONDS)
    _seen.clear()
    _allowed.append(folder.resolve())
    try:
        yield
    finally:
        _allowed.clear()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert not _seen, f"left its folder: {', '.join(_seen)}"


def _denied_seconds() -> float:
    """How long this thread was ready and had no processor, since it began; 0 where the system does not tell."""
    try:
        return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0


def resident_bytes() -> int:
    """Memory of this process now; 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    except OSError:
        return 0


def peak_bytes() -> int:
    """The most memory that this process ever had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
