"""Scores: VQA's official accuracy, plain accuracy, CIDEr of greedy captions; and the losses of Fig. 4."""

from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from io import StringIO

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from optima_lab.coca.forward import walk
from optima_lab.coca.generation import Continuation
from optima_lab.coca.model import TaskModel
from optima_lab.data.answers import normalize_answer, strip_answer
from optima_lab.data.batches import Split
from optima_lab.data.caption_tokenizer import tokenize_caption
from optima_lab.data.datasets import TaskData
from optima_lab.data.tokenizers import OpenClipTokenizer, Tokenizer
from optima_lab.tasks.caption_metrics import bleu4, rouge_l, unweighted
from optima_lab.tasks.objectives import DeviceBatch, predict, prediction_kl, to_device, training_loss


def vqa_accuracy(prediction: str, answers: Sequence[str]) -> float:
    """VQA's official score of one answer, 0 to 1: min(1, matches / 3), the mean over all leave-one-out subsets.

    As in the official evaluation answers are normalised (case, articles, punctuation, number words) only where people
    differ: to ten times 'one way', '1 way' is wrong.
    """
    predicted, people = strip_answer(prediction), [strip_answer(answer) for answer in answers]
    if len(set(people)) > 1:
        predicted, people = normalize_answer(predicted), [normalize_answer(answer) for answer in people]
    matches, total = people.count(predicted), len(people)
    # Leaving out a match leaves matches - 1 of them, leaving out another answer leaves all.
    return (matches * min(1.0, (matches - 1) / 3) + (total - matches) * min(1.0, matches / 3)) / total


def caption_words(text: str) -> str:
    """A caption as the scorers' tokens with single spaces between: see `data.caption_tokenizer`."""
    return " ".join(tokenize_caption(text))


def cider(captions: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """CIDEr of a corpus by pycocoevalcap, document frequencies from `references`; tokens split on white space.

    NaN where it is not defined: a word is weighed by in how few pictures it occurs, so with one picture, or several
    whose references have the very same words, none weighs anything.
    """
    from pycocoevalcap.cider.cider import Cider

    if unweighted(references):
        return float("nan")
    keys = range(len(captions))
    with redirect_stdout(StringIO()):
        score, _ = Cider().compute_score({i: list(references[i]) for i in keys}, {i: [captions[i]] for i in keys})
    return float(score)


@torch.no_grad()
def generate(model: TaskModel, images: Tensor, tokenizer: Tokenizer, length: int) -> Int[Tensor, "batch token"]:
    """Greedy captions of at most `length` tokens, from the start token to the first end token, then padding."""
    tokens = torch.full((len(images), length), tokenizer.pad, dtype=torch.long, device=images.device)
    tokens[:, 0] = tokenizer.bos
    next_logits = _continued(model, images, tokens)
    running = torch.ones(len(images), dtype=torch.bool, device=images.device)
    for step in range(1, length):
        best = next_logits(step).argmax(-1)
        tokens[:, step] = torch.where(running, best, tokenizer.pad)
        running &= best != tokenizer.eos
        if not running.any():  # a wait for the device, outside of training
            break
    return tokens


def _continued(model: TaskModel, images: Tensor, tokens: Tensor) -> Callable[[int], Tensor]:
    """Logits of the token at a step, from keys and values of those before it."""
    image_tokens = walk(model.coca, images, tokens, run=frozenset({"image"})).image_tokens
    assert image_tokens is not None
    caption = Continuation(model.coca, image_tokens)
    return lambda step: caption.next_logits(tokens[:, step - 1], step - 1)


@dataclass
class Evaluation:
    """What one model reached on some rows of a split; `score` in per cent (CIDEr × 100), NaN where it is not defined.

    `more` are further metrics in per cent, by name: of captions BLEU-4 and ROUGE-L.
    """

    prediction_loss: float = 0.0
    kl: float = 0.0
    score: float = float("nan")
    right: np.ndarray = field(default_factory=lambda: np.zeros(0))  # (row,) 0 to 1; empty for captions
    more: dict[str, float] = field(default_factory=dict)

    def metrics(self) -> dict[str, float]:
        """Metric name → value, as records keep them."""
        values = {"score": self.score, "prediction_loss": self.prediction_loss, "kl": self.kl, **self.more}
        return {name: value for name, value in values.items() if not np.isnan(value)}


@torch.inference_mode()
def evaluate(
    models: Sequence[TaskModel],
    teacher: TaskModel | None,
    data: TaskData,
    split: Split,
    rows: np.ndarray,
    batch_size: int,
) -> list[Evaluation]:
    """Score, prediction loss and KL to the teacher of every model on `rows` of a split.

    The teacher runs once for all of them; without one KL is NaN.
    """
    results = [Evaluation(kl=0.0 if teacher else float("nan")) for _ in models]
    right: list[list[np.ndarray]] = [[] for _ in models]
    # A loss is a mean over examples, or over real tokens: weigh each batch by how many it has.
    count = (split.tokens[rows, 1:] != data.tokenizer.pad).sum(1) if data.task.captions else np.ones(len(rows))
    for start in range(0, len(rows), batch_size):
        part = rows[start : start + batch_size]
        share = float(count[start : start + len(part)].sum() / count.sum())
        batch = to_device(split.take(part), models[0].device)
        target = None if teacher is None else predict(teacher, batch)
        for model, result, scores in zip(models, results, right, strict=True):
            prediction = predict(model, batch)
            _add_losses(result, data, prediction, target, batch, share)
            if not data.task.captions:
                scores.append(row_scores(data, split, part, prediction.argmax(-1).tolist()))
    for model, result, scores in zip(models, results, right, strict=True):
        if scores:
            result.right = np.concatenate(scores)
            result.score = 100.0 * float(result.right.mean())
        else:
            scores = caption_scores(model, data, split, rows, batch_size)
            result.score, result.more = scores.pop("cider"), scores
    return results


def _add_losses(
    result: Evaluation, data: TaskData, prediction: Tensor, target: Tensor | None, batch: DeviceBatch, share: float
) -> None:
    pad = data.tokenizer.pad
    result.prediction_loss += share * float(training_loss(data.task, prediction, batch, pad))
    if target is not None:
        result.kl += share * float(prediction_kl(data.task, prediction, target, batch, pad))


def row_scores(data: TaskData, split: Split, rows: np.ndarray, chosen: Sequence[int]) -> np.ndarray:
    """Score from 0 to 1 of the class chosen for each row: VQA's official accuracy, or whether the label is right."""
    if data.task.name != "vqa":
        return (split.targets[rows].argmax(-1) == np.asarray(chosen)).astype(float)
    references = (split.references[example] for example in split.examples[rows])
    return np.array([vqa_accuracy(data.classes[c], answers) for c, answers in zip(chosen, references, strict=True)])


def caption_scores(
    model: TaskModel, data: TaskData, split: Split, rows: np.ndarray, batch_size: int
) -> dict[str, float]:
    """'cider', 'bleu4' and 'rouge_l', × 100, of greedy captions, one for every picture that occurs in `rows`."""
    _, first = np.unique(split.views[rows, 0], return_index=True)
    rows = rows[np.sort(first)]
    written = [caption_words(caption) for caption in write_captions(model, data.tokenizer, split, rows, batch_size)]
    decoded = [[_as_decoded(text, data.tokenizer) for text in split.references[split.examples[row]]] for row in rows]
    references = [[caption_words(text) for text in texts] for texts in decoded]
    return {name: 100.0 * score(written, references) for name, score in _SCORERS.items()}


def write_captions(
    model: TaskModel, tokenizer: Tokenizer, split: Split, rows: np.ndarray, batch_size: int
) -> list[str]:
    """The model's greedy caption of each row's picture."""
    written: list[str] = []
    for start in range(0, len(rows), batch_size):
        batch = to_device(split.take(rows[start : start + batch_size]), model.device)
        tokens = generate(model, batch.images, tokenizer, tokenizer.tokens).cpu().numpy()
        written += [tokenizer.decode(row) for row in tokens]
    return written


def _as_decoded(text: str, tokenizer: Tokenizer) -> str:
    """A reference spaced as the tokenizer would give it back: CLIP's loses where spaces were."""
    return tokenizer.as_decoded(text) if isinstance(tokenizer, OpenClipTokenizer) else text


_SCORERS = {"cider": cider, "bleu4": bleu4, "rouge_l": rouge_l}
