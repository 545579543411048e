"""Generated pictures and linked folders for `fuzz_targets`, with what must come out computed in another way.

Pictures: every mode of Pillow, with and without alpha, in every format that holds it, in every orientation; the wanted
pixel is worked out by fractions. Folders: a tree of files, once plain and once put together with links.
"""

import colorsys
import os
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from random import Random

import numpy as np
import pytest
from mutations import Mutator
from PIL import Image

from optima_lab.data.contents import content_fingerprint
from optima_lab.data.formats import SPLITS, read
from optima_lab.data.images import thumbnail
from optima_lab.data.pixels import to_rgb
from optima_lab.errors import DataError

# --- pictures ---------------------------------------------------------------------------------------------------------

Pixel = tuple[float, ...]
_PALETTE = [[(17 * n + 5) % 256, (29 * n + 80) % 256, (43 * n + 160) % 256] for n in range(256)]


def _over_white(colour: Pixel, alpha: float) -> Pixel:
    share = Fraction(alpha) / 255
    return tuple(float(share * Fraction(part) + (1 - share) * 255) for part in colour)


def _cmyk(pixel: Pixel) -> Pixel:
    *inks, black = pixel
    return tuple((255 - ink) * (255 - black) / 255 for ink in inks)


def _ycbcr(pixel: Pixel) -> Pixel:
    """ITU-R BT.601 as JFIF has it."""
    y, cb, cr = pixel[0], pixel[1] - 128, pixel[2] - 128
    found = (y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb)
    return tuple(min(255.0, max(0.0, part)) for part in found)


def _hsv(pixel: Pixel) -> Pixel:
    return tuple(255 * part for part in colorsys.hsv_to_rgb(*(part / 255 for part in pixel)))


def _lightness(pixel: Pixel) -> Pixel:
    """CIE 1976 L* of a grey, then the curve of sRGB."""
    lightness = pixel[0] * 100 / 255
    luminance = ((lightness + 16) / 116) ** 3 if lightness > 8 else lightness * 27 / 24389
    curve = 12.92 * luminance if luminance <= 0.0031308 else 1.055 * luminance ** (1 / 2.4) - 0.055
    return (255 * curve,) * 3


def _grey(value: float) -> Pixel:
    return (value,) * 3


# By mode: how many samples, the largest sample, what a viewer sees, and how far rounding may lead from it.
MODES: dict[str, tuple[int, int, Callable[[Pixel], Pixel], float]] = {
    "1": (1, 1, lambda p: _grey(255 * p[0]), 0),
    "L": (1, 255, lambda p: _grey(p[0]), 0),
    "LA": (2, 255, lambda p: _over_white(_grey(p[0]), p[1]), 0.51),
    "La": (2, 255, lambda p: _grey(min(255, p[0] + 255 - p[1])), 0),
    "P": (1, 255, lambda p: tuple(_PALETTE[int(p[0])]), 0),
    "PA": (2, 255, lambda p: _over_white(tuple(_PALETTE[int(p[0])]), p[1]), 0.51),
    "RGB": (3, 255, lambda p: p, 0),
    "RGBA": (4, 255, lambda p: _over_white(p[:3], p[3]), 0.51),
    "RGBa": (4, 255, lambda p: tuple(min(255, part + 255 - p[3]) for part in p[:3]), 0),
    "RGBX": (4, 255, lambda p: p[:3], 0),
    "CMYK": (4, 255, _cmyk, 1),
    "YCbCr": (3, 255, _ycbcr, 1.5),
    "HSV": (3, 255, _hsv, 3),
    "LAB": (1, 255, _lightness, 2),
    "I;16": (1, 65535, lambda p: _grey(p[0] / 257), 0.51),
    "I;16B": (1, 65535, lambda p: _grey(p[0] / 257), 0.51),
    "I;16L": (1, 65535, lambda p: _grey(p[0] / 257), 0.51),
    "I;16N": (1, 65535, lambda p: _grey(p[0] / 257), 0.51),
    "I": (1, 65535, lambda p: _grey(p[0] / 257), 0.51),
    "F": (1, 255, lambda p: _grey(p[0]), 0.51),
}
# Formats that keep a mode's samples as they are.
_HOLDS = {
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "TIFF": ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I", "I;16", "I;16B", "F"),
    "WEBP": ("RGB", "RGBA"),
    "BMP": ("1", "L", "P", "RGB"),
    "GIF": ("P",),
}
_OPTIONS = {"WEBP": {"lossless": True, "exact": True}}
# Where in the stored picture (row, column; height, width) the upright pixel (y, x) comes from.
_FROM: dict[int, Callable[[int, int, int, int], tuple[int, int]]] = {
    1: lambda y, x, h, w: (y, x),
    2: lambda y, x, h, w: (y, w - 1 - x),
    3: lambda y, x, h, w: (h - 1 - y, w - 1 - x),
    4: lambda y, x, h, w: (h - 1 - y, x),
    5: lambda y, x, h, w: (x, y),
    6: lambda y, x, h, w: (h - 1 - x, y),
    7: lambda y, x, h, w: (h - 1 - x, w - 1 - y),
    8: lambda y, x, h, w: (x, w - 1 - y),
}


def picture_of_any_mode(folder: Path, mutator: Mutator) -> None:
    """A picture of random samples, written in a format that holds its mode where there is one, turned and read."""
    random = mutator.random
    mode = random.choice(list(MODES))
    count, top, seen, tolerance = MODES[mode]
    height, width = random.randint(1, 5), random.randint(1, 5)
    edge = (0, top, top // 2)
    samples = [
        [
            tuple(random.choice((*edge, random.randint(0, top), random.randint(0, top))) for _ in range(count))
            for _ in range(width)
        ]
        for _ in range(height)
    ]
    if mode == "F":
        samples[0][0] = (255,)  # else a picture of 0 and 1 would be one of the range 0 to 1
    image = _image(mode, samples)
    wanted = [[seen(pixel) for pixel in row] for row in samples]
    formats = [name for name, modes in _HOLDS.items() if mode in modes]
    if not formats or random.random() < 0.2:
        _compare(to_rgb(image), wanted, tolerance, mode)
        return
    kind, turn = random.choice(formats), random.randint(1, 8)
    turn = 1 if kind in ("BMP", "GIF") else turn
    exif = Image.Exif()
    exif[0x0112] = turn
    options = {**_OPTIONS.get(kind, {}), **({"exif": exif} if kind not in ("BMP", "GIF") else {})}
    if mode == "P" and kind == "PNG" and random.random() < 0.7:
        options["transparency"], wanted = _transparent(random, samples)
    path = folder / f"picture.{random.choice(('jpg', 'png', 'tif', 'x'))}"
    image.save(path, kind, **options)
    upright = _turned(wanted, turn)
    _compare(thumbnail(path, len(upright)), upright, max(tolerance, 0.51), f"{mode} as {kind}, orientation {turn}")


def _image(mode: str, samples: list[list[tuple[int, ...]]]) -> Image.Image:
    image = Image.new(mode, (len(samples[0]), len(samples)))
    if mode[0] == "P":
        image.putpalette([part for colour in _PALETTE for part in colour])
    for y, row in enumerate(samples):
        for x, pixel in enumerate(row):
            value = (pixel[0], 128, 128) if mode == "LAB" else pixel
            image.putpixel((x, y), value if len(value) > 1 else value[0])
    return image


def _transparent(random: Random, samples: list[list[tuple[int, ...]]]) -> tuple[int | bytes, list[list[Pixel]]]:
    """One transparent entry of the palette, or an alpha for each of the first entries; and what is seen then."""
    key = random.choice([pixel[0] for row in samples for pixel in row])
    table = bytes(random.randrange(256) for _ in range(256))
    chosen = random.choice((key, table))

    def alpha(entry: int) -> int:
        return chosen[entry] if isinstance(chosen, bytes) else 255 * (entry != chosen)

    return chosen, [[_over_white(tuple(_PALETTE[p[0]]), alpha(p[0])) for p in row] for row in samples]


def _turned(pixels: list[list[Pixel]], turn: int) -> list[list[Pixel]]:
    height, width = len(pixels), len(pixels[0])
    rows, columns = (width, height) if turn > 4 else (height, width)
    places = [[_FROM[turn](y, x, height, width) for x in range(columns)] for y in range(rows)]
    return [[pixels[row][column] for row, column in line] for line in places]


def _compare(image: Image.Image, wanted: list[list[Pixel]], tolerance: float, what: str) -> None:
    found = np.asarray(image).astype(float)
    assert image.mode == "RGB" and found.shape == (len(wanted), len(wanted[0]), 3), f"{what}: {found.shape}"
    assert np.abs(found - np.array(wanted)).max() <= tolerance, f"{what}: {found.tolist()}, not {wanted}"


# --- folders ----------------------------------------------------------------------------------------------------------


def linked_folders(folder: Path, mutator: Mutator) -> None:
    """A tree with links has the fingerprint of the same tree without; other bytes, or a loop, are noticed."""
    top = folder / "trees"
    try:
        _linked_folders(top, mutator.random)
    finally:
        _remove(top)


def _linked_folders(top: Path, random: Random) -> None:
    files = {
        f"{random.choice(('a', 'b', 'a/c', 'b/c/d'))}/{n}.bmp": random.randbytes(3) for n in range(random.randint(1, 6))
    }
    for name, content in files.items():
        _write(top / "plain" / name, content)
    _assemble(top, top / "linked", files, random)
    before = _print(top / "linked")
    assert before == _print(top / "plain"), f"links change what {files} are"
    path = top / "linked" / random.choice(list(files))
    content, status = path.read_bytes(), path.stat()
    path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert _print(top / "linked") != before, f"other bytes in {path} are not seen"
    path.write_bytes(content)
    places = sorted({(top / "linked" / name).parent for name in files})
    _clutter(random.choice([top / "linked", *places]), random)
    assert _print(top / "linked") == before
    place = random.choice(places)
    (place / "loop").symlink_to(random.choice([place, *[p for p in place.parents if p.is_relative_to(top / "linked")]]))
    with pytest.raises(DataError, match="must not lead back"):
        _print(top / "linked")


def _assemble(top: Path, target: Path, files: dict[str, bytes], random: Random) -> None:
    """The tree below `target`, each part of it a copy or a link (over one or two hops) into `top/store`."""
    target.mkdir(parents=True)
    for name in sorted({path.split("/")[0] for path in files}):
        inner = {path.partition("/")[2]: content for path, content in files.items() if path.split("/")[0] == name}
        store = top / "store" / f"{len(os.listdir(top))}{random.random()}"
        match random.choice(("deeper", "link", "hops") if "" not in inner else ("copy", "link", "hops", "hard")):
            case "deeper":
                _assemble(top, target / name, inner, random)
                continue
            case "copy":
                _write(target / name, inner[""])
                continue
            case how:
                for path, content in inner.items():
                    _write(store / path if path else store, content)
                if how == "hard":
                    os.link(store, target / name)
                    continue
                if how == "hops":
                    (hop := store.with_name(f"{store.name} hop")).symlink_to(store)
                    store = hop
                (target / name).symlink_to(store)


def _clutter(place: Path, random: Random) -> None:
    """What is no data: hidden files, empty folders, links to nothing, pipes."""
    match random.randrange(5):
        case 0:
            _write(place / ".hidden" / "x.bmp", b"x")
        case 1:
            (place / "empty" / "empty").mkdir(parents=True)
        case 2:
            (place / "nowhere").symlink_to(place / "none")
        case 3:
            (place / "itself").symlink_to(place / "itself")
        case 4:
            os.mkfifo(place / "pipe")


def _print(folder: Path) -> str:
    return content_fingerprint(folder, folder.parent / "cache")


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _remove(top: Path) -> None:
    for path in _bottom_up(top):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()


def _bottom_up(top: Path) -> Iterator[Path]:
    if top.is_dir() and not top.is_symlink():
        for path in sorted(top.iterdir()):
            yield from _bottom_up(path)
    if os.path.lexists(top):
        yield top


# --- tables -----------------------------------------------------------------------------------------------------------


def write_tables(folder: Path) -> None:
    """A table of each task, two as CSV and two as JSON lines."""
    Image.new("RGB", (8, 6), "red").save(folder / "a.png")
    rows = [("train", "one"), ("dev", "two"), ("test", 'a "third", one')]
    quoted = [(split, text.replace('"', '""')) for split, text in rows]
    head = "picture,text,answer,split\n"
    (folder / "vqa.csv").write_text(head + "".join(f'a.png,"{text}",yes,{split}\n' for split, text in quoted))
    (folder / "coco.csv").write_text(head + "".join(f'a.png,,"{text}",{split}\n' for split, text in quoted))
    plain = [f'{{"picture": "a.png", "picture2": "a.png", "text": "x", "split": "{split}", ' for split, _ in rows]
    (folder / "snli_ve.jsonl").write_text("".join(f'{line}"answer": "neutral"}}\n' for line in plain))
    (folder / "nlvr2.jsonl").write_text("".join(f'{line}"answer": true}}\n' for line in plain))


def read_tables(folder: Path, _: Mutator) -> None:
    """Whatever was spoiled, what is read lies in the folder, and each other record is told in one line."""
    for task in ("vqa", "coco", "snli_ve", "nlvr2"):
        for split in SPLITS:
            found = read(task, folder, split, strict=False)
            assert all(path.resolve().is_relative_to(folder.resolve()) for e in found.examples for path in e.images)
            assert all("\n" not in reason for reason in found.skipped)
