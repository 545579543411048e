"""Where a task's data lies and all of it as arrays: the embedded world, or a folder in the official layouts."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import numpy as np

from optima_lab.config import TASKS, Config, Task
from optima_lab.data.answers import answer_vocabulary
from optima_lab.data.batches import Split, pack, texts
from optima_lab.data.formats import Records, read, task_folder
from optima_lab.data.scenes import World, write_world
from optima_lab.data.tokens import OpenClipTokenizer, SentencePieceTokenizer, Tokenizer
from optima_lab.errors import DataError

SPLITS = ("train", "dev", "test")


@dataclass(frozen=True)
class Source:
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
    plain: bool = False  # written captions: without the key/value cache

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the answers or labels; empty for captions."""
        return self.train.classes


def locate(config: Config, runs: Path) -> Source:
    """The data of a configuration, without reading it: `config.data`, or the embedded world in the cache of `runs`.

    Raises DataError where the folder or the task's part of it is missing.
    """
    cache = runs / "cache"
    if not config.data:
        world = _world(config)
        return Source(cache / world.id, world.id, cache, world)
    folder = Path(config.data)
    if not os.path.isdir(folder):  # also where no folder could have such a name
        raise DataError(f"data must be a folder with {', '.join(TASKS)} in the official layouts, got {config.data!r}")
    task_folder(config.task, folder)  # refuses a folder without the task
    return Source(folder, _fingerprint(folder), cache)


def load(config: Config, source: Source) -> TaskData:
    """A task's splits, classes and tokenizer. Raises DataError for a bad record, or where something is missing."""
    if source.world is not None:
        write_world(source.folder, source.world)
    records = {split: read(config.task, source.folder, split, config.strict) for split in SPLITS}
    tokenizer = _tokenizer(config, source)
    vocabulary = answer_vocabulary(records["train"].examples, config.answer_count) if config.task == "vqa" else None
    splits = {
        split: _arrays(config, source, config.task, split, found, tokenizer, vocabulary)
        for split, found in records.items()
    }
    return TaskData(TASKS[config.task], **splits, tokenizer=tokenizer, plain=config.plain)


def has_captions(source: Source) -> bool:
    """Whether pre-training has `coco/` to learn from, which all tasks then share."""
    return (source.folder / "coco").is_dir()


def pretraining_pairs(config: Config, source: Source, data: TaskData) -> Split:
    """The (picture, caption) pairs of pre-training: those of `coco/`, else the task's own texts."""
    if data.task.captions or not has_captions(source):
        return data.train
    return _arrays(config, source, "coco", "train", read("coco", source.folder, "train", config.strict), data.tokenizer)


def _arrays(
    config: Config,
    source: Source,
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
        config.image_size,
        strict=config.strict,
        cache=source.cache,
        vocabulary=vocabulary,
        limit=config.limit,
        cut=not config.plain,
    )


def blank(data: TaskData) -> TaskData:
    """The same data with grey pictures: what is left is what the texts give away."""

    def grey(split: Split) -> Split:
        return replace(split, images=np.broadcast_to(np.uint8(127), split.images.shape))

    return replace(data, train=grey(data.train), dev=grey(data.dev), test=grey(data.test))


def _world(config: Config) -> World:
    dev, test = (max(64, config.scenes // share) for share in (12, 6))  # test once, at the end: it may be larger
    px = min(config.image_size, 96)
    return World(config.scenes, dev, test, picture_px=px, seed=config.world_seed)


def _tokenizer(config: Config, source: Source) -> Tokenizer:
    """One SentencePiece model for all tasks of a folder, so that they can share what is pre-trained.

    With released weights open_clip's tokenizer, for teacher and student alike.
    """
    if config.teacher_weights or config.base_weights:
        return OpenClipTokenizer.open(tokens=config.text_tokens)
    present = [task for task in TASKS if (source.folder / task).is_dir()] or [config.task]

    def corpus() -> list[str]:
        return [text for task in present for text in texts(read(task, source.folder, "train", strict=False))]

    known_by = " ".join([source.fingerprint, *present])
    return SentencePieceTokenizer.cached(corpus, known_by, config.vocabulary, config.text_tokens, source.cache)


def _fingerprint(folder: Path) -> str:
    """16 hex digits of the annotation files' bytes and the pictures' names and sizes; hidden files are no data."""
    digest = sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith(".")):
        digest.update(f"{path.relative_to(folder)} {path.stat().st_size}\n".encode())
        if path.suffix in (".json", ".jsonl"):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
