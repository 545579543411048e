"""Spoiled input ends in our own error or in a counted skip: 2,000 cases here, 20,000 by `make fuzz`.

No crash of another kind, no hang, no hoarded memory, no file touched outside the folder, nothing run. A case is known
by its target and number; FUZZ sets how many there are, FUZZ_SEED which ones.
"""

import os
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path

import guard
import pytest
from fuzz_targets import TARGETS, Target, nothing
from guard import GROWTH_BYTES, PEAK_BYTES, Hang, peak_bytes, resident_bytes, watched
from mutations import Mutator, remove

from optima_lab.errors import OptimaError

CASES = int(os.environ.get("FUZZ", "2000"))
SEED = os.environ.get("FUZZ_SEED", "0")
EACH = -(-CASES // len(TARGETS))


@pytest.mark.parametrize("name", TARGETS)
def test_spoiled_input_is_refused_or_harmless(name: str, tmp_path: Path) -> None:
    target, folder, outside = TARGETS[name], tmp_path / "inside", tmp_path / "outside"
    folder.mkdir()
    outside.mkdir()
    (outside / "secret.txt").write_text('{"secret": 1}\n')
    target.prepare(folder)
    before = {path: path.stat().st_mtime_ns for path in outside.rglob("*")}
    valid = Valid(folder)
    memory: list[int] = []
    peak = peak_bytes()
    for number in range(EACH):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            one_case(target, valid, outside, name, number)
        memory += [resident_bytes()] if number % 20 == 0 else []
    assert {path: path.stat().st_mtime_ns for path in outside.rglob("*")} == before
    assert memory[-1] - memory[len(memory) // 5] < GROWTH_BYTES, "memory grows from case to case"
    assert peak_bytes() - peak < PEAK_BYTES, "one case takes too much memory"


class Valid:
    """A folder's files as they were, to be put back after every case."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.content = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        self.marks = {path: mark(path) for path in self.content}

    def restore(self) -> None:
        for path in [path for path in self.folder.rglob("*") if path not in self.content and not path.is_dir()]:
            remove(path)
        for path in [path for path, known in self.marks.items() if mark(path) != known]:
            remove(path)
            path.write_bytes(self.content[path])
            self.marks[path] = mark(path)


def mark(path: Path) -> tuple[int, ...]:
    """Something else for a file that was written, replaced or removed."""
    if not os.path.lexists(path):
        return ()
    known = path.lstat()
    return known.st_mtime_ns, known.st_size, known.st_ino, known.st_mode


def one_case(target: Target, valid: Valid, outside: Path, name: str, number: int) -> None:
    """Spoil a file or two, call, and put everything back."""
    mutator = Mutator(f"{SEED} {name} {number}")
    files = sorted(path for path in valid.folder.glob(target.files) if path.is_file())
    for path in mutator.random.sample(files, min(len(files), mutator.random.choice((1, 1, 2)))):
        mutator.spoil(path, outside)
    try:
        with watched(valid.folder):
            target.call(valid.folder, mutator)
    except OptimaError as error:
        assert "\n" not in str(error), f"{name}, case {number}: more than one line: {error}"
    except (Exception, Hang) as error:
        raise AssertionError(f"{name}, case {number}: {type(error).__name__}: {str(error)[:300]}") from error
    finally:
        valid.restore()


# --- does it look? ----------------------------------------------------------------------------------------------------

HELD: list[bytes] = []


def _compute_for_ever() -> None:
    while True:
        pass


def _wait_for_ever(pipe: Path) -> None:
    os.mkfifo(pipe)
    pipe.read_text()


@pytest.mark.parametrize(
    ("does", "told"),
    [
        (lambda folder: (folder / "../outside/new").write_text("x"), r"left its folder: open .*outside/new"),
        (lambda folder: (folder / "../outside/secret.txt").unlink(), r"left its folder: os\.remove .*secret"),
        (lambda folder: (folder / "../outside/secret.txt").read_text(), r"left its folder: read .*secret"),
        (lambda folder: Path("/etc/passwd").read_bytes(), r"left its folder: read /etc/passwd"),
        (lambda folder: os.system("true"), r"left its folder: os\.system"),
        (lambda folder: pickle.loads(b"cos\nsystem\n."), r"left its folder: pickle\.find_class"),
        (lambda folder: _compute_for_ever(), r"case 0: Hang: computes or waits longer than"),
        (lambda folder: _wait_for_ever(folder / "pipe"), r"case 0: Hang: computes or waits longer than"),
        (lambda folder: {}["key"], r"case 0: KeyError"),
        (lambda folder: HELD.append(b"x" * (8 << 20)), r"memory grows from case to case"),
    ],
)
def test_what_input_must_not_do_is_seen(
    does: Callable[[Path], object], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TARGETS, "bad", Target(nothing, lambda folder, _: does(folder)))
    monkeypatch.setitem(globals(), "EACH", 120)
    monkeypatch.setattr(guard, "LIMIT_SECONDS", 0.1)
    try:
        with pytest.raises(AssertionError, match=told):
            test_spoiled_input_is_refused_or_harmless("bad", tmp_path)
    finally:
        HELD.clear()
