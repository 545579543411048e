"""Picture files: decoded once, refused by name when broken, huge or no picture at all."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from folders import picture
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from optima_lab.data import pictures
from optima_lab.data.pictures import decode, decode_all
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


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "1", "I;16"])
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("x.jpg" if mode == "CMYK" else "x.png")
    Image.new(mode, (9, 9)).save(path)
    assert decode(path, 4).shape == (4, 4, 3)


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
    with pytest.raises(DataError, match=r"a\.png cannot be written: "):
        decode_all([tmp_path / "a.png"], 4, True, tmp_path / "a.png")
