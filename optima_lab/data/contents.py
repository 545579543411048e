"""What identifies data: the bytes of its files, however they are linked.

Every file is hashed once. Its digest is kept in the cache folder by the file's real path, size, times and inode, so
that asking again about 83 GB of pictures looks at each file's status alone, and is believed while all of these stay.
"""

import json
import os
import stat
import time
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from hashlib import file_digest, sha256
from pathlib import Path

from optima_lab.errors import DataError
from optima_lab.files import write_text
from optima_lab.progress import progress

_STORE = "contents-1.json"  # in the cache folder; the number is that of its layout
_YOUNG_NS = 2_000_000_000  # a file changed so lately may change again within one tick of its file system's clock
_DEEPEST = 64  # folders within folders
_Inode = tuple[int, int]  # device and number
_Status = tuple[int, int, int, int]  # size, time of the last change of bytes and of anything, number of the inode


def content_fingerprint(folder: Path, cache: Path, ours: Collection[Path] = ()) -> str:
    """16 hex digits of the names and bytes of all files below `folder`, through links to files and folders too.

    Hidden files and folders are no data, nor are empty folders and the folders `ours`. Raises DataError for a link that
    leads back to a folder that holds it, and for what cannot be read.
    """
    walk = _Walk({inode for path in ours if (inode := _inode(path))})
    root = walk.enter(str(folder), ())
    files = sorted({path for each in walk.folders.values() for path in each.files.values()})
    return walk.digest(root, dict(zip(files, digests(files, cache), strict=True)))[:16]


def digests(paths: Sequence[Path | str], cache: Path | None = None) -> list[str]:
    """The SHA-256 of each file's bytes, '' for what is no file; found again in `cache` where nothing was touched.

    Raises DataError for a file that cannot be read.
    """
    real = [os.path.realpath(path) for path in paths]
    cached = _load(cache)
    status = {path: _status(path) for path in dict.fromkeys(real)}
    hashes = {path: cached[path][0] if cached.get(path, ("",))[1:] == status[path] else "" for path in status}
    unknown = [path for path, state in status.items() if state and not hashes[path]]
    hashes |= zip(unknown, _hashed(unknown), strict=True)
    _keep(cache, {path: (hashes[path], *now) for path in unknown if (now := _settled(path, status[path]))})
    return [hashes[path] for path in real]


def _hashed(paths: Sequence[str]) -> Iterator[str]:
    pool = ThreadPoolExecutor(min(8, os.cpu_count() or 1))
    try:
        yield from progress(pool.map(_digest, paths), "look at files", len(paths))
    finally:
        pool.shutdown(cancel_futures=True)


def _digest(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None


def _status(path: str) -> _Status | None:
    """None for what is no file, a pipe or a link to nothing included."""
    try:
        now = os.stat(path)
    except (OSError, ValueError):
        return None
    return (now.st_size, now.st_mtime_ns, now.st_ctime_ns, now.st_ino) if stat.S_ISREG(now.st_mode) else None


def _settled(path: str, before: _Status | None) -> _Status | None:
    """The status to keep a digest by: that of before, where nothing changed since and the last change is old."""
    now = _status(path)
    return now if now and now == before and now[2] < time.time_ns() - _YOUNG_NS else None


def _load(cache: Path | None) -> dict[str, tuple]:
    """What `_keep` left; nothing where it is damaged."""
    try:
        content = json.loads((cache / _STORE).read_bytes()) if cache else {}
        return {path: (str(line[0]), *line[1:]) for path, line in content.items()}
    except Exception:  # damaged bytes may raise anything
        return {}


def _keep(cache: Path | None, new: dict[str, tuple]) -> None:
    """Add to what is kept; where it cannot be written it is computed again."""
    if not (cache and new):
        return
    with suppress(DataError):
        write_text(cache / _STORE, json.dumps(_load(cache) | new), DataError)


@dataclass(frozen=True)
class _Folder:
    """The real path of each file by its name, and the inode of each folder."""

    files: dict[str, str]
    folders: dict[str, _Inode]


class _Walk:
    """Every folder below one, each looked at once however many links lead to it."""

    def __init__(self, ours: Collection[_Inode]) -> None:
        self.folders: dict[_Inode, _Folder] = {}
        self._ours = ours
        self._digests: dict[_Inode, str] = {}

    def enter(self, path: str, above: tuple[_Inode, ...]) -> _Inode:
        """Look at the folder and all below it; `above` are those on the way to it."""
        inode = _inode(path)
        if inode is None:
            raise DataError(f"{path} must stay while it is looked at; it is gone")
        if inode in above:
            raise DataError(f"{path} must not lead back to a folder that holds it: remove this link")
        if len(above) > _DEEPEST:
            raise DataError(f"data must lie at most {_DEEPEST} folders deep; {path} lies deeper")
        if inode not in self.folders:
            self.folders[inode] = self._look(path, (*above, inode))
        return inode

    def _look(self, path: str, above: tuple[_Inode, ...]) -> _Folder:
        real, folder = os.path.realpath(path), _Folder({}, {})
        for entry in _entries(path):
            if entry.name.startswith("."):
                continue
            if _is_folder(entry):
                if _inode(entry.path) not in self._ours:
                    folder.folders[entry.name] = self.enter(entry.path, above)
            else:
                linked = entry.is_symlink()
                folder.files[entry.name] = os.path.realpath(entry.path) if linked else os.path.join(real, entry.name)
        return folder

    def digest(self, inode: _Inode, hashes: dict[str, str]) -> str:
        """Of the folder's names and contents, from the digests of files; '' where no file lies below it."""
        if inode not in self._digests:
            here = self.folders[inode]
            lines = [(name, "file", hashes[path]) for name, path in here.files.items()]
            lines += [(name, "folder", self.digest(each, hashes)) for name, each in here.folders.items()]
            text = json.dumps(sorted(line for line in lines if line[2]))
            self._digests[inode] = sha256(text.encode()).hexdigest() if text != "[]" else ""
        return self._digests[inode]


def _inode(path: str | Path) -> _Inode | None:
    """None where there is nothing."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _entries(path: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(path) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
