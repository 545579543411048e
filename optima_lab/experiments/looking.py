"""Where a notebook's `runs` lie, and what is said before anything heavy begins: what will be trained, and how long."""

import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from optima_lab.config import Config
from optima_lab.display import task_title
from optima_lab.errors import OptimaError
from optima_lab.experiments.records import read_json
from optima_lab.files import expand

# Seconds on two cores without a GPU: of a step of one student, and of a step before (teacher, base).
STUDENT_STEP: Mapping[str, float] = {"smoke": 0.012, "laptop": 0.025, "study": 0.025}
TEACHER_STEP: Mapping[str, float] = {"smoke": 0.3, "laptop": 0.04, "study": 0.04}
MARK = Path("optima_lab") / "__init__.py"  # of a project's root


def runs_folder(runs: str | Path) -> Path:
    """`runs` as it is where it exists or is absolute; else that of the nearest project above this folder, if any.

    A project is a folder with finished runs below `runs`, or this repository.
    """
    here = expand(runs)
    if here.is_absolute() or here.exists() or ".." in here.parts:
        return here
    above = (folder for folder in Path.cwd().parents if folder not in Path.home().parents)
    return next((folder / here for folder in above if _is_project(folder, here)), here)


def _is_project(folder: Path, runs: Path) -> bool:
    with suppress(OSError):
        return any((folder / runs).glob("*/*/experiment.json")) or (folder / MARK).is_file()
    return False


def announce(folder: Path, waiting: Sequence[tuple[Config, int]], runs: str | Path) -> None:
    """Say on standard error where runs are looked for, where that is not `asked`, and what will be trained."""
    where = f"runs are looked for in {folder.absolute()}"
    if waiting:
        print(f"{where}; {_training(folder, waiting)}", file=sys.stderr, flush=True)
    elif folder != expand(runs):
        print(where, file=sys.stderr, flush=True)


def _training(folder: Path, waiting: Sequence[tuple[Config, int]]) -> str:
    """'to be trained: VQA seed 0, at laptop size: 11 students and what teaches them, about 3 min'."""
    what = [f"{task_title(config.task)} seed {config.seed}" for config, _ in waiting]
    students, preset = sum(count for _, count in waiting), waiting[0][0].preset
    shown = ", ".join(what[:4]) + (f" and {len(what) - 4} more" if len(what) > 4 else "")
    new = {config.task: config for config, _ in waiting if not _has_teacher(folder, config)}
    teacher = " and their teachers" if len(new) > 1 else " and what teaches them" if new else ""
    who = f"{students} student{'' if students == 1 else 's'}{teacher}"
    return f"to be trained: {shown}, at {preset} size: {who}, {_time(folder, waiting, [*new.values()])}"


def _time(folder: Path, waiting: Sequence[tuple[Config, int]], new: Sequence[Config]) -> str:
    preset = waiting[0][0].preset
    if preset not in STUDENT_STEP:
        return "days without a GPU (python -m benchmarks.gpu times one)"
    measured = _measured(folder, preset)
    step = measured or STUDENT_STEP[preset]
    seconds = sum(config.training.steps * count * step for config, count in waiting)
    seconds += sum(config.finetuning.finetune_steps * TEACHER_STEP[preset] for config in new)
    if new:
        before = new[0].pretraining
        seconds += (before.pretrain_steps + before.base_steps) * TEACHER_STEP[preset]
    duration = f"{seconds / 60:.0f} min" if seconds >= 90 else f"{max(1, round(seconds))} s"
    return f"about {duration}{' as the runs there took' if measured else ' on two cores'}"


def _measured(folder: Path, preset: str) -> float:
    """Seconds of a step of one student, as recorded by the newest experiment of this preset; 0 where none is."""
    for path in sorted(folder.glob(f"*/{preset}-s*/seconds.json"), key=lambda path: path.stat().st_mtime, reverse=True):
        with suppress(OptimaError, KeyError, TypeError, ZeroDivisionError, AttributeError):
            config = read_json(path.with_name("experiment.json"))["config"]
            runs = sum(1 for _ in path.parent.glob("*/done.json"))
            return float(read_json(path)["students"]) / (runs * config["steps"])
    return 0.0


def _has_teacher(folder: Path, config: Config) -> bool:
    """Whether an experiment of this task and preset has been trained here: its teacher is most likely found again."""
    return any((folder / config.task).glob(f"{config.preset}-s*/experiment.json"))
