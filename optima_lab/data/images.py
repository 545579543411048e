"""Picture files to one uint8 array: decoded once, resized to a square, kept in a cache folder by their content."""

import json
import os
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from math import prod
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from optima_lab.data.contents import digests
from optima_lab.data.pixels import upright_rgb
from optima_lab.data.validation import shown
from optima_lab.errors import DataError
from optima_lab.files import replacing, write_text
from optima_lab.progress import progress

PIXEL_LIMIT = 64_000_000
FORMATS = (
    "JPEG",
    "PNG",
    "GIF",
    "BMP",
    "WEBP",
    "TIFF",
)  # by content, whatever the name; others: more code than pictures
_CACHE_VERSION = 2  # raise it when the same files would leave other arrays
_IN_MEMORY_BYTES = 256 << 20
# How files begin that are often met in a picture's place, to be named when they are refused.
_BEGINNINGS = {
    b"%!PS": "a PostScript file",
    b"%PDF": "a PDF file",
    b"8BPS": "a Photoshop file",
    b"PK\x03\x04": "a ZIP archive",
    b"\x1f\x8b": "a gzip file",
    b"\x00\x00\x00\x0cjP": "a JPEG 2000 picture",
    b"\xff\x0a": "a JPEG XL picture",
    b"\x00\x00\x00\x0cJXL": "a JPEG XL picture",
    b"<svg": "an SVG drawing",
    b"<?xml": "an XML file",
    b"<!doctype html": "an HTML page",
    b"<html": "an HTML page",
    b"version https://git-lfs": "a pointer of Git LFS (git lfs pull fetches the file)",
}
_BRANDS = {b"avif": "an AVIF picture", b"avis": "an AVIF picture", b"heic": "a HEIC picture", b"mif1": "a HEIF picture"}


def decode(path: Path, size: int) -> np.ndarray:
    """One picture as uint8 (size, size, 3), upright and on white, resized without regard to its proportions.

    Raises DataError for what is no picture in one of `FORMATS`, is truncated, or has more than `PIXEL_LIMIT` pixels.
    """
    return np.asarray(_resized(path, size, lambda width, height: (size, size)))


def thumbnail(path: Path, most: int) -> Image.Image:
    """One picture as `decode` sees it, with its proportions, at most `most` pixels high; refuses what `decode` does."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # oddities of metadata
        return _resized(
            path, most, lambda width, height: (max(1, width * min(most, height) // height), min(most, height))
        )


def _resized(path: Path, size: int, target: Callable[[int, int], tuple[int, int]]) -> Image.Image:
    """The picture at the size that `target` makes of its own; the header is looked at before anything is decoded."""
    try:
        if not path.is_file():  # a named pipe would be waited for
            raise FileNotFoundError
        # Not by its name: Pillow maps a named TIFF into memory, with height and width confused where it is turned.
        with path.open("rb") as file, Image.open(file, formats=FORMATS) as image:
            width, height = image.size
            if width * height > PIXEL_LIMIT:
                came = f"{width} x {height} = {width * height:,}"
                raise DataError(f"{path}: a picture must have at most {PIXEL_LIMIT:,} pixels; got {came}")
            image.draft("RGB", (2 * size, 2 * size))  # a large JPEG is decoded at a fraction of its size
            rgb = upright_rgb(image)
            return rgb.resize(target(*rgb.size), Image.Resampling.BICUBIC)
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
    if isinstance(error, UnidentifiedImageError):
        return f"{_named(path)}, but what is read is {', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
    return shown(str(error) or type(error).__name__, 100).replace(str(path), path.name)


def _named(path: Path) -> str:
    """What a file seems to be, by its first bytes."""
    with path.open("rb") as file:
        start = file.read(64)
    if start[4:8] == b"ftyp":
        return _BRANDS.get(start[8:12], "a film or a picture of another kind")
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    kinds = (name for begins, name in _BEGINNINGS.items() if start.startswith(begins) or text.startswith(begins))
    return next(kinds, f"a file that begins with {shown(start[:12])}")


def decode_all(paths: Sequence[Path], size: int, strict: bool, cache: Path | None) -> tuple[np.ndarray, dict[int, str]]:
    """uint8 (picture, size, size, 3) and, unless `strict`, the reason for each picture that is black because it is bad.

    With a `cache` folder the array is a file there, found again while the files' content stays the same, wherever they
    lie; above 256 MB it is mapped and not read. Raises DataError for the first bad picture if `strict`.
    """
    shape = (len(paths), size, size, 3)
    if cache is None:
        decoded: list[np.ndarray] = []
        problems = _decode_each(paths, size, strict, decoded.append)
        return np.array(decoded, np.uint8).reshape(shape), problems
    target = cache / f"pictures-{_key(paths, size, cache)}.npy"
    cached = _open(target, shape, paths)
    if cached is None:
        _write(target, shape, paths, strict)
        cached = _open(target, shape, paths)
        assert cached is not None
    images, problems = cached
    if strict and problems:
        raise DataError(problems[min(problems)])
    return images, problems


def _open(target: Path, shape: tuple[int, ...], paths: Sequence[Path]) -> tuple[np.ndarray, dict[int, str]] | None:
    """What `_write` left; None where there is nothing whole."""
    if any(path.is_symlink() or not path.is_file() for path in (target, _notes(target))):
        return None
    try:
        problems = {int(index): str(reason) for index, reason in json.loads(_notes(target).read_text()).items()}
        problems = {index: f"{paths[index]}: {reason}" for index, reason in problems.items() if index >= 0}
        images = np.load(target, mmap_mode="r" if prod(shape) > _IN_MEMORY_BYTES else None)
    except Exception:  # damaged bytes may raise anything
        return None
    whole = isinstance(images, np.ndarray) and images.shape == shape and images.dtype == np.uint8
    return (images, problems) if whole else None


def _notes(target: Path) -> Path:
    return target.with_suffix(".json")


def _write(target: Path, shape: tuple[int, ...], paths: Sequence[Path], strict: bool) -> None:
    with replacing(target, DataError, durable=True) as part:
        with part.open("wb") as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            problems = _decode_each(paths, shape[1], strict, lambda image: file.write(image.tobytes()))
        reasons = {index: problem.removeprefix(f"{paths[index]}: ") for index, problem in problems.items()}
        write_text(_notes(target), json.dumps(reasons), DataError, durable=True)


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


def _key(paths: Sequence[Path], size: int, cache: Path) -> str:
    content = json.dumps([_CACHE_VERSION, size, digests(paths, cache)])
    return sha256(content.encode()).hexdigest()[:16]
