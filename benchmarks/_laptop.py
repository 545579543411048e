"""What the step benchmarks share: models and data of laptop size, and times taken in turns.

Weights are random (time does not depend on them); pictures and texts are the embedded world's.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import torch

from optima_lab.coca.model import TaskModel, build, coca_config, for_task
from optima_lab.config import Config
from optima_lab.config.parameters import override
from optima_lab.data.datasets import TaskData, load, locate
from optima_lab.distill.strategies import parse_strategies
from optima_lab.distill.student import Student, make_student
from optima_lab.distill.trainer import distill
from optima_lab.presets import preset
from optima_lab.tasks.distillation import CoCaDistillation
from optima_lab.tasks.recipes import new_student

LWD = "img+txt+multi"
ARMS = ("img", "txt", "multi", "img+txt", "img+multi", "txt+multi", LWD)
ENDLESS = 10**6
PRINTED: dict[str, float] = {}  # what this process has printed, by its words


@dataclass(frozen=True)
class Setting:
    """A task's data and an untrained teacher; `config` may differ from the preset's."""

    config: Config
    data: TaskData
    teacher: TaskModel

    def students(self, names: str, seed: int = 0) -> list[Student]:
        """New students of the strategies `names`."""
        c = self.config
        base = build(coca_config(c, "base", self.data.tokenizer.vocab_size), 2)
        strategies = parse_strategies(names, c)
        models = [new_student(c, base, self.data, seed) for _ in strategies]
        return [
            make_student(c, s, m, m.shapes(), self.teacher.shapes()) for s, m in zip(strategies, models, strict=True)
        ]

    def task(self, students: list[Student]) -> CoCaDistillation:
        """What they learn from."""
        return CoCaDistillation(self.config, self.teacher, students[0].model, self.data)

    def rounds(self, names: str, **changes: Any) -> Iterator[Any]:
        """The trainer itself, a round at every `next`."""
        setting = replace(self, config=override(self.config, {"steps": ENDLESS, **changes}))
        students = setting.students(names)
        return distill(setting.config, setting.task(students), students)


@lru_cache(maxsize=1)
def _data(task: str) -> TaskData:
    config = preset(task, scenes=600)
    with tempfile.TemporaryDirectory() as folder:
        return load(config, locate(config, Path(folder)))


def laptop(task: str = "vqa", **changes: Any) -> Setting:
    """The laptop's shapes and batches, or some of them changed."""
    config, data = preset(task, **changes), _data(task)
    shape = coca_config(config, "teacher", data.tokenizer.vocab_size)
    teacher = for_task(build(shape, 1), shape, data.task.pictures, len(data.classes), 3)
    return Setting(config, data, teacher.eval().requires_grad_(False))


def in_turns(
    runs: Mapping[str, Callable[[], object]],
    repeats: int,
    warm: int = 2,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Seconds of every run, `repeats` times, one after the other: what disturbs the machine disturbs them alike."""
    for run in [*runs.values()] * warm:
        run()
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            start = clock()
            run()
            seconds[name].append(clock() - start)
    return seconds


def waited(run: Callable[[], Any]) -> Callable[[], None]:
    """Until the device has done it."""

    def whole() -> None:
        run()
        if torch.cuda.is_available():
            torch.cuda.synchronize()

    return whole


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Turn by turn."""
    return [a / b for a, b in zip(ours, theirs, strict=True)]


def line(what: str, values: Sequence[float], most: float | None = None, unit: str = "") -> None:
    """Print a median with the middle half of the values, and whether it is at most what is wanted."""
    low, middle, high = quantiles(values, n=4) if len(values) > 1 else [values[0]] * 3
    PRINTED[what] = middle
    goal = "" if most is None else f"  wanted <= {most:.2f}: {'yes' if round(middle, 2) <= most else 'NO'}"
    print(f"{what:58s} {middle:8.2f}{unit}  {low:.2f} … {high:.2f}{goal}", flush=True)


def milliseconds(values: Sequence[float], steps: int = 1) -> float:
    """The median, a step."""
    return 1000 * median(values) / steps


def options(about: str | None) -> argparse.Namespace:
    """`--threads`, `--repeats`, `--runs`; the threads are set."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1, help="of every process, as `make figures` has them")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--runs", default="runs", help="records to take OPTIMA's arms from")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    return chosen
