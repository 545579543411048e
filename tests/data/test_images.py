"""Picture files: decoded once, refused by name when broken, huge or no picture at all."""

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from folders import picture
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from optima_lab.data import images as pictures
from optima_lab.data.images import decode, decode_all, thumbnail
from optima_lab.errors import DataError


def bomb(path: Path, width: int, height: int) -> Path:
    """A PNG of a hundred bytes whose header claims a huge picture."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")))
    return path


def test_a_picture_is_resized_to_a_square_of_bytes(tmp_path: Path) -> None:
    picture(tmp_path / "grey.png", 77)
    array = decode(tmp_path / "grey.png", 5)
    assert array.shape == (5, 5, 3) and array.dtype == np.uint8 and (array == 77).all()


@pytest.mark.parametrize("kind", pictures.FORMATS)
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a", "a.txt"])
def test_every_format_is_read_whatever_the_name(tmp_path: Path, kind: str, name: str) -> None:
    colours = Image.new("RGB", (16, 16), (200, 40, 60))
    colours.save(tmp_path / name, kind, **({"lossless": True} if kind == "WEBP" else {}))
    seen = decode(tmp_path / name, 4).astype(int)
    assert np.abs(seen - (200, 40, 60)).max() <= (2 if kind == "JPEG" else 0)
    assert np.abs(np.asarray(thumbnail(tmp_path / name, 8)).astype(int) - (200, 40, 60)).max() <= 2


def _saved(kind: str, mode: str = "RGB") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (16, 16)).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (_saved("AVIF"), "an AVIF picture"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "a HEIC picture"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0", "a film or a picture of another kind"),
        (_saved("JPEG2000"), "a JPEG 2000 picture"),
        (_saved("EPS"), "a PostScript file"),
        (b"%PDF-1.4\n", "a PDF file"),
        (b"\n <svg xmlns=''/>", "an SVG drawing"),
        (b"\xef\xbb\xbf<!DOCTYPE HTML><p>404", "an HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a pointer of Git LFS"),
        (_saved("PPM"), "a file that begins with b'P6"),
        (_saved("ICO", "RGBA"), "a file that begins with "),
        (b"\x1b]0;x\x07", "a file that begins with b'\\x1b]0;x"),
    ],
)
def test_what_is_not_read_is_named_with_what_is(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(DataError) as caught:
        decode(tmp_path / "a.jpg", 8)
    assert f"a.jpg: must be a whole picture; got {told}" in str(caught.value)
    assert str(caught.value).endswith(", but what is read is JPEG, PNG, GIF, BMP, WEBP or TIFF")


def test_what_is_no_whole_picture_is_refused_by_name(tmp_path: Path) -> None:
    picture(tmp_path / "whole.jpg")
    content = (tmp_path / "whole.jpg").read_bytes()
    cases = {
        "cut.jpg": content[: len(content) // 2],
        "empty.jpg": b"",
        "text.jpg": b"no picture",
        "tail.jpg": content[-50:],
    }
    for name, bytes_ in cases.items():
        (tmp_path / name).write_bytes(bytes_)
        with pytest.raises(DataError, match=rf"{name}: must be a whole picture; got "):
            decode(tmp_path / name, 8)
    with pytest.raises(DataError, match=r"none\.jpg: must be a whole picture; got no such file"):
        decode(tmp_path / "none.jpg", 8)


@pytest.mark.parametrize("size", [(9000, 9000), (12_000, 12_000), (50_000, 50_000)])
def test_a_huge_picture_is_refused_by_its_header(tmp_path: Path, size: tuple[int, int]) -> None:
    path = bomb(tmp_path / "bomb.png", *size)
    with pytest.raises(DataError, match=r"bomb\.png: a picture must have at most 64,000,000 pixels"):
        decode_all([path], 8, strict=True, cache=None)


def test_bad_pictures_are_counted_when_not_strict(tmp_path: Path) -> None:
    for name in "abc":
        picture(tmp_path / f"{name}.png", 10 * ord(name) - 900)
    (tmp_path / "b.png").write_bytes(b"broken")
    paths = [tmp_path / f"{name}.png" for name in "abc"]
    with pytest.raises(DataError, match=r"b\.png"):
        decode_all(paths, 4, strict=True, cache=None)
    for cache in (None, tmp_path / "cache", tmp_path / "cache"):
        images, problems = decode_all(paths, 4, strict=False, cache=cache)
        assert images[:, 0, 0, 0].tolist() == [70, 0, 90]
        assert list(problems) == [1] and "b.png" in problems[1]
    with pytest.raises(DataError, match=r"b\.png"):
        decode_all(paths, 4, strict=True, cache=tmp_path / "cache")


def test_the_cache_follows_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture(tmp_path / "a.png", 10)
    cache = tmp_path / "cache"
    assert decode_all([tmp_path / "a.png"], 4, True, cache)[0].max() == 10
    with monkeypatch.context() as patch:
        patch.setattr(pictures, "decode", lambda path, size: pytest.fail("decoded twice"))
        assert decode_all([tmp_path / "a.png"], 4, True, cache)[0].max() == 10
    picture(tmp_path / "a.png", 200)
    assert decode_all([tmp_path / "a.png"], 4, True, cache)[0].max() == 200
    assert decode_all([tmp_path / "a.png"], 6, True, cache)[0].shape == (1, 6, 6, 3)
    assert not list(cache.glob("*.part"))


def test_the_cache_follows_content_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other places and times are the same pictures; another order, or the same name, size and times, are not."""
    paths = [tmp_path / "one" / f"{name}.bmp" for name in "abc"]
    for shade, path in zip((10, 20, 30), paths, strict=True):
        picture(path, shade)
        os.utime(path, (1, 1))
    paths[1].write_bytes(b"broken")
    images, problems = decode_all(paths, 4, False, tmp_path / "cache")
    (tmp_path / "one").rename(tmp_path / "two")
    moved = [tmp_path / "two" / path.name for path in paths]
    with monkeypatch.context() as patch:
        patch.setattr(pictures, "decode", lambda path, size: pytest.fail("decoded twice"))
        again, told = decode_all(moved, 4, False, tmp_path / "cache")
    assert (again == images).all() and list(told) == [1]
    assert told[1] == problems[1].replace("/one/", "/two/") != problems[1]
    assert decode_all(moved[::-1], 4, False, tmp_path / "cache")[0][:, 0, 0, 0].tolist() == [30, 0, 10]
    picture(moved[0], 99)
    os.utime(moved[0], (1, 1))
    assert decode_all(moved, 4, False, tmp_path / "cache")[0][:, 0, 0, 0].tolist() == [99, 0, 30]


def test_pictures_cached_in_another_way_are_not_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture(tmp_path / "a.png", 10)
    decode_all([tmp_path / "a.png"], 4, True, tmp_path / "cache")
    (cached,) = (tmp_path / "cache").glob("*.npy")
    cached.write_bytes(cached.read_bytes()[:-48] + b"\xff" * 48)  # as if decoded by older rules
    assert decode_all([tmp_path / "a.png"], 4, True, tmp_path / "cache")[0].max() == 255, "the cache is believed"
    monkeypatch.setattr(pictures, "_CACHE_VERSION", pictures._CACHE_VERSION + 1)
    assert decode_all([tmp_path / "a.png"], 4, True, tmp_path / "cache")[0].max() == 10


@pytest.mark.parametrize("what", ["nothing", "folder", "pipe", "itself"])
def test_what_is_no_file_is_told_and_waited_for_by_nobody(tmp_path: Path, what: str) -> None:
    path = tmp_path / "a.png"
    {
        "nothing": lambda: None,
        "folder": path.mkdir,
        "pipe": lambda: os.mkfifo(path),
        "itself": lambda: path.symlink_to(path),
    }[what]()
    with pytest.raises(DataError, match=r"a\.png: must be a whole picture; got no such file"):
        decode_all([path], 4, True, tmp_path / "cache")
    assert list(decode_all([path], 4, False, tmp_path / "cache")[1]) == [0]


def test_a_large_array_is_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture(tmp_path / "a.png", 10)
    monkeypatch.setattr(pictures, "_IN_MEMORY_BYTES", 10)
    images, _ = decode_all([tmp_path / "a.png"], 4, True, tmp_path / "cache")
    assert isinstance(images, np.memmap) and images.max() == 10


def test_a_strict_failure_leaves_no_half_cache(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"broken")
    with pytest.raises(DataError):
        decode_all([tmp_path / "a.png"], 4, True, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_bytes_raise_nothing_but_data_errors(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / data.draw(st.sampled_from(["x.png", "x.jpg"]))
    picture(path)
    content = bytearray(path.read_bytes())
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=6)):
        content[place] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(1, len(content)))])
    images, problems = decode_all([path], 4, strict=False, cache=None)
    assert images.shape == (1, 4, 4, 3) and all("\n" not in reason for reason in problems.values())


def test_a_damaged_cache_is_made_again(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", 10)
    cache = tmp_path / "cache"
    decode_all([tmp_path / "a.png"], 4, True, cache)
    for damage in (b"", b"\x93NUMPY\x01\x00", b"noise"):
        next(cache.glob("*.npy")).write_bytes(damage)
        assert decode_all([tmp_path / "a.png"], 4, True, cache)[0].max() == 10


def test_a_cache_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", 10)
    with pytest.raises(DataError, match=r"a\.png/pictures-.* cannot be written: "):
        decode_all([tmp_path / "a.png"], 4, True, tmp_path / "a.png")
