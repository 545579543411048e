"""Spoiling valid input, case by case from a seed: bytes, JSON values and whole files.

A mutator of our own and no fuzzing library: its cases are counted exactly and each is known by its number.
"""

import json
import os
import shutil
from pathlib import Path
from random import Random
from typing import Any

NESTED: Any = json.loads("[" * 60 + "]" * 60)
HOSTILE: tuple[Any, ...] = (
    *(None, True, False, -1, 0, 1, 2**31, 2**53 + 1, 10**19, 10**400, -(10**30), 0.5, 1e308, -1e308),
    *(float("nan"), float("inf"), -float("inf"), "", " ", "a", "0", "NaN", "1e999", "9" * 5000, "-1", "²", "١/١/١"),
    *(
        "\x00",
        "\ud800",
        "\u202e",
        "é" * 50,
        "x" * 20_000,
        "\n" * 9,
        "../../outside/secret.txt",
        "/etc/passwd",
        "~",
        ".",
    ),
    *("..", "C:\\x", "%s%n{0}", "<script>alert(1)</script>", "__import__('os').system('touch outside/x')", "{{7*7}}"),
    *([], {}, [None], [[]], {"": {}}, NESTED, ["x"] * 200, list(range(500)), {"__class__": 1}, {"$ref": "#"}),
)
TOKENS = (
    *(b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\xc3", b'"', b"{", b"}", b"[", b"]", b",", b":", b"\\", b"\n", b"\r"),
    *(b"null", b"NaN", b"-Infinity", b"1e999", b"9" * 5000, b"[" * 100_000, b'{"a":' * 20_000, b"\\ud800", b"-"),
    *(b"\x80\x04cos\nsystem\n(S'touch outside/x'\ntR.", b"PK\x03\x04", b"<svg onload=alert(1)>", b"<!DOCTYPE"),
    *(b"\x7f\xff\xff\xff", b"\xff" * 8, b"\x00" * 64, b"%PDF-1.4", b"GIF89a\xff\xff\xff\xff", b"IDAT", b"tEXt"),
)


class Mutator:
    """All random choices of one case."""

    def __init__(self, seed: str) -> None:
        self.random = Random(seed)

    def hostile(self) -> Any:
        """A value that seldom fits."""
        return self.random.choice(HOSTILE)

    def text(self) -> str:
        """A text that seldom fits: hostile, or letters thrown together."""
        value = self.hostile()
        if isinstance(value, str) and self.random.random() < 0.7:
            return value
        letters = "aimgtx0123456789=:,+-_/. \t\n\x00éß²١\u202e"
        return "".join(self.random.choices(letters, k=self.random.randrange(1, 40)))

    def spoiled(self, content: bytes) -> bytes:
        """`content` with one to three changes: as JSON or JSON lines where it is that, else (and often) as bytes."""
        for _ in range(self.random.randrange(1, 4)):
            as_json = self.random.random() < 0.6
            content = (self._json(content) if as_json else None) or self._bytes(content)
        return content

    def _json(self, content: bytes) -> bytes | None:
        lines = content.splitlines()
        whole = len(lines) < 2 or not lines[0].rstrip().endswith(b"}")
        number = 0 if whole else self.random.randrange(len(lines))
        try:
            value = json.loads(content if whole else lines[number])
            new = json.dumps(self.changed(value)).encode()
        except (ValueError, RecursionError):
            return None
        return new if whole else b"\n".join([*lines[:number], new, *lines[number + 1 :]]) + b"\n"

    def changed(self, value: Any) -> Any:
        """The JSON value with one part, at any depth, replaced, removed, renamed or doubled."""
        if not isinstance(value, dict | list) or not value or self.random.random() < 0.1:
            return self.hostile()
        key = self.random.choice(list(value) if isinstance(value, dict) else range(len(value)))
        if self.random.random() < 0.6:
            value[key] = self.changed(value[key])
        elif isinstance(value, list):
            value[key : key + 1] = self.random.choice(([], [value[key]] * 2, [self.hostile(), value[key]]))
        else:
            held = value.pop(key)
            value |= self.random.choice(({}, {str(self.hostile()): held}, {key: held, "more": self.hostile()}))
        return value

    def _bytes(self, content: bytes) -> bytes:
        at, stop = sorted(self.random.randrange(len(content) + 1) for _ in range(2))
        stop = min(stop, at + self.random.choice((1, 4, 64, 4096)))
        match self.random.randrange(7):
            case 0:
                return content[:at]
            case 1:
                return content[:at] + content[stop:]
            case 2:
                return content[:stop] + content[at:]
            case 3:
                return content[:at] + self.random.choice(TOKENS) + content[at:]
            case 4:
                return content[:at] + self.random.choice(TOKENS) + content[stop:]
            case 5:
                return content[:at] + self.random.randbytes(min(64, stop - at)) + content[stop:]
        flipped = bytearray(content)
        for place in self.random.choices(range(len(content)), k=self.random.randrange(1, 9)) if content else ():
            flipped[place] ^= 1 << self.random.randrange(8)
        return bytes(flipped)

    def spoil(self, path: Path, outside: Path) -> None:
        """Spoil a file in place: its content, or now and then what it is at all."""
        if self.random.random() < 0.85:
            path.write_bytes(self.spoiled(path.read_bytes()))
            return
        path.unlink()
        match self.random.randrange(6):
            case 0:
                path.mkdir()
            case 1:
                path.symlink_to(outside / "secret.txt")
            case 2:
                path.symlink_to(path)
            case 3:
                os.mkfifo(path)
            case 4:
                path.write_bytes(b"")


def remove(path: Path) -> None:
    """Whatever stands there."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
    else:
        shutil.rmtree(path)
