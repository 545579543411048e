"""What a score means: what needs no model at all, what needs no picture, and what one person scores against others."""

import numpy as np

from optima_lab.data.batches import Split
from optima_lab.data.datasets import TaskData
from optima_lab.tasks.metrics import caption_words, cider, row_scores


def constant_scores(data: TaskData) -> dict[str, float]:
    """Score in per cent on test of the best constant answer of each question kind, chosen on train; 'all' together."""
    scores = np.zeros(len(data.test))
    kinds = np.array(data.test.kinds)
    result: dict[str, float] = {}
    for kind in sorted(set(data.test.kinds)):
        rows = np.flatnonzero(kinds == kind)
        of_kind = np.array(data.train.kinds) == kind
        votes = data.train.targets[of_kind if of_kind.any() else slice(None)].sum(0)
        scores[rows] = row_scores(data, data.test, rows, [int(votes.argmax())] * len(rows))
        result[kind or "all"] = 100.0 * float(scores[rows].mean())
    return result | {"all": 100.0 * float(scores.mean())}


def kind_scores(split: Split, rows: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    """Mean score in per cent of each question kind."""
    kinds = np.array(split.kinds)[rows]
    return {kind or "all": 100.0 * float(scores[kinds == kind].mean()) for kind in sorted(set(kinds))}


def retrieval_score(data: TaskData, side: int = 8, block: int = 256) -> float:
    """CIDEr × 100 on test of the first caption of the training picture that looks most alike, by shrunken pixels.

    NaN where CIDEr is not defined: for one picture.
    """
    train, test = data.train.first_rows(), data.test.first_rows()
    train_pixels, test_pixels = (_thumbnails(s, rows, side) for s, rows in ((data.train, train), (data.test, test)))
    norms = (train_pixels**2).sum(1)
    starts = range(0, len(test_pixels), block)
    nearest = np.concatenate([(norms - 2 * test_pixels[i : i + block] @ train_pixels.T).argmin(1) for i in starts])
    written = [caption_words(data.train.references[data.train.examples[train[i]]][0]) for i in nearest]
    references = [[caption_words(text) for text in data.test.references[data.test.examples[row]]] for row in test]
    return 100.0 * cider(written, references)


def human_score(data: TaskData) -> float:
    """CIDEr × 100 on test of each picture's first reference against its others; NaN where fewer than two have any."""
    references = [[caption_words(text) for text in captions] for captions in data.test.references if len(captions) > 1]
    return 100.0 * cider([captions[0] for captions in references], [captions[1:] for captions in references])


def _thumbnails(split: Split, rows: np.ndarray, side: int) -> np.ndarray:
    images = split.images[split.views[rows, 0]]
    step = max(1, images.shape[1] // side)
    return images[:, ::step, ::step].reshape(len(rows), -1).astype(np.float32)
