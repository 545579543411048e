"""Which folders and files below `runs/` are ours: those may be listed and removed, and nothing else."""

import re
from collections.abc import Iterator
from pathlib import Path

from optima_lab.config import TASKS
from optima_lab.errors import OptimaError
from optima_lab.experiments.records import LINES, read_json
from optima_lab.experiments.schema import check_summary, recorded_config
from optima_lab.files import is_part

_ID = re.compile(r"[a-z]\w*-s\d+-[0-9a-f]{8}")  # of an experiment: preset, seed and what changes a result
_OF_EXPERIMENT = re.compile(r"experiment\.json|seconds\.json|\.lock|resume-[0-9a-f]{8}\.pt")
_OF_RUN = re.compile(rf"run\.json|done\.json|({'|'.join(LINES)})\.jsonl|student\.safetensors")
_OF_TENSORBOARD = re.compile(r"events\.out\.tfevents\..+")
_TENSORBOARD = "tensorboard"


def is_experiment(folder: Path) -> bool:
    """Whether a folder below `runs/<task>/` is an experiment of ours, a broken one or a link to one included.

    Its name says so together with a file of ours in it; under another name, a whole `experiment.json` of that task.
    """
    if folder.parent.name in TASKS and _ID.fullmatch(folder.name):
        return folder.is_symlink() or any(_marks(folder))
    path = folder / "experiment.json"
    if folder.is_symlink() or path.is_symlink() or not path.is_file():
        return False
    try:
        summary = check_summary(read_json(path), path)
        recorded_config(path, summary)
    except OptimaError:
        return False
    return {"task", "preset", "seed"} <= set(summary["config"]) and summary["config"]["task"] == folder.parent.name


def _marks(folder: Path) -> Iterator[Path]:
    """Files that only our writers leave in an experiment's folder."""
    yield from (path for path in folder.iterdir() if _OF_EXPERIMENT.fullmatch(path.name) and path.is_file())
    yield from folder.glob("*/run.json")


def is_run(folder: Path) -> bool:
    """Whether a folder of an experiment is a run of ours."""
    return not folder.is_symlink() and (folder / "run.json").is_file()


def files_of(folder: Path) -> list[Path]:
    """The files of ours in an experiment, or in one run of it; links are files and are never followed."""
    if folder.is_symlink():
        return [folder]
    if is_run(folder):
        events = folder / _TENSORBOARD
        logged = _named(events, _OF_TENSORBOARD) if events.is_dir() and not events.is_symlink() else []
        return [*_named(folder, _OF_RUN), *logged]
    runs = (run for run in sorted(folder.iterdir()) if is_run(run))
    return [*_named(folder, _OF_EXPERIMENT), *(path for run in runs for path in files_of(run))]


def _named(folder: Path, names: re.Pattern[str]) -> list[Path]:
    paths = (path for path in folder.iterdir() if names.fullmatch(path.name) or is_part(path))
    return sorted(path for path in paths if path.is_symlink() or path.is_file())


def remove_ours(folder: Path) -> list[str]:
    """Remove what is ours in an experiment or run, and the folders left empty; the names of what stays, which is not.

    Raises OSError where something cannot be removed.
    """
    ours = files_of(folder)
    for path in ours:
        path.unlink()
    inside = {folder, *(path.parent for path in ours)} & {folder, *folder.rglob("*")}
    for place in sorted(inside, reverse=True) if folder.is_dir() else ():  # the deepest first
        if not any(place.iterdir()):
            place.rmdir()
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
