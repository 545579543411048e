"""Where a task's data lies, what identifies it, and what comes out when it is read."""

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from folders import edit, lines, picture

from optima_lab.config import Config
from optima_lab.data import datasets, formats
from optima_lab.data.batches import order, probe
from optima_lab.data.datasets import DataSource, TaskData, blank, load, locate, pretraining_pairs
from optima_lab.errors import ConfigError, DataError
from optima_lab.presets import preset


def config(task: str, folder: Path | str = "", **changes) -> Config:
    return preset(task, "smoke", data=str(folder), limit=0, **changes)


def read(task: str, folder: Path, **changes):
    settings = config(task, folder, **changes)
    return load(settings, locate(settings, folder.parent / "runs"))


def pairs(task: str, folder: Path, data: TaskData):
    settings = config(task, folder)
    return pretraining_pairs(settings, locate(settings, folder.parent / "runs"), data)


@pytest.fixture
def captions(coco: Path) -> Path:
    """The hand-made COCO folder with a fourth picture, of the test split."""
    picture(coco / "val2014" / "COCO_val2014_000000000004.jpg", 160)

    def add(content: dict) -> None:
        one = dict(content["images"][2], cocoid=4, split="test", filename="COCO_val2014_000000000004.jpg")
        content["images"].append(one)

    edit(coco / "dataset_coco.json", add)
    return coco


# ---- where ----------------------------------------------------------------------------------------------------------


def test_the_embedded_world_is_found_without_being_written(tmp_path: Path):
    source = locate(config("vqa"), tmp_path / "runs")
    assert source.cache == tmp_path / "runs" / "cache"
    assert source.folder.parent == source.cache
    assert source.world is not None
    assert (source.world.scenes_train, source.world.scenes_dev, source.world.scenes_test) == (256, 64, 64)
    assert not (tmp_path / "runs").exists()


def test_all_tasks_and_models_share_one_world(tmp_path: Path):
    a = locate(config("vqa"), tmp_path)
    assert locate(config("coco", lr=1e-3, student_width=64, teacher_layers="4/2/2", seed=5), tmp_path) == a


@pytest.mark.parametrize("change", ["world_seed=1", "scenes=300", "image_size=32"])
def test_another_world_lies_elsewhere(change: str, tmp_path: Path):
    name, value = change.split("=")
    a, b = locate(config("vqa"), tmp_path), locate(config("vqa", **{name: int(value)}), tmp_path)
    assert a.folder != b.folder
    assert a.fingerprint != b.fingerprint


def test_scenes_are_drawn_at_the_models_size_up_to_a_limit(tmp_path: Path):
    sizes = [locate(config("vqa", image_size=px, patch_size=8), tmp_path).world.picture_px for px in (24, 96, 240)]
    assert sizes == [24, 96, 96]


def test_a_missing_folder_and_a_missing_task_are_told(tmp_path: Path, nlvr2: Path):
    with pytest.raises(DataError, match=r"data must be a folder with vqa, snli_ve, nlvr2, coco .*nowhere"):
        locate(config("vqa", tmp_path / "nowhere"), tmp_path)
    with pytest.raises(DataError, match="vqa"):
        locate(config("vqa", nlvr2.parent), tmp_path)
    assert locate(config("nlvr2", nlvr2.parent), tmp_path / "runs").world is None


# ---- what identifies it ---------------------------------------------------------------------------------------------


def fingerprint(folder: Path, task: str = "nlvr2") -> str:
    return locate(config(task, folder), folder / "runs").fingerprint


def test_the_same_content_elsewhere_and_later_is_the_same_data(nlvr2: Path, tmp_path: Path):
    before = fingerprint(nlvr2.parent)
    for path in nlvr2.rglob("*"):
        os.utime(path, (1, 1))
    shutil.copytree(nlvr2, tmp_path / "copy" / "nlvr2")
    assert fingerprint(nlvr2.parent / "copy") == before


@pytest.mark.parametrize("what", ["label", "new picture", "other picture", "renamed"])
def test_whatever_changes_is_other_data(what: str, nlvr2: Path):
    before = fingerprint(nlvr2.parent)
    file = nlvr2 / "images" / "dev" / "dev-5-2-img0.png"
    if what == "label":  # the same number of bytes
        text = (nlvr2 / "dev.json").read_text()
        (nlvr2 / "dev.json").write_text(text.replace("Sentence 0", "Sentence 7"))
    elif what == "new picture":
        picture(nlvr2 / "images" / "dev" / "more.png")
    elif what == "other picture":
        file.write_bytes(file.read_bytes() + b"\0")
    else:
        file.rename(file.with_name("dev-5-3-img0.png"))
    assert fingerprint(nlvr2.parent) != before


# ---- what comes out -------------------------------------------------------------------------------------------------


def test_the_four_tasks_of_one_folder(vqa: Path, snli_ve: Path, nlvr2: Path, captions: Path, tmp_path: Path):
    found = {task: read(task, tmp_path) for task in ("vqa", "snli_ve", "nlvr2", "coco")}
    classes = {task: data.classes for task, data in found.items()}
    assert classes == {
        "vqa": ("2",),  # 'two' and '2.' are one answer
        "snli_ve": ("entailment", "neutral", "contradiction"),
        "nlvr2": ("False", "True"),
        "coco": (),
    }
    # One tokenizer, and the captions of coco/ to pre-train on: three of picture 1, one of picture 2 (restval).
    assert len({data.tokenizer.path for data in found.values()}) == 1
    shared = {task: pairs(task, tmp_path, data) for task, data in found.items()}
    assert {len(each) for each in shared.values()} == {4}
    tokens = [each.tokens.tolist() for each in shared.values()]
    assert tokens == [tokens[0]] * 4
    assert shared["coco"] is found["coco"].train
    for data in found.values():
        assert [split.name for split in (data.train, data.dev, data.test)] == ["train", "dev", "test"]
        assert len({split.classes for split in (data.train, data.dev, data.test)}) == 1


def test_without_captions_a_task_pre_trains_on_its_own_texts(nlvr2: Path, tmp_path: Path):
    data = read("nlvr2", tmp_path)
    assert pairs("nlvr2", tmp_path, data) is data.train


def test_other_tasks_are_read_only_to_train_the_tokenizer(nlvr2: Path, snli_ve: Path, tmp_path: Path, monkeypatch):
    first = read("nlvr2", tmp_path)
    known: list[str] = []

    def watched(task: str, *rest: Any, **strict: bool):
        known.append(task)
        return formats.read(task, *rest, **strict)

    monkeypatch.setattr(datasets, "read", watched)
    assert read("nlvr2", tmp_path).tokenizer.path == first.tokenizer.path
    assert known == ["nlvr2"] * 3
    for path in snli_ve.glob("*train*.jsonl"):
        path.write_text(path.read_text().replace('"sentence2": "', '"sentence2": "Well, '))
    assert read("nlvr2", tmp_path).tokenizer.path != first.tokenizer.path, "other words, another tokenizer"


def test_the_words_of_the_answers_of_training_alone_are_classes(vqa: Path, tmp_path: Path):
    def rename(content: dict) -> None:
        for annotation in content["annotations"]:
            annotation["answers"] = [{"answer": "unheard of", "answer_id": n + 1} for n in range(10)]

    edit(vqa / "v2_mscoco_val2014_annotations.json", rename)
    data = read("vqa", tmp_path)
    assert data.classes == ("2",)
    assert data.test.targets.sum() + data.dev.targets.sum() < len(data.test) + len(data.dev)


def test_rare_answers_are_no_classes(vqa: Path, tmp_path: Path):
    with pytest.raises(ConfigError, match="vocabulary"):
        read("vqa", tmp_path, answer_count=1000)


def test_a_limit_holds_for_every_split(snli_ve: Path, tmp_path: Path):
    settings = preset("snli_ve", "smoke", data=str(tmp_path), limit=2)
    data = load(settings, locate(settings, tmp_path / "runs"))
    assert [len(split) for split in (data.train, data.dev, data.test)] == [2, 2, 2]


def test_a_bad_record_is_refused_or_skipped_and_kept_in_mind(snli_ve: Path, tmp_path: Path):
    record = {"Flickr30K_ID": "33", "gold_label": "entailment", "pairID": "33.jpg#0r1e", "sentence2": "A bird."}
    path = snli_ve / "snli_ve_train.jsonl"
    path.write_text(path.read_text() + f"{record}\n".replace("'", '"'))
    with pytest.raises(DataError, match="33"):
        read("snli_ve", tmp_path)
    data = read("snli_ve", tmp_path, strict=False)
    assert len(data.train) == 3
    assert len(data.train.skipped) == 1


def test_a_broken_neighbour_task_does_not_matter(snli_ve: Path, nlvr2: Path, tmp_path: Path):
    """The tokenizer reads every task's texts, the bad record of another task is not this task's business."""
    path = nlvr2 / "train.json"
    content = path.read_text().splitlines()
    lines(path, ["{broken", *content[1:]])
    try:
        data = read("snli_ve", tmp_path)
    except DataError as error:
        pytest.fail(f"SNLI-VE was refused for NLVR2's sake: {error}")
    assert len(data.train) == 3


def test_blank_pictures_leave_texts_and_answers(snli_ve: Path, tmp_path: Path):
    data = read("snli_ve", tmp_path)
    grey = blank(data)
    for a, b in ((data.train, grey.train), (data.dev, grey.dev), (data.test, grey.test)):
        assert np.array_equal(a.tokens, b.tokens)
        assert np.array_equal(a.targets, b.targets)
        assert a.images.shape == b.images.shape
        assert set(np.unique(b.images)) == {127}
    batch = grey.train.take([0, 1])
    assert batch.images.flags.writeable  # a batch is its own memory, augmentation may write there
    assert len(np.unique(data.train.images)) > 1


def test_the_world_is_written_once_and_read(tmp_path: Path, monkeypatch):
    asked = []
    monkeypatch.setattr(datasets, "write_world", lambda folder, world: asked.append((folder, world)))
    settings = config("snli_ve")
    source = locate(settings, tmp_path)
    with pytest.raises(DataError):
        load(settings, source)  # nothing was written
    assert asked == [(source.folder, source.world)]
    with pytest.raises(DataError):
        load(settings, DataSource(tmp_path / "own", "0", tmp_path))
    assert len(asked) == 1  # a folder of the user's own is never written to


def test_probe_and_batches_are_rows_of_train(snli_ve: Path, tmp_path: Path):
    data = read("snli_ve", tmp_path)
    assert probe(0, len(data.train), 3).tolist() == [0, 1, 2]
    assert sorted(order(0, 0, 3, len(data.train)).tolist()) == [0, 1, 2]
