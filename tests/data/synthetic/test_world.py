"""The embedded world: written whole, the same for the same seed, and silent about answers in its texts."""

import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from optima_lab.config import TASKS
from optima_lab.data.formats import read
from optima_lab.data.synthetic import write as layouts
from optima_lab.data.synthetic.world import World
from optima_lab.data.synthetic.write import WRITERS, write_world
from optima_lab.errors import ConfigError, DataError, OptimaError

SMALL = World(scenes_train=30, scenes_dev=8, scenes_test=8, texts=2)


def contents(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("world"), SMALL)


@pytest.mark.parametrize("task", TASKS)
def test_the_readers_read_what_is_written(world: Path, task: str) -> None:
    seen: set[Path] = set()
    for split in ("train", "dev", "test"):
        records = read(task, world, split)
        pictures = {path for example in records.examples for path in example.images}
        sides = 2 if task == "nlvr2" else 1
        assert len(pictures) == sides * SMALL.scenes(split) and records.skipped == ()
        assert seen.isdisjoint(pictures)
        seen |= pictures
        if task == "vqa":
            assert all(Counter(example.answers).most_common(1)[0][1] >= 8 for example in records.examples)
        if task == "coco":
            assert all(len(set(example.answers)) == 5 for example in records.examples)


def test_the_same_seed_writes_the_same_bytes(world: Path, tmp_path: Path) -> None:
    assert contents(write_world(tmp_path / "again", SMALL)) == contents(world)
    other = World(30, 8, 8, 2, seed=1)
    assert contents(write_world(tmp_path / "other", other, ("coco",)))["coco/dataset_coco.json"] not in set(
        contents(world).values()
    )


def test_pictures_are_of_the_asked_size_and_never_alike(world: Path) -> None:
    files = [path for path in world.rglob("*") if path.suffix in (".jpg", ".png")]
    assert len({path.read_bytes() for path in files}) == len(files)
    for path in (files[0], files[-1]):
        with Image.open(path) as image:
            assert image.size == (48, 48) and image.mode == "RGB"


def test_a_finished_world_is_kept(world: Path) -> None:
    times = {path: path.stat().st_mtime_ns for path in world.rglob("*")}
    write_world(world, SMALL)
    assert times == {path: path.stat().st_mtime_ns for path in world.rglob("*")}


def test_another_world_or_foreign_files_are_not_overwritten(world: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'seed': 5.*it holds.*'seed': 0"):
        write_world(world, World(30, 8, 8, 2, seed=5), ("vqa",))
    (tmp_path / "vqa").mkdir()
    (tmp_path / "vqa" / "precious.txt").write_text("x")
    with pytest.raises(DataError, match="it holds other files"):
        write_world(tmp_path, SMALL, ("vqa",))
    assert (tmp_path / "vqa" / "precious.txt").read_text() == "x"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_an_interrupted_world_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    left = iter(range(9))

    def render(scene: object, picture_px: int, ground: int) -> np.ndarray:
        if next(left) == 5:
            raise error
        return np.zeros((picture_px, picture_px, 3), np.uint8)

    monkeypatch.setattr(layouts, "render", render)
    with pytest.raises(KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else DataError):
        write_world(tmp_path, SMALL, ("coco",))
    assert [path.name for path in tmp_path.iterdir()] == [".coco.lock"]


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OptimaError, match="must be writable"):
        write_world(tmp_path / "file", SMALL, ("coco",))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"scenes_train": 0}, "scenes_train must be a whole number of at least 1; got 0"),
        ({"seed": -1}, "seed must be"),
        ({"picture_px": 4}, "picture_px must be a whole number of at least 24"),
        ({"texts": 2.0}, "texts must be"),
        ({"texts": True}, "texts must be"),
    ],
)
def test_a_world_is_validated(changes: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        World(**changes)


def test_every_world_has_a_name_of_its_own() -> None:
    assert World().id == World(12_000).id != World(seed=1).id and World().id.startswith("world-")


def test_an_unknown_task_is_told_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="tasks must be among"):
        write_world(tmp_path, SMALL, ("coco", "vqa2"))
    assert list(tmp_path.iterdir()) == [] and set(WRITERS) == set(TASKS)
