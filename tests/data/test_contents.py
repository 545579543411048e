"""Content decides what data are: links, times and names of places do not."""

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from folders import picture

from optima_lab.data import contents
from optima_lab.data.contents import content_fingerprint, digests
from optima_lab.errors import DataError

# SHA-256 of "abc", an example of FIPS 180.
ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Two folders with the same names and sizes and other bytes: a/x.bmp, a/deep/y.jsonl; b/x.bmp, b/deep/y.jsonl."""
    for name, shade in (("a", 10), ("b", 20)):
        picture(tmp_path / "store" / name / "x.bmp", shade)
        (tmp_path / "store" / name / "deep").mkdir()
        (tmp_path / "store" / name / "deep" / "y.jsonl").write_text(name)
    return tmp_path / "store"


def fingerprint(folder: Path) -> str:
    return content_fingerprint(folder, folder.parent / "cache")


def _folder(data: Path, target: Path) -> None:
    (data / "snli_ve").symlink_to(target)


def _inner_folder(data: Path, target: Path) -> None:
    (data / "snli_ve").mkdir()
    (data / "snli_ve" / "x.bmp").symlink_to(target / "x.bmp")
    (data / "snli_ve" / "deep").symlink_to(target / "deep")


def _files(data: Path, target: Path) -> None:
    (data / "snli_ve" / "deep").mkdir(parents=True)
    for name in ("x.bmp", "deep/y.jsonl"):
        os.link(target / name, data / "snli_ve" / name)


def _chain(data: Path, target: Path) -> None:
    (data.parent / f"hop {target.name}").symlink_to(target)
    (data / "snli_ve").symlink_to(os.path.relpath(data.parent / f"hop {target.name}", data))


@pytest.mark.parametrize("linked", [_folder, _inner_folder, _files, _chain])
def test_the_store_behind_a_link_decides(store: Path, tmp_path: Path, linked: Callable[[Path, Path], None]) -> None:
    found = {}
    for name in ("a", "b"):
        plain = tmp_path / f"plain {name}"
        shutil.copytree(store / name, plain / "snli_ve")
        data = tmp_path / f"data {name}"
        data.mkdir()
        linked(data, store / name)
        found[name] = fingerprint(data)
        assert found[name] == fingerprint(plain)
    assert found["a"] != found["b"]


def test_a_link_that_moves_is_seen_whatever_was_kept(store: Path, tmp_path: Path) -> None:
    for path in sorted(store.rglob("*")):
        os.utime(path, (1, 1))  # the same times on both sides, as archives leave them
    (tmp_path / "data").mkdir()
    link = tmp_path / "data" / "snli_ve"
    found = []
    for name in ("a", "b", "a"):
        link.unlink(missing_ok=True)
        link.symlink_to(store / name)
        found.append(fingerprint(tmp_path / "data"))
    assert found[0] == found[2] != found[1]


def _in_place(path: Path) -> None:
    path.write_bytes(b"cba")


def _replaced(path: Path) -> None:
    path.with_name("new").write_bytes(b"cba")
    path.with_name("new").replace(path)


def _touched_back(path: Path) -> None:
    before = path.stat()
    path.write_bytes(b"cba")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("changed", [_in_place, _replaced, _touched_back])
@pytest.mark.parametrize("kept", [True, False], ids=["kept", "young"])
def test_other_bytes_of_the_same_size_are_other_content(
    tmp_path: Path, changed: Callable[[Path], None], kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.bmp"
    path.write_bytes(b"abc")
    if kept:
        monkeypatch.setattr(contents, "_YOUNG_NS", 0)
        time.sleep(0.02)
    assert digests([path], tmp_path / "cache") == [ABC]
    assert (tmp_path / "cache" / "contents-1.json").exists() == kept
    changed(path)
    assert digests([path], tmp_path / "cache") != [ABC]


def test_asking_again_reads_nothing(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "_YOUNG_NS", 0)
    time.sleep(0.02)
    before = fingerprint(store)
    monkeypatch.setattr(contents, "_digest", lambda path: pytest.fail(f"{path} read twice"))
    assert fingerprint(store) == before
    assert content_fingerprint(store, tmp_path / "cache") == before


@pytest.mark.parametrize("damage", ["", "[]", "{", '{"x": 3}', '{"x": []}', "[" * 100_000])
def test_damaged_keeping_is_computed_again(tmp_path: Path, damage: str) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "contents-1.json").write_text(damage)
    assert digests([tmp_path / "a"], tmp_path / "cache") == [ABC]


def test_where_nothing_can_be_kept_it_is_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "_YOUNG_NS", 0)
    (tmp_path / "a").write_bytes(b"abc")
    time.sleep(0.02)
    assert digests([tmp_path / "a", tmp_path / "none"], tmp_path / "a") == [ABC, ""]
    assert digests([tmp_path / "a"]) == [ABC]
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize(
    "name", [".hidden.json", ".git/config", "deep/.DS_Store", "empty/", "nowhere", "itself", "pipe"]
)
def test_what_is_no_data_does_not_count(store: Path, name: str) -> None:
    before = fingerprint(store / "a")
    path = store / "a" / name
    path.parent.mkdir(exist_ok=True)
    if name == "empty/":
        path.mkdir()
    elif name == "pipe":
        os.mkfifo(path)
    elif name in ("nowhere", "itself"):
        path.symlink_to(path if name == "itself" else store / "none")
    else:
        path.write_text("x")
    assert fingerprint(store / "a") == before


@pytest.mark.parametrize("where", ["a/deep/back", "a/here", "round"])
def test_a_link_in_a_circle_is_refused_in_one_line(store: Path, where: str) -> None:
    if where == "round":  # a/to → b, b/fro → a
        (store / "a" / "to").symlink_to(store / "b")
        (store / "b" / "fro").symlink_to(store / "a")
    else:
        (store / where).symlink_to(store / "a")
    with pytest.raises(DataError, match=r"(back|here|fro) must not lead back to a folder that holds it: remove this"):
        fingerprint(store)


def test_many_ways_to_one_folder_are_walked_once(tmp_path: Path) -> None:
    """Two links a level over forty levels: a million million ways."""
    for level in range(40):
        (tmp_path / "data" / str(level)).mkdir(parents=True)
    (tmp_path / "data" / "39" / "x").write_text("x")
    for level in range(39):
        for name in ("left", "right"):
            (tmp_path / "data" / str(level) / name).symlink_to(tmp_path / "data" / str(level + 1))
    assert len(fingerprint(tmp_path / "data")) == 16


def test_folders_too_deep_are_told(tmp_path: Path) -> None:
    (tmp_path / "data" / "/".join("d" * 80)).mkdir(parents=True)
    with pytest.raises(DataError, match="data must lie at most 64 folders deep"):
        fingerprint(tmp_path / "data")


def test_names_count_and_stay_apart(tmp_path: Path) -> None:
    """Each of these has the same bytes in all, under other names."""
    shapes = [
        {"a": "xy"},
        {"b": "xy"},
        {"a": "x", "b": "y"},
        {"a": "y", "b": "x"},
        {"a/b": "xy"},
        {"a": "x", "a2": "y"},
    ]
    found = set()
    for number, files in enumerate(shapes):
        for name, text in files.items():
            (tmp_path / str(number) / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / str(number) / name).write_text(text)
        found.add(fingerprint(tmp_path / str(number)))
    assert len(found) == len(shapes)


def test_what_is_kept_is_small_and_plain(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "_YOUNG_NS", 0)
    time.sleep(0.02)
    digests([store / "a" / "x.bmp"], tmp_path / "cache")
    digests([store / "b" / "x.bmp"], tmp_path / "cache")
    kept = json.loads((tmp_path / "cache" / "contents-1.json").read_text())
    assert [os.path.relpath(path, store) for path in kept] == ["a/x.bmp", "b/x.bmp"]
    assert {len(line) for line in kept.values()} == {5}
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["contents-1.json"]
