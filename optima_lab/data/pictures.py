"""Picture files to one uint8 array: decoded once, resized to a square, kept in a cache folder."""

import hashlib
import json
import os
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import prod
from pathlib import Path

import numpy as np
from PIL import Image

from optima_lab.data.checks import shown
from optima_lab.errors import DataError
from optima_lab.locks import part_of
from optima_lab.progress import progress

PIXEL_LIMIT = 64_000_000
_FORMATS = ("JPEG", "PNG", "GIF", "BMP")  # by content, whatever the name; others bring more code than pictures
_IN_MEMORY_BYTES = 256 << 20


def decode(path: Path, size: int) -> np.ndarray:
    """One picture as uint8 (size, size, 3), resized without regard to its proportions.

    Raises DataError for what is no picture, is truncated, or has more than `PIXEL_LIMIT` pixels.
    """
    return np.asarray(_resized(path, size, lambda width, height: (size, size)))


def thumbnail(path: Path, most: int) -> Image.Image:
    """One picture in RGB with its proportions, at most `most` pixels high. Raises DataError as `decode` does."""
    return _resized(path, most, lambda width, height: (max(1, width * min(most, height) // height), min(most, height)))


def _resized(path: Path, size: int, target: Callable[[int, int], tuple[int, int]]) -> Image.Image:
    """The picture at the size that `target` makes of its own; the header is looked at before anything is decoded."""
    try:
        with Image.open(path, formats=_FORMATS) as image:
            width, height = image.size
            if width * height > PIXEL_LIMIT:
                came = f"{width} x {height} = {width * height:,}"
                raise DataError(f"{path}: a picture must have at most {PIXEL_LIMIT:,} pixels; got {came}")
            image.draft("RGB", (2 * size, 2 * size))  # a large JPEG is decoded at a fraction of its size
            return image.convert("RGB").resize(target(width, height), Image.Resampling.BICUBIC)
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
        decoded: list[np.ndarray] = []
        problems = _decode_each(paths, size, strict, decoded.append)
        return np.array(decoded, np.uint8).reshape(shape), problems
    target = cache / f"pictures-{_key(paths, size)}.npy"
    found = _open(target, shape)
    if found is None:
        try:
            cache.mkdir(parents=True, exist_ok=True)
            _write(target, shape, paths, strict)
        except OSError as error:
            raise DataError(f"{cache} cannot be written: {error.strerror}") from None
        found = _open(target, shape)
        assert found is not None
    images, problems = found
    if strict and problems:
        raise DataError(problems[min(problems)])
    return images, problems


def _open(target: Path, shape: tuple[int, ...]) -> tuple[np.ndarray, dict[int, str]] | None:
    """What `_write` left; None where there is nothing whole."""
    if any(path.is_symlink() or not path.is_file() for path in (target, _notes(target))):
        return None
    try:
        problems = {int(index): str(reason) for index, reason in json.loads(_notes(target).read_text()).items()}
        images = np.load(target, mmap_mode="r" if prod(shape) > _IN_MEMORY_BYTES else None)
    except Exception:  # damaged bytes may raise anything
        return None
    whole = isinstance(images, np.ndarray) and images.shape == shape and images.dtype == np.uint8
    return (images, problems) if whole and all(0 <= index < len(images) for index in problems) else None


def _notes(target: Path) -> Path:
    return target.with_suffix(".json")


def _write(target: Path, shape: tuple[int, ...], paths: Sequence[Path], strict: bool) -> None:
    part, notes = part_of(target), part_of(_notes(target))
    try:
        with part.open("wb") as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            problems = _decode_each(paths, shape[1], strict, lambda image: file.write(image.tobytes()))
        notes.write_text(json.dumps(problems))
        notes.replace(_notes(target))
        part.replace(target)
    finally:
        for path in (part, notes):
            path.unlink(missing_ok=True)


def _decode_each(paths: Sequence[Path], size: int, strict: bool, put: Callable[[np.ndarray], object]) -> dict[int, str]:
    """`put` every picture in order, decoded by a few threads; a bad one is raised if `strict`, else put black."""
    problems: dict[int, str] = {}

    def one(path: Path) -> np.ndarray | DataError:
        try:
            return decode(path, size)
        except DataError as error:
            return error

    pool = ThreadPoolExecutor(min(8, os.cpu_count() or 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # oddities of metadata
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            for index, image in enumerate(progress(pool.map(one, paths), "read pictures", len(paths))):
                if isinstance(image, DataError):
                    if strict:
                        raise image
                    problems[index], image = str(image), np.zeros((size, size, 3), np.uint8)
                put(image)
        finally:
            pool.shutdown(cancel_futures=True)
    return problems


def _key(paths: Sequence[Path], size: int) -> str:
    digest = hashlib.sha256(f"{size}".encode())
    for path in paths:
        status = os.stat(path)
        digest.update(f"{os.path.abspath(path)}\t{status.st_size}\t{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]
