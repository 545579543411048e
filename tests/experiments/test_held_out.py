"""Nobody sees the test split before the last evaluation: all of it is marked, and everything that reads is watched."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from optima_lab.coca import forward
from optima_lab.config import TASKS
from optima_lab.data import datasets
from optima_lab.data.datasets import load, locate, pretraining_pairs
from optima_lab.data.formats import read
from optima_lab.data.synthetic.world import World
from optima_lab.data.synthetic.write import write_world
from optima_lab.experiments import population, teachers
from optima_lab.experiments.run import run
from optima_lab.presets import preset

pytestmark = pytest.mark.usefixtures("one_thread")

MARK, ANSWER = "zyzzyva quixotry", "zyzzyva"
COLOUR = (255, 0, 255)
SMALL: dict[str, Any] = {
    "limit": 24,
    "pretrain_steps": 2,
    "base_steps": 2,
    "pretrain_batch": 24,
    "finetune_steps": 2,
    "finetune_batch": 24,
    "steps": 4,
    "round_steps": 1,
    "probe_size": 24,
    "batch_size": 24,
    "evaluations": 4,
}


@pytest.fixture(scope="module")
def marked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in the official layouts in which every text, answer and picture of the test split is the mark."""
    folder = tmp_path_factory.mktemp("marked") / "data"
    write_world(folder, World(24, 12, 6, picture_px=24))
    rewrite(folder / "vqa" / "v2_OpenEnded_mscoco_val2014_questions.json", mark_questions)
    rewrite(folder / "vqa" / "v2_mscoco_val2014_annotations.json", mark_answers)
    rewrite(folder / "coco" / "dataset_coco.json", mark_captions)
    for name, field in (("snli_ve/snli_ve_test.jsonl", "sentence2"), ("nlvr2/test1.json", "sentence")):
        lines = [json.loads(line) | {field: MARK} for line in (folder / name).read_text().splitlines()]
        (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    for task in TASKS:
        for path in {path for example in read(task, folder, "test").examples for path in example.images}:
            Image.new("RGB", (24, 24), COLOUR).save(path, "PNG")
    return folder


def rewrite(path: Path, change: Callable[[dict], None]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def mark_questions(content: dict) -> None:
    for question in content["questions"]:
        question["question"] = MARK


def mark_answers(content: dict) -> None:
    for annotation in content["annotations"]:
        annotation["answers"] = [{"answer": ANSWER, "answer_id": n + 1} for n in range(10)]


def mark_captions(content: dict) -> None:
    for image in content["images"]:
        for sentence in image["sentences"] if image["split"] == "test" else ():
            sentence["raw"] = MARK


class Watch:
    """What models and the tokenizer are shown: (doing what, whether a text or picture of it is the mark), in order."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.doing = "training"
        self.seen: list[tuple[str, bool]] = []
        self.corpus: list[str] = []
        self.mark = torch.zeros(0)
        for name, marked in (("_walk_image", self._pictures), ("_walk_text", self._texts)):
            patch.setattr(forward, name, self._watched(getattr(forward, name), marked))
        for room, who in ((population, "students"), (teachers, "teacher")):
            patch.setattr(room, "evaluate", self._named(room.evaluate, who))
        patch.setattr(datasets.SentencePieceTokenizer, "cached", self._read(datasets.SentencePieceTokenizer.cached))

    def _watched(self, original: Callable, marked: Callable[[torch.Tensor], bool]) -> Callable:
        def watched(coca: Any, given: torch.Tensor, *rest: Any) -> None:
            self.seen.append((self.doing, marked(given)))
            original(coca, given, *rest)

        return watched

    def _named(self, original: Callable, who: str) -> Callable:
        def named(models: Any, teacher: Any, data: Any, split: Any, *rest: Any) -> Any:
            self.doing = f"{who} on {split.name}"
            try:
                return original(models, teacher, data, split, *rest)
            finally:
                self.doing = "training"

        return named

    def _read(self, original: Callable) -> Callable:
        def cached(texts: Callable[[], list[str]], *rest: Any) -> Any:
            self.corpus += texts()  # also where another task has trained it already
            tokenizer = original(texts, *rest)
            self.mark = torch.from_numpy(tokenizer.encode([MARK])[0])
            return tokenizer

        return cached

    def _texts(self, tokens: torch.Tensor) -> bool:
        mark = self.mark[: tokens.shape[1]]  # less padding; no other text begins with all of it
        return bool((tokens == mark).all(1).any())

    @staticmethod
    def _pictures(images: torch.Tensor) -> bool:
        """Patches hold their values channel by channel, as pictures do."""
        parts = images.unflatten(-1, (3, -1)).movedim(-2, 0) if images.ndim == 3 else images.movedim(1, 0)
        wanted = torch.tensor(COLOUR) / 127.5 - 1
        same = [(part == value).flatten(1).all(1) for part, value in zip(parts, wanted, strict=True)]
        return bool(torch.stack(same).all(0).any())


@pytest.mark.parametrize("task", TASKS)
def test_the_test_split_is_seen_at_the_end_alone(task: str, marked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watch = Watch(monkeypatch)
    run(task, "smoke", data=str(marked), runs=str(marked.parent / "runs"), strategies="none, optima", **SMALL)
    assert len(watch.corpus) > 24 and not any(ANSWER in text for text in watch.corpus)
    doing = [doing for doing, _ in watch.seen]
    assert {"training", "teacher on dev", "students on dev", "students on test"} <= set(doing)
    assert {doing for doing, found in watch.seen if found} == {"teacher on test", "students on test"}
    assert doing.index("students on test") > max(n for n, what in enumerate(doing) if what == "training")


def is_mark(tokens: np.ndarray, mark: np.ndarray) -> np.ndarray:
    """(row,): the mark, with as much padding as the split has; cut off is padding alone."""
    return (tokens == mark[:, : tokens.shape[1]]).all(1)


@pytest.mark.parametrize("task", TASKS)
def test_the_mark_is_all_of_the_test_split_and_nowhere_else(task: str, marked: Path, tmp_path: Path) -> None:
    config = preset(task, "smoke", data=str(marked))
    source = locate(config, tmp_path)
    data = load(config, source)
    pairs = pretraining_pairs(config, source, data)
    mark = data.tokenizer.encode([MARK])
    assert is_mark(data.test.tokens, mark).all() and (data.test.images == np.array(COLOUR)).all()
    for split in (data.train, data.dev, pairs):
        assert not is_mark(split.tokens, mark).any()
        assert not (split.images == np.array(COLOUR)).all((1, 2, 3)).any()
    assert ANSWER not in data.classes
    assert task != "vqa" or len(data.classes) > 3
