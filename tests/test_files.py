"""One way of writing: whole or not at all, side by side with others, and one line where the disk says no."""

import errno
import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from optima_lab import files
from optima_lab.bandits.policies import save_state
from optima_lab.data.tokenizers import SentencePieceTokenizer
from optima_lab.distill import checkpoint
from optima_lab.errors import ConfigError, DataError, OptimaError, RecordError
from optima_lab.experiments.records import Writer, write_json
from optima_lab.experiments.teachers import save_model
from optima_lab.files import (
    drop_parts,
    expand,
    is_part,
    json_text,
    maker_lives,
    replacing,
    temporary_path,
    write_bytes,
    write_text,
)

ROOT = Path(__file__).parents[1]


def python(code: str, *words: str) -> subprocess.CompletedProcess[str]:
    """What a process of its own says."""
    return subprocess.run([sys.executable, "-c", code, *words], cwd=ROOT, capture_output=True, text=True)


def test_no_two_calls_write_to_one_name(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    with ThreadPoolExecutor(4) as pool:
        names = {*pool.map(lambda _: temporary_path(target), range(200))}
    code = (
        "import sys; from pathlib import Path; from optima_lab.files import temporary_path as t;"
        "print(t(Path(sys.argv[1])))"
    )
    names.add(Path(python(code, str(target)).stdout.strip()))
    assert len(names) == 201
    assert all(name.parent == tmp_path and is_part(name) for name in names)
    assert sum(maker_lives(name) is False for name in names) == 1, "that of the process that ended"


@pytest.mark.parametrize("name", ["a" * 255, "é" * 127, "a" * 200 + ".json", ".hidden"])
def test_long_names_have_parts_too(name: str, tmp_path: Path) -> None:
    assert write_text(tmp_path / name, "x").read_text() == "x"
    assert len(temporary_path(tmp_path / name).name.encode()) <= 255
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize(
    "name",
    ["download.part", "movie.mkv.2.part", "page.html.part", "a.other-12.part", "x.part.json", "my-1-12345678.part.txt"],
)
def test_other_peoples_parts_are_not_ours(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("mine")
    drop_parts(tmp_path)
    assert not is_part(tmp_path / name) and (tmp_path / name).read_text() == "mine"


def test_parts_of_processes_that_ended_are_told_from_those_at_work(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from optima_lab.files import temporary_path as t;"
        "t(Path(sys.argv[1])).write_text('half')"
    )
    python(code, str(tmp_path / "ended"))
    (own := temporary_path(tmp_path / "own")).mkdir()
    (elsewhere := tmp_path / "x.other-machine-1-0123abcd.part").write_text("half")
    drop_parts(tmp_path, abandoned=True)
    assert sorted(tmp_path.iterdir()) == sorted([own, elsewhere])
    drop_parts(tmp_path)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("durable", [False, True])
def test_a_failed_block_leaves_the_old_content_and_nothing_else(durable: bool, tmp_path: Path) -> None:
    write_bytes(tmp_path / "a", b"old", durable=durable)
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "a", durable=durable) as part:
        part.write_bytes(b"half")
        raise ZeroDivisionError
    with pytest.raises(KeyboardInterrupt), replacing(tmp_path / "folder") as part:
        (part / "deep").mkdir(parents=True)
        (part / "deep" / "file").write_text("half")
        raise KeyboardInterrupt
    assert (tmp_path / "a").read_bytes() == b"old" and os.listdir(tmp_path) == ["a"]


def test_a_folder_appears_whole(tmp_path: Path) -> None:
    with replacing(tmp_path / "new" / "folder") as part:
        part.mkdir()
        (part / "a").write_text("x")
        assert not (tmp_path / "new" / "folder").exists()
    assert (tmp_path / "new" / "folder" / "a").read_text() == "x" and os.listdir(tmp_path / "new") == ["folder"]


def test_readers_never_see_half_a_file(tmp_path: Path) -> None:
    """Two processes write one file over and over, while this one reads."""
    code = (
        "import sys; from pathlib import Path; from optima_lab.files import write_text\n"
        "for n in range(60): write_text(Path(sys.argv[1]), sys.argv[2] * 50_000)"
    )
    target = tmp_path / "a"
    both = [subprocess.Popen([sys.executable, "-c", code, str(target), letter], cwd=ROOT) for letter in "ab"]
    seen = set()
    while any(each.poll() is None for each in both):
        if target.exists():
            seen.add(target.read_text())
    assert [each.returncode for each in both] == [0, 0]
    assert seen <= {"a" * 50_000, "b" * 50_000} and os.listdir(tmp_path) == ["a"]


FULL = f"{os.strerror(errno.EFBIG)}; free some space, then run the same command again"
LIMITED = """
import resource, signal, sys
from pathlib import Path
import numpy as np, torch
from optima_lab.bandits.policies import save_state
from optima_lab.distill import checkpoint as resume
from optima_lab.errors import OptimaError
from optima_lab.experiments.records import write_json
from optima_lab.experiments.teachers import save_model
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
folder, model = Path(sys.argv[1]), torch.nn.Linear(100, 100)
resume.EVERY_SECONDS = -1.0
for write in (
    lambda: write_json(folder / "a.json", ["x" * 30_000]),
    lambda: save_state(folder / "state.npz", {"a": np.ones(10_000)}),
    lambda: save_model(model, folder / "model.safetensors"),
    lambda: resume.Checkpointer(folder / "resume.pt").keep(1, {"model": model}),
):
    try:
        write()
    except OptimaError as error:
        print(type(error).__name__, error)
"""


def test_a_full_disk_is_one_line_each_and_leaves_nothing(tmp_path: Path) -> None:
    """The system's own limit of a file's size stands for the end of the disk: every writer meets it for real."""
    done = python(LIMITED, str(tmp_path))
    lines = done.stdout.splitlines()
    assert done.stderr == ""
    assert lines[0] == f"RecordError {tmp_path / 'a.json'} cannot be written: {FULL}"
    assert lines[1] == f"RecordError {tmp_path / 'state.npz'} cannot be written: {FULL}"
    assert re.match(rf"RecordError {tmp_path}/model\.safetensors cannot be written: .*File too large", lines[2])
    assert re.match(rf"RecordError {tmp_path}/resume\.pt cannot be written: ", lines[3])
    assert len(lines) == 4 and os.listdir(tmp_path) == []


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077])
def test_who_may_read_what_is_written_is_as_the_user_has_it(
    umask: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a folder that several people share, students and teachers are read by all whom the others' files let."""
    model, before = nn.Linear(2, 2), os.umask(umask)
    try:
        write_json(tmp_path / "a.json", [1])
        save_state(tmp_path / "state.npz", {"a": np.ones(2)})
        save_model(model, tmp_path / "model.safetensors")
        monkeypatch.setattr(checkpoint, "EVERY_SECONDS", -1.0)
        checkpoint.Checkpointer(tmp_path / "resume.pt").keep(1, {"model": model})
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == dict.fromkeys(["a.json", "state.npz", "model.safetensors", "resume.pt"], 0o666 & ~umask)


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (errno.ENOSPC, "No space left on device; free some space, then run the same command again"),
        (errno.EDQUOT, "Disk quota exceeded; free some space, then run the same command again"),
        (errno.EACCES, "Permission denied"),
        (errno.EROFS, "Read-only file system"),
    ],
)
@pytest.mark.parametrize("error", [RecordError, DataError])
def test_what_the_system_says_is_one_line(
    number: int, told: str, error: type[OptimaError], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(files.os, "replace", refused)
    with pytest.raises(error) as said:
        write_text(tmp_path / "a", "x", error)
    assert str(said.value) == f"{tmp_path / 'a'} cannot be written: {told}" and os.listdir(tmp_path) == []


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(RecordError, match=rf"file/a\.json cannot be written: .* \({tmp_path}/file\)$"):
        write_json(tmp_path / "file" / "a.json", {})
    with pytest.raises(DataError, match=r"words\.model cannot be written: "):
        SentencePieceTokenizer.train(["a star"] * 5, 60, 12, tmp_path / "file" / "words.model")


# ---- JSON -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (float("nan"), "null"),
        ({"a": [1.5, float("inf"), {"b": -float("inf")}]}, '{"a": [1.5, null, {"b": null}]}'),
        ((1, np.float64("nan")), "[1, null]"),
        ({"e": 1e308, "n": None}, '{"e": 1e+308, "n": null}'),
    ],
)
def test_json_has_no_numbers_that_json_lacks(value: object, text: str) -> None:
    assert json_text(value) == text


def test_records_hold_no_nan(tmp_path: Path) -> None:
    write_json(tmp_path / "about.json", {"teacher": {"score": float("nan")}})
    with Writer(tmp_path / "run", {"strategy": "Img", "scale": float("inf")}) as writer:
        writer.append("evals", [{"step": 1, "value": float("nan")}])

    def strict(name: str) -> object:
        raise AssertionError(name)

    texts = [path.read_text() for path in tmp_path.rglob("*.json*") if path.stat().st_size]
    assert len(texts) == 3
    assert [json.loads(text, parse_constant=strict) for text in texts]


def test_text_that_is_no_unicode_is_written_all_the_same(tmp_path: Path) -> None:
    name = os.fsdecode(b"data-\xff")
    write_json(tmp_path / "a.json", {"data": name})
    assert json.loads((tmp_path / "a.json").read_text()) == {"data": name}


# ---- ~ --------------------------------------------------------------------------------------------------------------


def test_home_is_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/somewhere")
    assert [str(expand(path)) for path in ("~", "~/runs", Path("~/a/~b"), "a/~", "/x")] == [
        *("/somewhere", "/somewhere/runs", "/somewhere/a/~b", "a/~", "/x")
    ]
    with pytest.raises(
        ConfigError, match=r"must name a home folder that exists, got '~nobody-here/x'; write \./~nobody"
    ):
        expand("~nobody-here/x")


@pytest.mark.parametrize("name", ["a.json", "[odd] name*.svg", "room"])
def test_whoever_writes_removes_what_the_killed_left_of_it_alone(tmp_path: Path, name: str) -> None:
    code = "import sys; from pathlib import Path; from optima_lab.files import temporary_path as t;"
    code += "part = t(Path(sys.argv[1])); part.write_text('half'); print(part)"
    dead = Path(python(code, str(tmp_path / name)).stdout.strip())
    of_another = Path(python(code, str(tmp_path / "b.json")).stdout.strip())
    alive = files.temporary_path(tmp_path / name)
    alive.write_text("being written")
    assert dead.exists() and of_another.exists()
    files.write_text(tmp_path / name, "whole")
    assert sorted(tmp_path.iterdir()) == sorted([tmp_path / name, alive, of_another])
