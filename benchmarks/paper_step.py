"""Does the paper's preset run here? `python -m benchmarks.paper_step` does one real optimizer step of each task.

CoCa-Large teaches CoCa-Tiny12 at 576 px (1,024 patches) and 64 tokens: a student of Base's layers, one
round of OPTIMA of one step at batch 2, rewarded on a probe of 2 (at seed 0 its first arm is that of all modules). All
code is the library's; weights, pictures and texts are random. Each task has a process of its own.
"""

import argparse
import multiprocessing
import resource
import sys
import time
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import torch

from optima_lab.config import TASKS, Config, preset
from optima_lab.data.batches import Split
from optima_lab.data.corpus import TaskData
from optima_lab.data.formats import labels
from optima_lab.distill.models import build, for_task, size
from optima_lab.distill.strategies import parse_strategy
from optima_lab.distill.student import Student, make_student
from optima_lab.distill.tasks import device
from optima_lab.distill.teacher import new_student
from optima_lab.distill.trainer import distill

NEEDED_GIB, LIMIT_GIB = 12, 24
VQA_CLASSES = 3_129  # answers seen at least nine times in VQA v2


@dataclass(frozen=True)
class Numbered:
    """A tokenizer by its numbers alone: the texts are random."""

    vocab_size: int
    tokens: int
    pad: int = 0
    bos: int = 1
    eos: int = 2

    def encode(self, texts: Any) -> np.ndarray:
        """Nothing here has text."""
        raise NotImplementedError

    def decode(self, row: Any) -> str:
        """Nothing here has text."""
        raise NotImplementedError


def random_data(config: Config, examples: int) -> TaskData:
    """Random pictures, texts and targets in the arrays of a real task."""
    tokenizer = Numbered(config.vocabulary, config.text_tokens)
    split = random_split(config, tokenizer, examples)
    return TaskData(TASKS[config.task], split, split, split, tokenizer)


def random_split(config: Config, tokenizer: Numbered, examples: int) -> Split:
    """`examples` rows; every text has a length of its own."""
    random, views = np.random.default_rng(config.seed), TASKS[config.task].pictures
    side, length = config.image_size, config.text_tokens
    tokens = random.integers(3, config.vocabulary, (examples, length))
    for row, words in zip(tokens, random.integers(length // 2, length, examples), strict=True):
        row[0], row[words], row[words + 1 :] = tokenizer.bos, tokenizer.eos, tokenizer.pad
    names = tuple(f"answer {n}" for n in range(VQA_CLASSES)) if config.task == "vqa" else labels(config.task)
    targets = np.eye(len(names), dtype=np.float32)[random.integers(0, max(1, len(names)), examples)] if names else None
    return Split(
        task=config.task,
        name="train",
        images=random.integers(0, 256, (examples * views, side, side, 3), np.uint8),
        views=np.arange(examples * views).reshape(examples, views),
        tokens=tokens,
        targets=np.zeros((examples, 0), np.float32) if targets is None else targets,
        kinds=("",) * examples,
        examples=np.arange(examples),
        ids=tuple(map(str, range(examples))),
        references=(("",),) * examples,
        classes=names,
        skipped=(),
    )


def one_step(config: Config) -> dict[str, Any]:
    """One round of one step of Algorithm 1; what was measured, by name.

    Raises RuntimeError if any of it is not finite.
    """
    data = random_data(config, config.probe_size + config.batch_size)
    base = build(size(config, "base", config.vocabulary), 2).to(device())
    model = new_student(config, base, data, config.seed)
    del base
    shape = size(config, "teacher", config.vocabulary)
    teacher = for_task(build(shape, 1), shape, data.task.pictures, len(data.classes), 3).to(device())
    teacher = teacher.eval().requires_grad_(False)
    student = make_student(config, parse_strategy("optima", config), model, teacher)
    before = [p.detach().clone() for p in model.parameters()]
    ((_, [((played,), (step,))]),) = distill(config, teacher, [student], data)
    moved = sum(not torch.equal(p, old) for p, old in zip(model.parameters(), before, strict=True))
    found = {"arm": played["arm"], "tensors moved": f"{moved} of {len(before)}"}
    found |= {name: step[name] for name in ("train", "hidden", "attention", "total")}
    found |= {name: played[name] for name in ("probe_kl", "probe_hidden", "probe_attention", "reward")}
    _require_finite(found, student)
    return found


def _require_finite(found: dict[str, Any], student: Student) -> None:
    wrong = [name for name, value in found.items() if isinstance(value, float) and not isfinite(value)]
    wrong += [name for name, value in student.model.named_parameters() if not torch.isfinite(value).all()]
    wrong += [str(student.stopped)] * bool(student.stopped)
    if wrong:
        raise RuntimeError(f"not finite: {', '.join(wrong)}")


def paper(task: str, batch: int) -> Config:
    """The paper's preset of a task at batch `batch`, one round of one step; nothing else is changed."""
    return preset(task, "paper", batch_size=batch, probe_size=batch, steps=1, round_steps=1)


def measured(task: str, batch: int) -> tuple[str, dict[str, Any], float, float]:
    """(task, what `one_step` found, seconds, peak GiB of this process and its GPU)."""
    start = time.perf_counter()
    found = one_step(paper(task, batch))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    if torch.cuda.is_available():
        found["gpu_gib"] = torch.cuda.max_memory_allocated() / 2**30
    return task, found, time.perf_counter() - start, peak


def available_gib() -> float:
    """Memory that a new process may take, as Linux says; elsewhere infinite."""
    about = Path("/proc/meminfo")
    lines = about.read_text().splitlines() if about.exists() else []
    return next((int(line.split()[1]) / 2**20 for line in lines if line.startswith("MemAvailable")), float("inf"))


def main() -> int:
    """One step of each task, one process after another; 1 where a step needs more than 24 GiB."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--batch", type=int, default=2)
    options = parser.parse_args()
    if available_gib() < NEEDED_GIB:
        print(f"paper_step needs {NEEDED_GIB} GiB of free memory, got {available_gib():.1f}: not run")
        return 0
    worst = 0.0
    for task in options.tasks.split(","):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            _, found, seconds, peak = pool.apply(measured, (task, options.batch))
        worst = max(worst, peak)
        print(f"{task:8s} {seconds:6.0f} s  peak {peak:5.1f} GiB", flush=True)
        print("  " + "  ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in found.items()))
    print(f"all finite; peak {worst:.1f} GiB, {'within' if worst <= LIMIT_GIB else 'NOT WITHIN'} {LIMIT_GIB}")
    return worst > LIMIT_GIB


if __name__ == "__main__":
    sys.exit(main())
