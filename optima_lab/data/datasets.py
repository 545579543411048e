"""Where a task's data lies and all of it as arrays: the embedded world, or a folder in the official layouts."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from optima_lab.config import TASKS, Data, FinetuningStage, Task
from optima_lab.data.answers import answer_vocabulary
from optima_lab.data.batches import Split, pack, texts
from optima_lab.data.contents import content_fingerprint
from optima_lab.data.formats import Records, has_task, read, task_folder
from optima_lab.data.synthetic.world import World
from optima_lab.data.synthetic.write import write_world
from optima_lab.data.tokenizers import OpenClipTokenizer, SentencePieceTokenizer, Tokenizer
from optima_lab.errors import ConfigError, DataError
from optima_lab.files import expand

SPLITS = ("train", "dev", "test")


@dataclass(frozen=True)
class DataSource:
    """A data folder, what identifies its content, and where derived arrays may be kept."""

    folder: Path
    fingerprint: str
    cache: Path
    world: World | None = None


@dataclass(frozen=True)
class TaskData:
    """All that is read once for a task: its splits, its classes (none for captions) and its tokenizer."""

    task: Task
    train: Split
    dev: Split
    test: Split
    tokenizer: Tokenizer

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the answers or labels; empty for captions."""
        return self.train.classes


def locate(stage: FinetuningStage, runs: Path) -> DataSource:
    """The data of a configuration: `stage.data.folder`, or the embedded world in the cache of `runs`.

    The content of a folder is looked at to tell what it is, once, and again where it was touched. Raises DataError
    where the folder or the task's part of it is missing, and ConfigError where `runs` would write into the data.
    """
    cache = expand(runs) / "cache"
    if not stage.data.folder:
        world = _world(stage.data)
        return DataSource(cache / world.id, world.id, cache, world)
    folder = expand(stage.data.folder)
    if not os.path.isdir(folder):  # also where no folder could have such a name
        raise DataError(
            f"data must be a folder with {', '.join(TASKS)} in the official layouts, got {stage.data.folder!r}"
        )
    task_folder(stage.task, folder)  # refuses a folder without the task
    records = [runs / task for task in TASKS]
    if any(_same_or_below(folder, place) for place in records) or folder.resolve() == runs.resolve():
        raise ConfigError(f"runs must be a folder apart from the data {stage.data.folder!r}, got {str(runs)!r}")
    return DataSource(folder, content_fingerprint(folder, cache, [cache, *records]), cache)


def _same_or_below(folder: Path, place: Path) -> bool:
    return folder.resolve().is_relative_to(place.resolve())


def load(stage: FinetuningStage, source: DataSource) -> TaskData:
    """A task's splits, classes and tokenizer. Raises DataError for a bad record, or where something is missing."""
    if source.world is not None:
        write_world(source.folder, source.world)
    records = {split: read(stage.task, source.folder, split, stage.data.strict, stage.data.links) for split in SPLITS}
    tokens = tokenizer(stage, source)
    vocabulary = answer_vocabulary(records["train"].examples, stage.data.answer_count) if stage.task == "vqa" else None
    splits = {
        split: _arrays(stage, source, stage.task, split, each, tokens, vocabulary) for split, each in records.items()
    }
    return TaskData(TASKS[stage.task], **splits, tokenizer=tokens)


def has_captions(source: DataSource) -> bool:
    """Whether pre-training has captions to learn from, which all tasks then share."""
    return has_task("coco", source.folder)


def pretraining_pairs(stage: FinetuningStage, source: DataSource, data: TaskData) -> Split:
    """The (picture, caption) pairs of pre-training: those of `coco/`, else the task's own texts."""
    if data.task.captions or not has_captions(source):
        return data.train
    records = read("coco", source.folder, "train", stage.data.strict, stage.data.links)
    return _arrays(stage, source, "coco", "train", records, data.tokenizer)


def _arrays(
    stage: FinetuningStage,
    source: DataSource,
    task: str,
    split: str,
    records: Records,
    tokenizer: Tokenizer,
    vocabulary: Sequence[str] | None = None,
) -> Split:
    return pack(
        task,
        split,
        records,
        tokenizer,
        stage.data.image_size,
        strict=stage.data.strict,
        cache=source.cache,
        vocabulary=vocabulary,
        limit=stage.data.limit,
    )


def blank(data: TaskData) -> TaskData:
    """The same data with grey pictures: what is left is what the texts give away."""

    def grey(split: Split) -> Split:
        return replace(split, images=np.broadcast_to(np.uint8(127), split.images.shape))

    return replace(data, train=grey(data.train), dev=grey(data.dev), test=grey(data.test))


def _world(data: Data) -> World:
    dev, test = (max(64, data.scenes // share) for share in (12, 6))  # test once, at the end: it may be larger
    px = min(data.image_size, 96)
    return World(
        data.scenes,
        dev,
        data.test_scenes or test,
        picture_px=px,
        seed=data.world_seed,
        grammar=data.world,
        depth=data.depth,
    )


def tokenizer(stage: FinetuningStage, source: DataSource) -> Tokenizer:
    """One SentencePiece model for all tasks of a folder, so that they can share what is pre-trained.

    With released weights open_clip's tokenizer, for teacher and student alike.
    """
    if stage.pretraining.teacher_weights or stage.pretraining.base_weights:
        return OpenClipTokenizer.open(tokens=stage.data.text_tokens)
    present = [task for task in TASKS if has_task(task, source.folder)] or [stage.task]

    def corpus() -> list[str]:
        records = (read(task, source.folder, "train", strict=False, links=stage.data.links) for task in present)
        return [text for each in records for text in texts(each)]

    corpus_id = " ".join([source.fingerprint, *present])
    return SentencePieceTokenizer.cached(corpus, corpus_id, stage.data.vocabulary, stage.data.text_tokens, source.cache)
