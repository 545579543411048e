"""Data behind links: runs, teachers, tokenizers, cached pictures and `rerun` follow the content, not the names."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_run import SMALL

from optima_lab.data import contents
from optima_lab.data.datasets import load, locate
from optima_lab.data.formats import read
from optima_lab.data.synthetic.world import World
from optima_lab.data.synthetic.write import write_world
from optima_lab.errors import ConfigError
from optima_lab.experiments.reproduce import rerun
from optima_lab.experiments.run import Experiment, run
from optima_lab.presets import preset

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """SNLI-VE twice: the same names, sizes, times and words, the second with the pictures' negatives, as bitmaps."""
    monkeypatch.setattr(contents, "_YOUNG_NS", 0)  # digests are kept at once
    first, second = tmp_path / "first", tmp_path / "second"
    write_world(first, World(24, 12, 6, picture_px=24), ("snli_ve",))
    for path in (first / "snli_ve" / "flickr30k_images").iterdir():
        with Image.open(path) as image:
            image.save(path, "BMP")
    shutil.copytree(first, second)
    for path in (second / "snli_ve" / "flickr30k_images").iterdir():
        with Image.open(path) as image:
            pixels = 255 - np.asarray(image)
        Image.fromarray(pixels).save(path, "BMP")
    for path in (*first.rglob("*"), *second.rglob("*")):
        os.utime(path, (1, 1))
    return first, second


def linked(folder: Path, store: Path, what: str) -> Path:
    """`folder` with a link to `store`: of all of the task, of its pictures, or of one picture inside the data."""
    (folder / "snli_ve").parent.mkdir(parents=True, exist_ok=True)
    if what == "task":
        (folder / "snli_ve").symlink_to(store / "snli_ve")
        return folder
    shutil.copytree(store / "snli_ve", folder / "snli_ve", ignore=lambda *_: ["flickr30k_images"])
    (folder / "snli_ve" / "flickr30k_images").symlink_to(store / "snli_ve" / "flickr30k_images")
    return folder


def ask(data: Path, runs: Path) -> Experiment:
    return run("snli_ve", "smoke", data=str(data), runs=str(runs), strategies="none", **SMALL)[0]


def names(runs: Path) -> set[str]:
    return {path.relative_to(runs).as_posix() for path in runs.glob("cache/*/*") if path.is_dir()} | {
        path.name for path in (runs / "cache").glob("*.*") if not path.name.startswith("contents")
    }


@pytest.mark.parametrize("what", ["task", "pictures"])
def test_another_store_behind_the_link_is_another_question(
    stores: tuple[Path, Path], tmp_path: Path, what: str
) -> None:
    runs = tmp_path / "runs"
    first = ask(linked(tmp_path / "A", stores[0], what), runs)
    known = names(runs)
    second = ask(linked(tmp_path / "B", stores[1], what), runs)
    assert first.folder != second.folder
    assert second.summary["data_fingerprint"] != first.summary["data_fingerprint"]
    assert len(names(runs)) == 2 * len(known), "models, tokenizer and pictures are made anew"
    assert ask(stores[0], runs).folder == first.folder, "the same content without links is the same question"

    (link := tmp_path / "A" / ("snli_ve" if what == "task" else "snli_ve/flickr30k_images")).unlink()
    link.symlink_to(stores[1] / link.relative_to(tmp_path / "A"))
    with pytest.raises(ConfigError, match="data must be what the run saw"):
        rerun(first.folder, tmp_path / "again")
    assert not (tmp_path / "again" / "snli_ve").exists()
    assert rerun(second.folder, tmp_path / "again").folder.name == second.folder.name


def test_cached_pictures_follow_the_link(stores: tuple[Path, Path], tmp_path: Path) -> None:
    """Also where the very same path leads to pictures of the same names, sizes and times."""
    data = linked(tmp_path / "A", stores[0], "pictures")
    config = preset("snli_ve", "smoke", data=str(data))

    def seen() -> np.ndarray:
        return load(config, locate(config, tmp_path / "runs")).train.images

    before = seen()
    (link := data / "snli_ve" / "flickr30k_images").unlink()
    link.symlink_to(stores[1] / "snli_ve" / "flickr30k_images")
    assert (seen() == 255 - before).all()
    for path in link.iterdir():  # changed in place, with the times set back
        with Image.open(path) as image:
            pixels = 255 - np.asarray(image)
        Image.fromarray(pixels).save(path, "BMP")
        os.utime(path, (1, 1))
    assert (seen() == before).all()


def test_records_and_data_stay_apart(stores: tuple[Path, Path], tmp_path: Path) -> None:
    data = stores[0]
    config = preset("snli_ve", "smoke", data=str(data))
    with pytest.raises(ConfigError, match="runs must be a folder apart from the data"):
        locate(config, data)
    shutil.copytree(data, tmp_path / "runs" / "vqa")
    with pytest.raises(ConfigError, match="runs must be a folder apart from the data"):
        locate(preset("snli_ve", "smoke", data=str(tmp_path / "runs" / "vqa")), tmp_path / "runs")
    before = locate(config, data / "runs").fingerprint
    load(config, locate(config, data / "runs"))
    assert (data / "runs" / "cache").is_dir() and locate(config, data / "runs").fingerprint == before
    assert read("snli_ve", data, "train").examples
