"""Every mode that Pillow gives: range, alpha and orientation by values worked out by hand."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from optima_lab.data.images import decode, thumbnail
from optima_lab.data.pixels import to_rgb, upright_rgb
from optima_lab.errors import DataError

# α c + (1 − α) 255 with α = 51/255 = 1/5: 100 → 224, 50 → 214, 0 → 204, 200 → 244.
ONE_PIXEL = [
    ("1", 1, (255, 255, 255)),
    ("1", 0, (0, 0, 0)),
    ("L", 77, (77, 77, 77)),
    ("LA", (100, 51), (224, 224, 224)),
    ("LA", (0, 0), (255, 255, 255)),
    ("La", (20, 51), (224, 224, 224)),  # premultiplied: 20 = 100 / 5
    ("RGB", (1, 2, 3), (1, 2, 3)),
    ("RGBA", (100, 50, 0, 51), (224, 214, 204)),
    ("RGBA", (9, 9, 9, 255), (9, 9, 9)),
    ("RGBa", (20, 10, 0, 51), (224, 214, 204)),
    ("RGBX", (10, 20, 30, 0), (10, 20, 30)),  # X says nothing
    ("CMYK", (0, 0, 0, 0), (255, 255, 255)),
    ("CMYK", (255, 0, 0, 0), (0, 255, 255)),
    ("CMYK", (0, 0, 0, 204), (51, 51, 51)),
    ("YCbCr", (128, 128, 128), (128, 128, 128)),
    ("YCbCr", (76, 85, 255), (254, 0, 0)),  # red; its rounded components lose one
    ("HSV", (0, 255, 255), (255, 0, 0)),
    ("HSV", (170, 255, 255), (0, 0, 255)),
    ("HSV", (99, 0, 40), (40, 40, 40)),
    ("LAB", (128, 128, 128), (119, 119, 119)),  # L* = 50.2, Y = 0.186
    ("I;16", 30000, (117, 117, 117)),
    ("I;16B", 30000, (117, 117, 117)),
    ("I;16L", 30000, (117, 117, 117)),
    ("I;16N", 30000, (117, 117, 117)),
    ("I;16", 65535, (255, 255, 255)),
    ("I;16", 255, (1, 1, 1)),  # 255 / 257
    ("I", 30000, (117, 117, 117)),
    ("F", 0.2, (51, 51, 51)),
    ("F", 1.0, (255, 255, 255)),
    ("F", 117.0, (117, 117, 117)),
]


@pytest.mark.parametrize(("mode", "value", "wanted"), ONE_PIXEL)
def test_a_pixel_of_every_mode(mode: str, value: object, wanted: tuple[int, ...]) -> None:
    image = Image.new(mode, (2, 2))
    for place in ((0, 0), (1, 0), (0, 1), (1, 1)):
        image.putpixel(place, value)  # type: ignore[arg-type]
    assert to_rgb(image).mode == "RGB"
    assert to_rgb(image).getpixel((1, 0)) == wanted


def test_no_mode_of_pillow_is_left_out() -> None:
    assert {mode for mode, *_ in ONE_PIXEL} | {"P", "PA"} == set(Image.MODES)


@pytest.mark.parametrize(
    ("transparency", "wanted"),
    [
        (None, [(10, 20, 30), (0, 0, 0)]),
        (1, [(10, 20, 30), (255, 255, 255)]),
        (b"\x33", [(206, 208, 210), (0, 0, 0)]),  # a fifth of the first colour; the second has no entry: opaque
        (b"\xff\x00", [(10, 20, 30), (255, 255, 255)]),
    ],
)
def test_a_palette_with_and_without_transparency(
    tmp_path: Path, transparency: int | bytes | None, wanted: list
) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 0, 0, 0])
    image.putpixel((1, 0), 1)
    image.save(tmp_path / "p.png", transparency=transparency)
    with Image.open(tmp_path / "p.png") as found:
        assert found.mode == "P"
        seen = upright_rgb(found)
    assert [seen.getpixel((x, 0)) for x in (0, 1)] == wanted
    with_alpha = Image.new("PA", (1, 1))
    with_alpha.putpalette([10, 20, 30])
    with_alpha.putpixel((0, 0), (0, 51))
    assert to_rgb(with_alpha).getpixel((0, 0)) == (206, 208, 210)


def png(path: Path, depth: int, kind: int, row: bytes, width: int, key: bytes = b"") -> Path:
    """A PNG of one row as the specification has it, so that also what Pillow does not write is read."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, 1, depth, kind, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(b"\0" + row)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + (chunk(b"tRNS", key) if key else b"") + body)
    return path


@pytest.mark.parametrize(
    ("depth", "kind", "row", "key", "wanted"),
    [
        (1, 0, b"\x40", b"", [(0, 0, 0), (255, 255, 255)]),
        (1, 0, b"\x40", b"\0\0", [(255, 255, 255), (255, 255, 255)]),  # black is transparent
        (2, 0, b"\x60", b"\0\2", [(85, 85, 85), (255, 255, 255)]),  # samples 1 and 2 of 0..3; 2 is transparent
        (4, 0, b"\x3c", b"\0\3", [(255, 255, 255), (204, 204, 204)]),  # 3 is transparent, 12 is 204
        (8, 0, b"\x10\x20", b"\0\x10", [(255, 255, 255), (32, 32, 32)]),
        (16, 0, b"\x75\x30\xff\xff", b"", [(117, 117, 117), (255, 255, 255)]),
        (16, 0, b"\x75\x30\x75\x31", b"\x75\x30", [(255, 255, 255), (117, 117, 117)]),
        (8, 2, b"\1\2\3\1\2\4", b"\0\1\0\2\0\3", [(255, 255, 255), (1, 2, 4)]),
        (16, 2, b"\x75\x30\0\0\0\0\xff\xff\0\0\0\0", b"\xff\xff\0\0\0\0", [(117, 0, 0), (255, 255, 255)]),
        (16, 4, b"\x75\x30\xff\xff\0\0\0\0", b"", [(117, 117, 117), (255, 255, 255)]),
        (16, 6, b"\x75\x30\0\0\0\0\xff\xff\0\0\0\0\0\0\x33\x33", b"", [(117, 0, 0), (204, 204, 204)]),
    ],
)
def test_every_depth_of_png_and_its_transparent_colour(
    tmp_path: Path, depth: int, kind: int, row: bytes, key: bytes, wanted: list
) -> None:
    path = png(tmp_path / "a.png", depth, kind, row, 2, key)
    with Image.open(path) as image:
        seen = upright_rgb(image)
    assert [seen.getpixel((x, 0)) for x in (0, 1)] == wanted
    small = thumbnail(path, 1)
    assert [small.getpixel((x, 0)) for x in (0, 1)] == wanted


def tiff(path: Path, photometric: int, bits: int, data: bytes, sample_format: int = 1) -> Path:
    """An uncompressed little-endian TIFF of two pixels, one sample each."""
    tags = [(256, 2), (257, 1), (258, bits), (259, 1), (262, photometric), (273, 8), (277, 1), (278, 1)]
    tags += [(279, len(data)), (339, sample_format)]
    body = data + b"\0" * (len(data) % 2)
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    path.write_bytes(
        b"II*\0" + struct.pack("<I", 8 + len(body)) + body + struct.pack("<H", len(tags)) + entries + b"\0" * 4
    )
    return path


@pytest.mark.parametrize(
    ("photometric", "bits", "data", "sample_format", "wanted"),
    [
        (1, 8, b"\x10\xff", 1, [16, 255]),
        (0, 8, b"\x10\xff", 1, [239, 0]),  # white is zero
        (1, 16, struct.pack("<HH", 30000, 65535), 1, [117, 255]),
        (0, 16, struct.pack("<HH", 30000, 65535), 1, [138, 0]),
        (1, 12, b"\x80\x0f\xff", 1, [128, 255]),  # 0x800 of 0xfff: 127.53
        (1, 32, struct.pack("<ii", 30000, 65535), 2, [117, 255]),
        (1, 32, struct.pack("<ff", 0.2, 1), 3, [51, 255]),
        (1, 32, struct.pack("<ff", 51, 255), 3, [51, 255]),
    ],
)
def test_every_depth_of_tiff(
    tmp_path: Path, photometric: int, bits: int, data: bytes, sample_format: int, wanted: list
) -> None:
    path = tiff(tmp_path / "a.jpg", photometric, bits, data, sample_format)
    with Image.open(path) as image:
        assert np.asarray(upright_rgb(image))[0].tolist() == [[value] * 3 for value in wanted]


@pytest.mark.parametrize(
    ("mode", "values", "told"),
    [
        ("I", [0, 70000], "numbers from 0 to 70000 where 0 to 65535 are read"),
        ("I", [-3, 9], "numbers from -3 to 9 where 0 to 65535 are read"),
        ("F", [-0.5, 1], "numbers from -0.5 to 1 where 0 to 1 are read"),
        ("F", [0, 1e9], r"numbers from 0 to 1e\+09 where 0 to 255 are read"),
        ("F", [float("nan"), 1], "numbers from nan to nan where 0 to 255 are read"),
    ],
)
def test_numbers_out_of_range_are_refused(tmp_path: Path, mode: str, values: list, told: str) -> None:
    kind = np.int32 if mode == "I" else np.float32
    Image.fromarray(np.array([values], kind)).save(tmp_path / "a.tiff")
    with pytest.raises(DataError, match=rf"a\.tiff: must be a whole picture; got '?{told}"):
        decode(tmp_path / "a.tiff", 2)


# The picture [[1, 2, 3], [4, 5, 6]] (times 40), as stored; how it stands upright for every orientation of EXIF.
STORED = np.arange(1, 7, dtype=np.uint8).reshape(2, 3) * 40
UPRIGHT = {
    1: [[1, 2, 3], [4, 5, 6]],
    2: [[3, 2, 1], [6, 5, 4]],
    3: [[6, 5, 4], [3, 2, 1]],
    4: [[4, 5, 6], [1, 2, 3]],
    5: [[1, 4], [2, 5], [3, 6]],
    6: [[4, 1], [5, 2], [6, 3]],
    7: [[6, 3], [5, 2], [4, 1]],
    8: [[3, 6], [2, 5], [1, 4]],
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("JPEG", {"quality": 100}),
    ],
)
def test_pictures_stand_upright(tmp_path: Path, orientation: int, kind: str, options: dict) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    large = np.kron(STORED, np.ones((8, 8), np.uint8))  # JPEG's blocks are 8 pixels wide
    path = tmp_path / "a.png"
    Image.fromarray(large).convert("RGB").save(path, kind, exif=exif, **options)
    wanted = np.array(UPRIGHT[orientation]) * 40
    small = thumbnail(path, 8 * len(wanted))
    assert small.size == (8 * len(wanted[0]), 8 * len(wanted))
    assert np.abs(np.asarray(small)[::8, ::8, 0].astype(int) - wanted).max() <= (2 if kind == "JPEG" else 0)
    square = decode(path, 24)[..., 0].astype(int)
    corners = [square[0, 0], square[0, -1], square[-1, 0], square[-1, -1]]
    known = [wanted[0, 0], wanted[0, -1], wanted[-1, 0], wanted[-1, -1]]
    assert np.abs(np.array(corners) - known).max() <= 8  # the bicubic kernel overshoots at edges


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("mode", ["L", "RGBA", "CMYK", "I;16"])
def test_a_turned_tiff_that_pillow_would_map_into_memory(tmp_path: Path, mode: str, orientation: int) -> None:
    """Opened by its name, Pillow 13 confuses the rows of these; RGB is not mapped."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = (
        Image.fromarray(STORED.astype(np.uint16) * 257) if mode == "I;16" else Image.fromarray(STORED).convert(mode)
    )
    stored.save(tmp_path / "a.tif", exif=exif)
    wanted = np.array(UPRIGHT[orientation]) * 40
    assert np.asarray(thumbnail(tmp_path / "a.tif", len(wanted)))[..., 0].tolist() == wanted.tolist()


@pytest.mark.parametrize("given", [0, 9, 65535])
def test_another_orientation_is_none(tmp_path: Path, given: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = given
    Image.fromarray(STORED).save(tmp_path / "a.png", exif=exif)
    assert np.asarray(thumbnail(tmp_path / "a.png", 2))[..., 0].tolist() == STORED.tolist()


def test_damaged_exif_spoils_no_picture(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(STORED).save(buffer, "PNG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01\x12")
    (tmp_path / "a.png").write_bytes(buffer.getvalue())
    assert np.asarray(thumbnail(tmp_path / "a.png", 2))[..., 0].tolist() == STORED.tolist()
