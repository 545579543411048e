"""Does the paper's preset run here? `python -m benchmarks.paper_step` does one real optimizer step of each task.

CoCa-Large teaches CoCa-Tiny12 at 576 px (1,024 patches) and 64 tokens: a student of Base's layers, one round of OPTIMA
of one step, rewarded on a probe as large as the batch. All code is the library's. Each task has a process of its own,
so that its peak of memory is its own.
"""

import argparse
import multiprocessing
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import torch

from optima_lab.coca.model import TaskModel, build, coca_config, for_task
from optima_lab.config import TASKS, Config
from optima_lab.data.batches import Split
from optima_lab.data.datasets import TaskData
from optima_lab.data.formats import labels
from optima_lab.distill.parallel import device
from optima_lab.distill.strategies import parse_strategy
from optima_lab.distill.student import Student, make_student
from optima_lab.distill.trainer import distill
from optima_lab.presets import preset
from optima_lab.tasks.distillation import CoCaDistillation
from optima_lab.tasks.recipes import new_student

SEED = 6808  # the smallest at which every task's first arm is of all modules
NEEDED_GIB, LIMIT_GIB = 10, 24  # 8.4 to 8.7 were measured at batch 2 on a CPU
VQA_CLASSES = 3_129  # answers seen at least nine times in VQA v2
ABOUT = (
    "the paper's: shapes, optimizer, schedule (the first of 1,000 warm-up steps), clipping, dropout, RandAugment, "
    "losses, reward, T0;\nnot the paper's: batch, probe and number of steps, and all weights, pictures and texts, "
    "which are random."
)


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
    tokenizer = Numbered(config.data.vocabulary, config.data.text_tokens)
    split = random_split(config, tokenizer, examples)
    return TaskData(TASKS[config.task], split, split, split, tokenizer)


def random_split(config: Config, tokenizer: Numbered, examples: int) -> Split:
    """`examples` rows; every text has a length of its own."""
    random, views = np.random.default_rng(config.seed), TASKS[config.task].pictures
    side, length = config.data.image_size, config.data.text_tokens
    tokens = random.integers(3, config.data.vocabulary, (examples, length))
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
    """One round of one step of Algorithm 1: its arm, losses and reward, and the seconds to build and to do it.

    Raises RuntimeError if any number, or any parameter after the update, is not finite.
    """
    start = time.perf_counter()
    data = random_data(config, config.distillation.probe_size + config.training.batch_size)
    teacher, student = build_pair(config, data)
    before = [p.detach().clone() for p in student.model.parameters()]
    built = time.perf_counter()
    ((_, [((played,), (step,))]),) = distill(config, CoCaDistillation(config, teacher, student.model, data), [student])
    seconds = {"build s": built - start, "step s": time.perf_counter() - built}
    moved = sum(not torch.equal(p, old) for p, old in zip(student.model.parameters(), before, strict=True))
    _require_finite({**played, **step}, student)
    found = {"arm": played["arm"], "tensors moved": f"{moved} of {len(before)}"}
    found |= {name: step[name] for name in ("train", "hidden", "attention")}
    return found | {"probe KL": played["probe_kl"], "reward": played["reward"]} | seconds


def build_pair(config: Config, data: TaskData) -> tuple[TaskModel, Student]:
    """A teacher, and a student of a base's layers that follows OPTIMA; the base is given up at once."""
    base = build(coca_config(config, "base", config.data.vocabulary), 2).to(device())
    model = new_student(config, base, data, config.seed)
    del base
    shape = coca_config(config, "teacher", config.data.vocabulary)
    teacher = for_task(build(shape, 1), shape, data.task.pictures, len(data.classes), 3).to(device())
    teacher = teacher.eval().requires_grad_(False)
    return teacher, make_student(config, parse_strategy("optima", config), model, model.shapes(), teacher.shapes())


def _require_finite(found: dict[str, Any], student: Student) -> None:
    wrong = [name for name, value in found.items() if isinstance(value, float) and not isfinite(value)]
    learnt = [*student.model.named_parameters(), *student.projections.named_parameters()]
    wrong += [name for name, value in learnt if not torch.isfinite(value).all()]
    wrong += [str(student.stopped)] * bool(student.stopped)
    if wrong:
        raise RuntimeError(f"not finite: {', '.join(wrong)}")


def paper(task: str, batch: int, accumulate: int = 1) -> Config:
    """The paper's preset of a task at batch `batch` in `accumulate` pieces, a probe as large, one round of one step.

    T0 = 10 plays of every arm come in random order; at this seed the first is of all modules, so that a step uses all.
    """
    sizes = {"batch_size": batch, "probe_size": batch, "accumulate": accumulate}
    return preset(task, "paper", seed=SEED, steps=1, round_steps=1, **sizes)


def measured(task: str, batch: int, accumulate: int = 1) -> dict[str, Any]:
    """What `one_step` found, and the peak GiB of this process and its GPU."""
    found = one_step(paper(task, batch, accumulate))
    found["peak GiB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    if torch.cuda.is_available():
        found["GPU GiB"] = torch.cuda.max_memory_allocated() / 2**30
    return found


def in_a_process(task: str, batch: int, accumulate: int = 1) -> dict[str, Any]:
    """`measured` in a process of its own: what is measured as a peak is of a whole process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measured, (task, batch, accumulate))


def available_gib() -> float:
    """Memory that a new process may take, as Linux says; elsewhere infinite."""
    about = Path("/proc/meminfo")
    lines = about.read_text().splitlines() if about.exists() else []
    return next((int(line.split()[1]) / 2**20 for line in lines if line.startswith("MemAvailable")), float("inf"))


def row(cells: Sequence[Any]) -> str:
    """One line of the table; numbers have four digits."""
    texts = [f"{cell:.4g}" if isinstance(cell, float) else str(cell) for cell in cells]
    widths = (8, 15, 15, *[11] * len(texts))
    return "".join(f"{text:<{wide}}" for text, wide in zip(texts, widths, strict=False)).rstrip()


def main() -> int:
    """One step of each task, one process after another; 1 where a step was not done or needs more than 24 GiB."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--accumulate", type=int, default=1, help="pieces that the batch is computed in")
    options = parser.parse_args()
    peaks: list[float] = []
    for task in options.tasks.split(","):
        if available_gib() < NEEDED_GIB:
            print(f"paper_step needs {NEEDED_GIB} GiB of free memory, got {available_gib():.1f}: {task} was not run")
            return 1
        found = in_a_process(task, options.batch, options.accumulate)
        print(*([] if peaks else [row(["task", *found])]), row([task, *found.values()]), sep="\n", flush=True)
        peaks.append(found["peak GiB"])
    print(f"all finite; peak {max(peaks):.1f} GiB, {'within' if max(peaks) <= LIMIT_GIB else 'NOT WITHIN'} {LIMIT_GIB}")
    print(ABOUT)
    return max(peaks) > LIMIT_GIB


if __name__ == "__main__":
    sys.exit(main())
