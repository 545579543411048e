"""Files that appear whole or not at all, whoever else writes the same ones: the only way in which this library writes.

What is being written lies beside its target under a name of its own that ends in `.part`, and takes the target's name
when it is whole. After a failure it is removed; a killed process leaves it behind, recognisable by `is_part`.
"""

import errno
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from glob import escape
from math import isfinite
from pathlib import Path
from secrets import token_hex
from socket import gethostname
from typing import Any

from optima_lab.errors import ConfigError, OptimaError, RecordError

_PART = re.compile(r"\.[\w.-]+-(\d+)-[0-9a-f]{8}\.part")
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_LONGEST_NAME = 255  # bytes, on every common file system


def temporary_path(path: Path) -> Path:
    """Where to write what is then renamed to `path`: a name that no other call has, on this machine or another."""
    end = f".{_machine()}-{os.getpid()}-{token_hex(4)}.part"
    start = path.name.encode(errors="surrogateescape")[: _LONGEST_NAME - len(end)]
    return path.with_name(start.decode(errors="ignore") + end)


def _machine() -> str:
    """This machine's name in letters that `is_part` knows, at most 64 of them."""
    return re.sub(r"[^\w.-]", "_", gethostname(), flags=re.ASCII)[:64] or "_"


def is_part(path: Path) -> bool:
    """Whether a path's name is one that `temporary_path` gives, now or in versions before."""
    before = rf"\.{re.escape(_machine())}-\d+\.part|^resume(-[0-9a-f]{{8}})?\.pt\.\d+\.part"
    return bool(re.search(rf"({_PART.pattern}|{before})$", path.name))


def maker_lives(path: Path) -> bool | None:
    """Whether the process that began a part is still there; None for another machine's, of which nothing is known."""
    match = re.search(rf"\.{re.escape(_machine())}-(\d+)-[0-9a-f]{{8}}\.part$", path.name)
    if not match:
        return None
    try:
        os.kill(int(match[1]), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # another user's
        return True
    return True


def drop_parts(folder: Path, abandoned: bool = False) -> None:
    """Remove the parts in and below `folder`: all, or those alone whose process has ended. Never raises."""
    for path in [*folder.rglob("*.part")]:
        if is_part(path) and (not abandoned or maker_lives(path) is False):
            remove(path)


def remove(path: Path) -> None:
    """Remove a file, a link or a whole folder, if it is there and can be removed."""
    with suppress(OSError):
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


@contextmanager
def temporary(path: Path) -> Iterator[Path]:
    """A `temporary_path` for a file or a folder; what lies there in the end is removed.

    So is what processes that were killed while they wrote the same target have left.
    """
    part = temporary_path(path)
    try:
        yield part
    finally:
        remove(part)
        for other in path.parent.glob(f"{escape(path.name)}.*.part"):
            if is_part(other) and maker_lives(other) is False:
                remove(other)


@contextmanager
def replacing(path: Path, error: type[OptimaError] = RecordError, *, durable: bool = False) -> Iterator[Path]:
    """Where to write a file, or a new folder, that is `path` once the block ends; a failed block leaves `path` alone.

    `durable`: the file outlives a power cut as soon as it has its name. Raises `error` where the disk is full or the
    place cannot be written.
    """
    with explained(path, error):
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary(path) as part:
            yield part
            if durable:
                _to_disk(part)
            os.replace(part, path)
            if durable:
                _to_disk(path.parent)


@contextmanager
def explained(path: Path, error: type[OptimaError] = RecordError) -> Iterator[None]:
    """Turn what the operating system says while `path` is written into one line."""
    try:
        yield
    except OSError as reason:
        other = reason.filename if isinstance(reason.filename, str) and not is_part(Path(reason.filename)) else ""
        where = f" ({other})" if other and other != str(path) else ""
        advice = "; free some space, then run the same command again" if reason.errno in _FULL else ""
        raise error(f"{path} cannot be written: {reason.strerror or reason}{where}{advice}") from reason


def _to_disk(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # a file system that cannot be asked for it
            raise
    finally:
        os.close(handle)


def write_bytes(path: Path, content: bytes, error: type[OptimaError] = RecordError, *, durable: bool = False) -> Path:
    """Write a file whole or not at all and return its path. Raises `error` where it cannot be written."""
    with replacing(path, error, durable=durable) as part:
        part.write_bytes(content)
    return path


def write_text(path: Path, text: str, error: type[OptimaError] = RecordError, *, durable: bool = False) -> Path:
    """`write_bytes` of UTF-8; halves of surrogate pairs are written as `\\udc80`, which JSON reads back."""
    return write_bytes(path, text.encode("utf-8", "backslashreplace"), error, durable=durable)


def json_text(content: Any, **layout: Any) -> str:
    """JSON that every reader takes: numbers that are not finite are null. `layout` is `json.dumps`'s."""
    try:
        return json.dumps(content, allow_nan=False, **layout)
    except ValueError:
        return json.dumps(_finite(content), allow_nan=False, **layout)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not isfinite(value) else value


def expand(path: str | os.PathLike[str]) -> Path:
    """The path with `~` and `~name` as the home folders they stand for.

    Raises ConfigError where this machine knows no such home.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise ConfigError(
            f"a path that starts with ~ must name a home folder that exists, got {os.fspath(path)!r}; "
            f"write ./{os.fspath(path)} for a folder of that name"
        ) from None


LOCK = ".lock"  # flock: ends with its process, however that ends; removing the file would let two hold one name


@contextmanager
def locked(folder: Path, label: str, name: str = LOCK) -> Iterator[None]:
    """Be the only process inside; where another one is, say in one line that `label` is waited for, and wait.

    What was missing before may be there afterwards: look again. Raises RecordError where the folder cannot be written.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(folder / name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            print(f"{label}: another process is writing it; waiting until it has ended", file=sys.stderr, flush=True)
            lock.acquire(poll_interval=0.2)
    except OSError as error:
        raise RecordError(f"{folder} must be writable, to be locked: {error.strerror or error}") from None
    try:
        yield
    finally:
        lock.release()


def taken(folder: Path, name: str = LOCK) -> bool:
    """Whether some process is inside `locked(folder)` now; nothing is created to find out."""
    if not (folder / name).is_file():
        return False
    from filelock import FileLock, Timeout

    lock = FileLock(folder / name)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    except OSError:  # a read-only place: nobody writes there
        return False
    lock.release()
    return False
