"""Where a task's data lies and all of it as arrays: the embedded world, or a folder in the official layouts."""

import os
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


def load(config: Config, source: Source) -> tuple[TaskData, Split]:
    """A task's data and the (picture, caption) pairs of pre-training: `coco/`, else the task's own texts."""
    if source.world is not None:
        write_world(source.folder, source.world)
    records = {split: _read(config, source, config.task, split) for split in SPLITS}
    captioned = _captioned(source)
    captions = _read(config, source, captioned, "train") if captioned else records["train"]
    tokenizer = _tokenizer(config, source)
    vocabulary = answer_vocabulary(records["train"].examples, config.answer_count) if config.task == "vqa" else None

    def arrays(task: str, split: str, found: Records) -> Split:
        return pack(
            task,
            split,
            found,
            tokenizer,
            config.image_size,
            strict=config.strict,
            cache=source.cache,
            vocabulary=vocabulary if task == "vqa" else None,
            limit=config.limit,
            cut=not config.plain,
        )

    splits = {split: arrays(config.task, split, found) for split, found in records.items()}
    pairs = splits["train"] if captioned in ("", config.task) else arrays(captioned, "train", captions)
    return TaskData(TASKS[config.task], **splits, tokenizer=tokenizer, plain=config.plain), pairs


def blank(data: TaskData) -> TaskData:
    """The same data with grey pictures: what is left is what the texts give away."""

    def grey(split: Split) -> Split:
        return replace(split, images=np.broadcast_to(np.uint8(127), split.images.shape))

    return replace(data, train=grey(data.train), dev=grey(data.dev), test=grey(data.test))


def _world(config: Config) -> World:
    dev, test = (max(64, config.scenes // share) for share in (12, 6))  # test once, at the end: it may be larger
    px = min(config.image_size, 96)
    return World(config.scenes, dev, test, picture_px=px, seed=config.world_seed)


def _read(config: Config, source: Source, task: str, split: str) -> Records:
    return read(task, source.folder, split, config.strict)


def _captioned(source: Source) -> str:
    return "coco" if (source.folder / "coco").is_dir() else ""


def _tokenizer(config: Config, source: Source) -> Tokenizer:
    """One SentencePiece model for all tasks of a folder, so that they can share what is pre-trained.

    With released weights open_clip's tokenizer, for teacher and student alike.
    """
    if config.teacher_weights or config.base_weights:
        return OpenClipTokenizer.open(tokens=config.text_tokens)
    present = [task for task in TASKS if (source.folder / task).is_dir()] or [config.task]
    corpus = [text for task in present for text in texts(read(task, source.folder, "train", strict=False))]
    return SentencePieceTokenizer.cached(corpus, config.vocabulary, config.text_tokens, source.cache)


def _fingerprint(folder: Path) -> str:
    """16 hex digits of the annotation files' bytes and the pictures' names and sizes; hidden files are no data."""
    digest = sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith(".")):
        digest.update(f"{path.relative_to(folder)} {path.stat().st_size}\n".encode())
        if path.suffix in (".json", ".jsonl"):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
