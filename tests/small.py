"""Models, pictures, texts and data sets small enough to look at."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from optima_lab.coca.model import CoCaConfig, TaskModel, build, for_task
from optima_lab.config import TASKS, Config
from optima_lab.data.batches import Split
from optima_lab.data.datasets import TaskData
from optima_lab.data.formats import labels
from optima_lab.distill.population import Population
from optima_lab.distill.strategies import Strategy
from optima_lab.distill.student import Student, make_student
from optima_lab.distill.trainer import distill
from optima_lab.presets import preset
from optima_lab.tasks.distillation import CoCaDistillation

VOCABULARY, TOKENS, WIDTH = 23, 9, 16
BOS, EOS, PAD = 1, 2, 0
ANSWERS = ("red", "two", "yes", "no")


def shape(layers: tuple[int, int, int] = (2, 2, 2), **changes) -> CoCaConfig:
    """A CoCa of width 16 with two heads, 2 × 2 patches, texts of nine tokens."""
    small = CoCaConfig(layers, WIDTH, 8, 8, 4, TOKENS, VOCABULARY, "open_clip", 0)
    return replace(small, **changes)


def pictures(batch: int = 3, views: int = 1) -> Tensor:
    return torch.randn(batch, views, 3, 8, 8)


def sentences(*lengths: int) -> Tensor:
    """One row for each length: bos, words, eos (the length counts all three), then padding."""
    rows = torch.zeros(len(lengths), TOKENS, dtype=torch.long)
    for row, length in zip(rows, lengths, strict=True):
        row[:length] = torch.tensor([BOS, *torch.randint(3, VOCABULARY, (length - 2,)).tolist(), EOS])
    return rows


def shaken(model, scale: float = 0.3):
    """All parameters moved away from their tidy first values (biases of zero, norms of one hide mistakes)."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(scale * torch.randn_like(parameter))
    return model


class Words:
    """A tokenizer of numbered words: 'w7 w9' ↔ bos, 7, 9, eos, then padding."""

    vocab_size, tokens, pad, bos, eos = VOCABULARY, TOKENS, PAD, BOS, EOS

    def encode(self, texts) -> np.ndarray:
        rows = np.zeros((len(texts), self.tokens), np.int64)
        for row, text in zip(rows, texts, strict=True):
            line = [BOS, *(int(word[1:]) for word in text.split()), EOS]
            row[: len(line)] = line
        return rows

    def decode(self, row) -> str:
        numbers = [int(n) for n in row]
        numbers = numbers[: numbers.index(EOS)] if EOS in numbers else numbers
        return " ".join(f"w{n}" for n in numbers if n not in (PAD, BOS))


def split(task: str, name: str, examples: int, seed: int) -> Split:
    """Random pictures and texts of different lengths in the arrays of a real split."""
    random = np.random.default_rng(seed)
    views = TASKS[task].pictures
    classes = {"vqa": ANSWERS, "coco": ()}.get(task, labels(task))
    rows = 2 * examples if task == "coco" else examples  # two captions a picture
    example = np.repeat(np.arange(examples), rows // examples)
    texts = [" ".join(f"w{random.integers(3, VOCABULARY)}" for _ in range(random.integers(1, 7))) for _ in range(rows)]
    right = random.integers(0, max(1, len(classes)), examples)
    targets = np.eye(len(classes), dtype=np.float32)[right] if classes else np.zeros((rows, 0), np.float32)
    if task == "coco":
        references = tuple((texts[2 * n], texts[2 * n + 1]) for n in range(examples))
    else:
        references = tuple((classes[n],) * (10 if task == "vqa" else 1) for n in right)
    return Split(
        task=task,
        name=name,
        images=random.integers(0, 256, (examples * views, 8, 8, 3), dtype=np.uint8),
        views=(example[:, None] * views + np.arange(views)).astype(np.int64),
        tokens=Words().encode(texts),
        targets=targets,
        kinds=("",) * rows,
        examples=example,
        ids=tuple(str(n) for n in range(examples)),
        references=references,
        classes=classes,
        skipped=(),
    )


def task_data(task: str = "vqa", train: int = 24) -> TaskData:
    sizes = {"train": train, "dev": 10, "test": 11}
    splits = {name: split(task, name, size, seed) for seed, (name, size) in enumerate(sizes.items())}
    return TaskData(TASKS[task], **splits, tokenizer=Words())


def config(task: str = "vqa", **changes) -> Config:
    """Rounds of two steps on batches of four; a teacher wider and deeper than its student."""
    small = {
        "image_size": 8,
        "patch_size": 4,
        "text_tokens": TOKENS,
        "vocabulary": VOCABULARY,
        "head_width": 8,
        "teacher_layers": "4/3/2",
        "teacher_width": 24,
        "base_layers": "2/1/1",
        "student_layers": "2/1/1",
        "student_width": WIDTH,
        "steps": 20,
        "round_steps": 2,
        "initial_plays": 1,
        "probe_size": 6,
        "batch_size": 4,
        "warmup_steps": 3,
        "lr": 5e-3,
        "dropout": 0.0 if task == "coco" else 0.2,
    }
    return preset(task, "smoke", **(small | changes))


def task_model(which: str, settings: Config, seed: int, data: TaskData) -> TaskModel:
    """A 'teacher' or 'student' of the configuration with random parameters."""
    from optima_lab.coca.model import coca_config

    small = coca_config(settings, which, VOCABULARY)
    model = for_task(build(small, seed), small, data.task.pictures, len(data.classes), seed)
    return model.eval().requires_grad_(False) if which == "teacher" else model


def pupil(settings: Config, strategy: Strategy, model: TaskModel, teacher: TaskModel) -> Student:
    """A student for this teacher."""
    return make_student(settings, strategy, model, model.shapes(), teacher.shapes())


def population(settings: Config, teacher: TaskModel, students: Sequence[Student], data: TaskData) -> Population:
    """These students, their teacher and data."""
    return Population(settings, CoCaDistillation(settings, teacher, students[0].model, data), students)


def distilled(
    settings: Config, teacher: TaskModel, students: Sequence[Student], data: TaskData, done: int = 0
) -> Iterator:
    """Algorithm 1 for these students."""
    return distill(settings, CoCaDistillation(settings, teacher, students[0].model, data), students, done)
