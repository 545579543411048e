"""Picture files to one uint8 array: decoded once, resized to a square, kept in a cache folder."""

import hashlib
import json
import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from optima_lab.data.checks import shown
from optima_lab.errors import DataError
from optima_lab.progress import progress

PIXEL_LIMIT = 64_000_000
_FORMATS = ("JPEG", "PNG", "GIF", "BMP")  # by content, whatever the name; others bring more code than pictures
_IN_MEMORY_BYTES = 256 << 20


def decode(path: Path, size: int) -> np.ndarray:
    """One picture as uint8 (size, size, 3), resized without regard to its proportions; the header is looked at first.

    Raises DataError for what is no picture, is truncated, or has more than `PIXEL_LIMIT` pixels.
    """
    try:
        with Image.open(path, formats=_FORMATS) as image:
            width, height = image.size
            if width * height > PIXEL_LIMIT:
                came = f"{width} x {height} = {width * height:,}"
                raise DataError(f"{path}: a picture must have at most {PIXEL_LIMIT:,} pixels; got {came}")
            image.draft("RGB", (2 * size, 2 * size))  # a large JPEG is decoded at a fraction of its size
            resized = image.convert("RGB").resize((size, size), Image.Resampling.BICUBIC)
            return np.asarray(resized)
    except DataError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise DataError(f"{path}: a picture must have at most {PIXEL_LIMIT:,} pixels; got far more") from None
    except Exception as error:  # a decoder fed with broken bytes may raise anything
        raise DataError(f"{path}: must be a whole picture; got {_reason(path, error)}") from None


def _reason(path: Path, error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if path.stat().st_size == 0:
        return "an empty file"
    return shown(str(error) or type(error).__name__, 100).replace(str(path), path.name)


def decode_all(paths: Sequence[Path], size: int, strict: bool, cache: Path | None) -> tuple[np.ndarray, dict[int, str]]:
    """uint8 (picture, size, size, 3) and, unless `strict`, the reason for each picture that is black because it is bad.

    With a `cache` folder the array is a file there, found again while the files' names, sizes and times stay the same;
    above 256 MB it is mapped and not read. Raises DataError for the first bad picture if `strict`.
    """
    shape = (len(paths), size, size, 3)
    if cache is None:
        images = np.zeros(shape, np.uint8)
        return images, _fill(images, paths, size, strict)
    cache.mkdir(parents=True, exist_ok=True)
    target = cache / f"pictures-{_key(paths, size)}.npy"
    notes = target.with_suffix(".json")
    if not (target.is_file() and notes.is_file()):
        _write(target, notes, shape, paths, strict)
    problems = {int(index): reason for index, reason in json.loads(notes.read_text()).items()}
    if strict and problems:
        raise DataError(problems[min(problems)])
    mapped = "r" if int(np.prod(shape)) > _IN_MEMORY_BYTES else None
    return np.load(target, mmap_mode=mapped), problems


def _write(target: Path, notes: Path, shape: tuple[int, ...], paths: Sequence[Path], strict: bool) -> None:
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        images = np.lib.format.open_memmap(part, mode="w+", dtype=np.uint8, shape=shape)
        problems = _fill(images, paths, shape[1], strict)
        images.flush()
        del images
        notes.write_text(json.dumps(problems))
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _fill(images: np.ndarray, paths: Sequence[Path], size: int, strict: bool) -> dict[int, str]:
    problems: dict[int, str] = {}

    def one(index: int) -> DataError | None:
        try:
            images[index] = decode(paths[index], size)
        except DataError as error:
            return error
        return None

    with warnings.catch_warnings(), ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        warnings.simplefilter("ignore", UserWarning)  # oddities of metadata
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        results = pool.map(one, range(len(paths)))
        for index, error in enumerate(progress(results, "read pictures", len(paths))):
            if error is not None and strict:
                pool.shutdown(cancel_futures=True)
                raise error
            if error is not None:
                problems[index] = str(error)
    return problems


def _key(paths: Sequence[Path], size: int) -> str:
    digest = hashlib.sha256(f"{size}".encode())
    for path in paths:
        status = os.stat(path)
        digest.update(f"{os.path.abspath(path)}\t{status.st_size}\t{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]
