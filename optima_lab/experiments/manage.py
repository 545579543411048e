"""What lies below `runs/`: how far each experiment is, how old and large, what is stale or broken; removing some."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap
from time import time

from optima_lab.display import base
from optima_lab.errors import ConfigError, OptimaError, RecordError, one_line
from optima_lab.experiments import variants
from optima_lab.experiments.experiment import RecordFolder
from optima_lab.experiments.records import of_other_code, read_json, read_lines, told_apart
from optima_lab.experiments.run_files import files_of, is_experiment, is_run, remove_ours
from optima_lab.experiments.schema import check_run, check_summary, recorded_config
from optima_lab.files import expand, is_part, maker_lives, remove, taken

STATES = ("done", "training", "interrupted", "stale", "broken")
STALE_SECONDS = 86_400.0  # nobody has gone on for so long
WORDS = ("interrupted", "stale", "broken", "parts")  # besides folders, what `clean` may be told to remove


@dataclass(frozen=True)
class RunStatus:
    """One experiment's folder.

    `state` is 'done', 'training' (a process is at it), 'interrupted' (unfinished, nobody at it: asking for it again
    goes on), 'stale' (the same for a day) or 'broken' (`why` says what is wrong). `finished` of `runs` have ended,
    `step` is where the slowest other is; `other_code` of the finished ones were made by other code than this.
    """

    folder: Path
    state: str
    finished: int = 0
    runs: int = 0
    step: int = 0
    steps: int = 0
    age_seconds: float = 0.0
    size_bytes: int = 0
    why: str = ""
    other_code: int = 0


def survey(runs: Path) -> list[RunStatus]:
    """Every experiment below `runs`, by task and name; nothing is changed, and what is broken ends nothing.

    What our records do not mark as ours is left out.
    """
    runs = expand(runs)
    folders = sorted(path for path in runs.glob("*/*") if path.is_dir() and is_experiment(path))
    return [_entry(folder) for folder in folders]


def parts(runs: Path) -> list[Path]:
    """What killed processes left half-written, wherever nobody is at work."""
    paths = (path for path in runs.rglob("*.part") if is_part(path) and not path.is_symlink())
    left = sorted(path for path in paths if not maker_lives(path))
    return [path for path in left if not any(_busy(folder) for folder in path.parents if runs in folder.parents)]


def _busy(folder: Path) -> bool:
    return any(taken(lock.parent, lock.name) for lock in folder.glob(".*lock"))


def _entry(folder: Path) -> RunStatus:
    files = [path.lstat() for path in folder.rglob("*") if not path.is_dir()]
    age = time() - max([each.st_mtime for each in files], default=folder.lstat().st_mtime)
    usage = {"age_seconds": max(0.0, age), "size_bytes": sum(each.st_size for each in files)}
    busy = taken(folder)
    try:
        if folder.is_symlink():
            raise RecordError("a link, and no folder of its own")
        finished, runs, step, steps = _progress(folder, busy)
        other = len(of_other_code(folder.glob("*")))
    except (OptimaError, OSError) as error:
        return RunStatus(folder, "broken", **usage, why=one_line(str(error)))
    whole = runs > 0 and finished == runs and not busy
    left = "interrupted" if age < STALE_SECONDS else "stale"
    state = "training" if busy else "done" if whole else left
    return RunStatus(folder, state, finished, runs, step, steps, **usage, other_code=other)


def _progress(folder: Path, busy: bool) -> tuple[int, int, int, int]:
    """(finished runs, runs, step of the slowest, steps in all)."""
    begun = sorted(path.parent for path in folder.glob("*/run.json"))
    if not (folder / "experiment.json").exists() and not begun:
        return 0, 0, 0, 0  # its teacher is being made, or was
    path = folder / "experiment.json"
    config = recorded_config(path, check_summary(read_json(path), path))
    reached = [_step(run, config.training.steps, busy) for run in begun]
    ended = sum((run / "done.json").exists() for run in begun)
    return ended, len(begun), min(reached, default=0), config.training.steps


def _step(run: Path, steps: int, busy: bool) -> int:
    """How far a run is. Raises RecordError for one that says it is done and is not whole."""
    check_run(read_json(run / "run.json"), run / "run.json")
    if (run / "done.json").exists():
        lacking = [name for name in ("rounds.jsonl", "student.safetensors") if not (run / name).is_file()]
        if lacking:
            raise RecordError(f"{run.name} is done but lacks {', '.join(lacking)}")
        return steps
    try:
        lines = read_lines(run / "rounds.jsonl")
    except RecordError:
        if busy:  # it is being written
            return 0
        raise
    return lines[-1].get("step", 0) if lines else 0


def report(runs: Path) -> Iterator[str]:
    """`survey` as lines of at most 80 columns."""
    runs = expand(runs)
    entries = survey(runs)
    if not entries:
        yield f"nothing is recorded below {one_line(str(runs), 50)}"
        return
    yield f"{'experiment':<32}{'state':<12}{'runs':>6}{'step':>15}{'age':>7}{'size':>8}"
    differences = _differences(entries)
    for entry in entries:
        name = one_line(str(entry.folder.relative_to(runs)))
        name = name if len(name) <= 31 else f"{name[:30]}…"
        progress = (f"{entry.finished}/{entry.runs}", f"{entry.step:,}/{entry.steps:,}")
        yield f"{name:<32}{entry.state:<12}{progress[0]:>6}{progress[1]:>15}{age(entry):>7}{size(entry.size_bytes):>8}"
        yield from (f"  {line}" for line in wrap(differences.get(entry.folder, ""), 78))
        if entry.other_code:
            yield f"  {entry.other_code} of these runs were made by other code: keep them, or clean and train anew"
        yield from (f"  {entry.why[at : at + 78]}" for at in range(0, min(len(entry.why), 3 * 78), 78))
    yield ""
    counts = {state: sum(e.state == state for e in entries) for state in STATES}
    total = size(sum(path.lstat().st_size for path in runs.rglob("*") if not path.is_dir()))
    yield (
        ", ".join(f"{number} {state}" for state, number in counts.items() if number)
        + f"; {total} with models and caches"
    )
    if left := parts(runs):
        yield f"{len(left)} half-written files of processes that ended: clean parts"


def _differences(entries: Sequence[RunStatus]) -> dict[Path, str]:
    """For each experiment what tells it apart from others of its task, and its runs that differ under one name."""
    whole = [entry.folder for entry in entries if entry.runs and entry.state != "broken"]
    whole = [folder for folder in whole if (folder / "experiment.json").is_file()]
    summaries = [read_json(folder / "experiment.json") for folder in whole]
    experiments = [variants.of_summary(f.parent.name, s, f.name) for f, s in zip(whole, summaries, strict=True)]
    differences = {}
    for folder, each, facts in zip(whole, experiments, variants.of_experiments(experiments), strict=True):
        begun = tuple(sorted(path.parent.name for path in folder.glob("*/run.json")))
        place = RecordFolder(folder, begun, each.seed)
        names = told_apart([(place, read_json(folder / name / "run.json")) for name in begun])
        own = [name for name in names if base(name) != name]
        differences[folder] = "; ".join([*([variants.written("", facts).strip(" []")] if facts else []), *own])
    return differences


def age(entry: RunStatus) -> str:
    """Since its newest file was written: '5 s', '3 min', '2 h', '9 d'."""
    for seconds, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if entry.age_seconds >= 2 * seconds:
            return f"{entry.age_seconds // seconds:.0f} {unit}"
    return f"{entry.age_seconds:.0f} s"


def size(count_bytes: float) -> str:
    """'512 B', '3.1 MB'."""
    for unit in ("B", "kB", "MB", "GB"):
        if count_bytes < 1000 or unit == "GB":
            break
        count_bytes /= 1000
    return f"{count_bytes:.0f} B" if unit == "B" else f"{count_bytes:.1f} {unit}"


def chosen(runs: Path, names: Sequence[str]) -> list[Path]:
    """What these words name: folders below `runs` ('vqa/laptop-s0-1a2b3c4d', or one run in it), or `WORDS`.

    Raises ConfigError for a name that is none of them or leads out of `runs`, and where a process is at work.
    """
    paths: list[Path] = []
    entries = survey(runs)
    for name in names:
        if name in WORDS:
            paths += parts(runs) if name == "parts" else [e.folder for e in entries if e.state == name]
        else:
            paths.append(_named(runs, name))
    for path in paths:
        if any(taken(folder) for folder in (path, path.parent) if folder.is_dir()):
            raise ConfigError(f"{path} must be left alone: a process is writing there")
    return list(dict.fromkeys(paths))


def _named(runs: Path, name: str) -> Path:
    pieces = Path(name).parts
    path = runs / name
    if len(pieces) not in (2, 3) or Path(name).is_absolute() or ".." in pieces or pieces[0] == "cache":
        raise ConfigError(f"clean must be told a folder such as vqa/laptop-s0-1a2b3c4d, or {_either()}; got {name!r}")
    if any((runs / Path(*pieces[:n])).is_symlink() for n in range(1, len(pieces))):
        raise ConfigError(f"{path} must not lie behind a link")
    if not (path.is_symlink() or path.is_dir()):
        raise ConfigError(f"{path} must be a folder; there is none")
    if not (is_experiment(path) if len(pieces) == 2 else is_run(path) and is_experiment(path.parent)):
        raise ConfigError(f"{path} must hold records of this library; it holds none and is not ours to remove")
    return path


def _either() -> str:
    return ", ".join(WORDS[:-1]) + f" or {WORDS[-1]}"


def clean(runs: Path, names: Sequence[str], ask: Callable[[str], str] | None) -> list[str]:
    """Remove what `names` name, after `ask` (a question, to be answered with 'y') has been answered; the lines to say.

    Without `ask` nothing is asked. Links are removed, never followed; files that are not ours stay.
    """
    runs = expand(runs)
    if not names:
        raise ConfigError(f"clean must be told what to remove: a folder of `status`, or {_either()}")
    paths = chosen(runs, names)
    if not paths:
        return ["nothing to remove"]
    listed = [f"  {path.relative_to(runs)}  {size(_size(path))}" for path in paths]
    question = "\n".join(["to be removed for good:", *listed, f"remove {len(paths)}? [y/N] "])
    if ask is not None and ask(question).strip().lower() not in ("y", "yes"):
        return ["nothing was removed"]
    return [f"removed {path.relative_to(runs)}{_remove(path)}" for path in paths]


def _remove(path: Path) -> str:
    """Remove a part, or what is ours in a folder; what to say of the rest."""
    try:
        if is_part(path):
            remove(path)
            return ""
        left = remove_ours(path)
    except OSError as error:
        raise RecordError(f"{path} cannot be removed: {error.strerror}") from None
    more = f" and {len(left) - 3} more" if len(left) > 3 else ""
    return one_line(f", but for what is not ours: {', '.join(left[:3])}{more}") if left else ""


def _size(path: Path) -> int:
    inside = path.rglob("*") if path.is_dir() else (path,)
    each = inside if is_part(path) else files_of(path)
    return sum(file.lstat().st_size for file in each if file.is_symlink() or not file.is_dir())
