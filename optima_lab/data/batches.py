"""Records to arrays: what a training loop takes its batches from. Numpy only.

`load` reads, decodes and encodes one split; `order` says which rows make up which step; `probe` draws the fixed batch
that rewards are measured on.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from optima_lab.data.answers import soft_targets
from optima_lab.data.formats import Example, Records, labels, read
from optima_lab.data.images import decode_all
from optima_lab.data.tokenizers import Tokenizer
from optima_lab.errors import ConfigError, DataError

_ORDER_STREAM, _PROBE_STREAM, _LIMIT_STREAM = 11, 12, 13
_HASHED_BYTES = 1 << 30


@dataclass(frozen=True)
class Batch:
    """images uint8 (row, view, height, width, 3), tokens int64 (row, token), targets float32 (row, class)."""

    images: np.ndarray
    tokens: np.ndarray
    targets: np.ndarray


@dataclass(frozen=True)
class Split:
    """One split as arrays.

    A row is one example, for captions one caption of it. `images` uint8 (picture, height, width, 3). Per row: `views`
    int64 (row, 1 or 2) numbers of pictures, `tokens` int64 (row, token) with one column of padding more than the
    longest text, `targets` float32 (row, class), `kinds` question types, `examples` int64 numbers of examples. Per
    example: `ids`, and `references`, all its answers or captions. `classes` names the columns of `targets`: the answer
    vocabulary or the labels, empty for captions.
    """

    task: str
    name: str
    images: np.ndarray
    views: np.ndarray
    tokens: np.ndarray
    targets: np.ndarray
    kinds: tuple[str, ...]
    examples: np.ndarray
    ids: tuple[str, ...]
    references: tuple[tuple[str, ...], ...]
    classes: tuple[str, ...]
    skipped: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.tokens)

    def take(self, indices: np.ndarray | Sequence[int]) -> Batch:
        """The rows `indices`, in that order."""
        return Batch(self.images[self.views[indices]], self.tokens[indices], self.targets[indices])

    def first_rows(self) -> np.ndarray:
        """The first row of every example: one row per picture where a picture has several captions."""
        return np.unique(self.examples, return_index=True)[1]


def load(
    task: str,
    folder: str | Path,
    split: str,
    tokenizer: Tokenizer,
    image_size: int,
    *,
    strict: bool = True,
    cache: str | Path | None = None,
    vocabulary: Sequence[str] | None = None,
    limit: int = 0,
    links: bool = False,
) -> Split:
    """Read one split and turn it into arrays; VQA needs its answer `vocabulary` (see `answers.answer_vocabulary`).

    `limit` keeps so many examples, drawn at random but always the same ones; 0 keeps all.
    """
    records = read(task, folder, split, strict, links)
    return pack(
        task, split, records, tokenizer, image_size, strict=strict, cache=cache, vocabulary=vocabulary, limit=limit
    )


def pack(
    task: str,
    split: str,
    records: Records,
    tokenizer: Tokenizer,
    image_size: int,
    *,
    strict: bool = True,
    cache: str | Path | None = None,
    vocabulary: Sequence[str] | None = None,
    limit: int = 0,
    cut: bool = True,
) -> Split:
    """`load` for records that are read already; padding that all texts share is `cut` off."""
    if type(image_size) is not int or image_size < 1:
        raise ConfigError(f"image_size must be a whole number of pixels above 0; got {image_size!r}")
    classes = _classes(task, vocabulary)
    examples = _limited(records.examples, limit)
    paths = list(dict.fromkeys(path for example in examples for path in example.images))
    images, problems = decode_all(paths, image_size, strict, Path(cache) if cache is not None else None)
    number = {path: index for index, path in enumerate(paths)}
    kept, skipped = _without_bad(examples, number, problems)
    if not kept:
        reasons = [*records.skipped, *skipped]
        raise DataError(
            f"the {split} split of {task} must hold an example; got none" + (f" ({reasons[0]})" if reasons else "")
        )
    rows = _rows(kept)
    tokens = tokenizer.encode([text for _, text in rows])
    return Split(
        task=task,
        name=split,
        images=images,
        views=np.array([[number[path] for path in kept[example].images] for example, _ in rows], np.int64),
        tokens=_cut(tokens, tokenizer.pad) if cut else tokens,
        targets=_targets(task, kept, classes),
        kinds=tuple(kept[example].kind for example, _ in rows),
        examples=np.array([example for example, _ in rows], np.int64),
        ids=tuple(example.id for example in kept),
        references=tuple(example.answers for example in kept),
        classes=classes,
        skipped=(*records.skipped, *skipped),
    )


def texts(records: Records) -> list[str]:
    """What a model reads or writes in these records: questions, hypotheses, statements, or every caption."""
    return [text for _, text in _rows(records.examples)]


def order(seed: int, step: int, batch_size: int, n: int) -> np.ndarray:
    """The `batch_size` rows of step 0, 1, … of an endless run over `n` rows: int64 (batch_size,).

    Every epoch is a permutation of its own, drawn from (seed, epoch) alone, so any step is known without the steps
    before it. A batch that reaches the end of an epoch goes on in the next one.
    """
    if min(batch_size, n) < 1 or step < 0:
        raise ConfigError(f"batch_size and n must be above 0, step not below; got {batch_size}, {n}, {step}")
    start, stop = step * batch_size, (step + 1) * batch_size
    epochs = range(start // n, (stop - 1) // n + 1)
    rows = np.concatenate([_permutation(seed, epoch, n) for epoch in epochs])
    return rows[start - epochs[0] * n : stop - epochs[0] * n]


def probe(seed: int, n: int, size: int) -> np.ndarray:
    """`size` of `n` rows for the fixed batch of the reward, from a stream of their own: int64 (size,), ascending."""
    if not 1 <= size <= n:
        raise ConfigError(f"probe_size must lie in 1..{n} (rows of train); got {size}")
    return np.sort(np.random.default_rng([_PROBE_STREAM, seed]).choice(n, size, replace=False))


def fingerprint(split: Split) -> str:
    """16 hex digits that change with what a model sees or is judged by: pictures, tokens, targets, references.

    Above 1 GB of pictures, evenly spread ones stand for all.
    """
    digest = hashlib.sha256(repr((split.task, split.name, split.images.shape, split.classes)).encode())
    every = max(1, -(-split.images.nbytes // _HASHED_BYTES))
    for array in (split.images[::every], split.views, split.tokens, split.targets):
        digest.update(np.ascontiguousarray(array).data)
    digest.update(repr((split.kinds, split.references)).encode())
    return digest.hexdigest()[:16]


@lru_cache(maxsize=4)
def _permutation(seed: int, epoch: int, n: int) -> np.ndarray:
    rows = np.random.default_rng([_ORDER_STREAM, seed, epoch]).permutation(n)
    rows.setflags(write=False)
    return rows


def _classes(task: str, vocabulary: Sequence[str] | None) -> tuple[str, ...]:
    if task != "vqa":
        return labels(task)
    if not vocabulary:
        raise ConfigError(
            "vqa needs a vocabulary of answers, got none: is answer_count larger than any answer is frequent?"
        )
    return tuple(vocabulary)


def _limited(examples: tuple[Example, ...], limit: int) -> tuple[Example, ...]:
    if limit < 0:
        raise ConfigError(f"limit must be 0 (all) or a number of examples; got {limit}")
    if not 0 < limit < len(examples):
        return examples
    chosen = np.random.default_rng(_LIMIT_STREAM).permutation(len(examples))[:limit]
    return tuple(examples[index] for index in np.sort(chosen))


def _without_bad(
    examples: tuple[Example, ...], number: dict[Path, int], problems: dict[int, str]
) -> tuple[list[Example], list[str]]:
    kept, skipped = [], []
    for example in examples:
        reasons = [problems[number[path]] for path in example.images if number[path] in problems]
        if reasons:
            skipped.append(f"{reasons[0]} (record {example.id})")
        else:
            kept.append(example)
    return kept, skipped


def _rows(examples: Sequence[Example]) -> list[tuple[int, str]]:
    """(example, text) of every row: one row per text, or per caption where there is no text."""
    return [
        (index, text)
        for index, example in enumerate(examples)
        for text in ((example.text,) if example.text else example.answers)
    ]


def _cut(tokens: np.ndarray, pad: int) -> np.ndarray:
    """Without the columns that hold padding alone, but one: masks of released weights look one token ahead.

    Nothing attends to padding and no loss counts it, so what models say of the real tokens stays the same.
    """
    used = np.flatnonzero((tokens != pad).any(0))
    return np.ascontiguousarray(tokens[:, : used.max(initial=0) + 2])


def _targets(task: str, examples: list[Example], classes: tuple[str, ...]) -> np.ndarray:
    if task == "vqa":
        return soft_targets(examples, classes)
    if not classes:
        return np.zeros((sum(len(example.answers) for example in examples), 0), np.float32)
    columns = [classes.index(example.answers[0]) for example in examples]
    return np.eye(len(classes), dtype=np.float32)[columns]
