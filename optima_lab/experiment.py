"""Task × preset × seeds → the runs that figures need. What is there is opened, what is missing is trained."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from optima_lab.config import Config
from optima_lab.config import preset as make_preset
from optima_lab.distill.checkpoints import fingerprint
from optima_lab.distill.strategies import Strategy, parse_strategies
from optima_lab.errors import ConfigError, RecordError
from optima_lab.locks import alone
from optima_lab.record_checks import check_summary, recorded_config
from optima_lab.records import read_json

RECORD_VERSION = 3  # raise it when the same configuration would leave other records
TOGETHER = int(os.environ.get("WORLD_SIZE", "1")) > 1  # torchrun started several processes
HELPS = int(os.environ.get("RANK", "0")) > 0  # any but the first of them
# What changes no record of a student: names, where the same data lies, and what is in a strategy's own id.
_NOT_IN_ID = ("preset", "data", "decay", "initial_plays", "eval_batch", "accumulate", "grad_checkpointing")
_NOT_CHANGES = ("task", "preset", "seeds", "data")


@dataclass(frozen=True)
class Experiment:
    """One population: one task, one seed, many strategies that share a teacher and their batches."""

    config: Config
    folder: Path
    only: tuple[str, ...]  # the strategies asked for, by folder
    summary: Mapping[str, Any]

    @property
    def task(self) -> str:
        """'vqa', 'snli_ve', 'nlvr2' or 'coco'."""
        return self.config.task

    @property
    def seed(self) -> int:
        """The students' seed."""
        return self.config.seed

    @property
    def id(self) -> str:
        """The folder's name: preset, seed and a hash of everything that changes a result."""
        return self.folder.name


def run(
    task: str = "vqa",
    preset: str = "laptop",
    seeds: int = 1,
    data: str = "",
    runs: str = "runs",
    strategies: str | Sequence[str] = "all",
    changes: str = "",
    **overrides: Any,
) -> list[Experiment]:
    """The experiments of a task for seeds 0 … seeds-1, each with all `strategies`; trains what is missing.

    `overrides` are fields of `Config`; `changes` are the same as text, 'decay=0.9, round_steps=5', for notebooks.
    Raises ConfigError for anything misnamed or out of range before training, and DataError or RecordError where files
    are missing, broken or cannot be written.
    """
    configs = configurations(task, preset, seeds, data, **{**parse_changes(changes), **overrides})
    return [run_seed(config, Path(runs), strategies) for config in configs]


def configurations(task: str, preset: str, seeds: int, data: str = "", **overrides: Any) -> list[Config]:
    """One configuration a seed, everything checked."""
    if type(seeds) is not int or seeds < 1:
        raise ConfigError(f"seeds must be a whole number of at least 1, got {seeds!r}")
    config = make_preset(task, preset, data=str(data), **overrides)
    return [replace(config, seed=config.seed + number) for number in range(seeds)]


def parse_changes(text: str) -> dict[str, str]:
    """{'decay': '0.9'} of 'decay=0.9'; names and types are checked where they are used."""
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    for name, equals, _ in pairs:
        if not equals:
            raise ConfigError(f"changes must be name=value between commas, got {name.strip()!r} in {text!r}")
        if name.strip() in _NOT_CHANGES:
            raise ConfigError(f"changes must not hold {name.strip()}, which is a parameter of its own; got {text!r}")
    return {name.strip(): value.strip() for name, _, value in pairs}


def pending(config: Config, runs: str | Path, strategies: str | Sequence[str] = "all") -> list[Strategy]:
    """The strategies of an experiment that have no finished run yet."""
    folder, chosen = _place(config, Path(runs), strategies)
    return [strategy for strategy in chosen if not (folder / strategy.id / "done.json").exists()]


def run_seed(config: Config, runs: Path, strategies: str | Sequence[str] = "all") -> Experiment:
    """One experiment; only strategies without a finished run are trained, together, as one population."""
    missing = pending(config, runs, strategies)
    folder, chosen = _place(config, runs, strategies)
    if missing or TOGETHER:
        from optima_lab.training import agreed, train_population

        # The first of torchrun's processes holds the lock for all.
        with _writable(folder), nullcontext() if HELPS else alone(folder, f"{config.task}/{folder.name}"):
            _refuse_links(folder)
            missing = agreed(pending(config, runs, strategies))  # trained by others since?
            if missing:
                train_population(config, runs, folder, missing)
    summary = check_summary(read_json(folder / "experiment.json"), folder / "experiment.json")
    return Experiment(config, folder, tuple(s.id for s in chosen), summary)


def _place(config: Config, runs: Path, strategies: str | Sequence[str]) -> tuple[Path, tuple[Strategy, ...]]:
    from optima_lab.data.corpus import locate

    chosen = parse_strategies(strategies, config)
    if config.assistant_layers and len(parse_strategies(config.assistant, config)) != 1:
        raise ConfigError(f"assistant must be one strategy, got {config.assistant!r}")
    return runs / config.task / experiment_id(config, locate(config, runs).fingerprint), chosen


def open_experiments(runs: str | Path = "runs") -> list[Experiment]:
    """All experiments recorded below `runs`, with every strategy that has begun, ordered by task and folder."""
    found = []
    for path in sorted(Path(runs).glob("*/*/experiment.json")):
        summary = check_summary(read_json(path), path)
        config = recorded_config(path, summary)
        only = tuple(sorted(p.parent.name for p in path.parent.glob("*/run.json")))
        found.append(Experiment(config, path.parent, only, summary))
    return found


def experiment_id(config: Config, data_fingerprint: str) -> str:
    """'laptop-s0-1a2b3c4d': readable, and another one for whatever changes a student's records."""
    parts = unusual(config, [name for name in asdict(config) if name not in _NOT_IN_ID])
    parts |= fingerprint(config)
    return f"{config.preset}-s{config.seed}-{content_hash(RECORD_VERSION, parts, data_fingerprint)}"


def unusual(config: Config, names: Sequence[str]) -> dict[str, Any]:
    """Those of the fields that differ from the defaults: a field added later leaves the names of older runs alone.

    Whoever changes a default raises RECORD_VERSION.
    """
    usual = asdict(Config())
    return {name: getattr(config, name) for name in names if getattr(config, name) != usual[name]}


def content_hash(*parts: Any) -> str:
    """Eight hex digits of JSON-able content."""
    return sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:8]


def _refuse_links(folder: Path) -> None:
    """Nothing is written through a link: in a stranger's run folder it may lead to any file of ours."""
    for path in folder.rglob("*"):
        if path.is_symlink() or not (path.is_dir() or path.is_file()):
            raise RecordError(f"{path} must be a file or folder of its own, got a link or a pipe; remove it")


@contextmanager
def _writable(folder: Path) -> Iterator[None]:
    """Turn a full or read-only disk into one line; what is finished stays."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        if error.filename is None and error.errno is None:
            raise
        where = error.filename or folder
        raise RecordError(
            f"records must be writable at {where}: {error.strerror}; nothing finished was changed"
        ) from None
