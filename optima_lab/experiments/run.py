"""Task × preset × seeds → the runs that figures need. What is there is opened, what is missing is trained."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import fields
from pathlib import Path
from typing import Any

from optima_lab.bandits.policies import POLICIES
from optima_lab.config import Config
from optima_lab.config.parameters import flat, override
from optima_lab.data.datasets import locate
from optima_lab.distill.own import Loss
from optima_lab.distill.rewards import RewardFunction
from optima_lab.distill.strategies import Given, Strategies, Strategy, parse_strategies
from optima_lab.distill.torchrun import launch
from optima_lab.errors import ConfigError, RecordError, interruptible
from optima_lab.experiments.code_fingerprint import tell_other_code
from optima_lab.experiments.experiment import Experiment
from optima_lab.experiments.ids import experiment_id
from optima_lab.experiments.looking import announce, runs_folder
from optima_lab.experiments.records import of_other_code, read_json, read_runs
from optima_lab.experiments.schema import check_summary, recorded_config
from optima_lab.experiments.variants import alike
from optima_lab.experiments.watch import check_watchers
from optima_lab.files import expand, locked
from optima_lab.presets import preset as make_preset

_NOT_CHANGES = ("task", "preset", "seeds", "data")


def run(
    task: str | Sequence[str] = "vqa",
    preset: str = "laptop",
    seeds: int | Sequence[int] = 1,
    data: str = "",
    runs: str = "runs",
    strategies: Strategies = "all",
    changes: str = "",
    verbose: bool = True,
    reward: str | RewardFunction = "all",
    losses: Sequence[Loss] = (),
    callbacks: Sequence[Any] = (),
    **overrides: Any,
) -> list[Experiment]:
    """The experiments of a task (or several) for seeds 0 … seeds-1 (or those listed), each with all `strategies`.

    What is missing is trained; before, a line says what that is and how long it takes (not where `verbose` is False).
    `runs` that does not exist here is looked for in the folders above (`looking.runs_folder`). `overrides` are fields
    of `Config`; `changes` are the same as text, 'decay=0.9, round_steps=5', for notebooks.
    Strategies may be policies of the user's own; `reward`, a function of the losses before and after a round, is what
    policies learn from that say no other, `losses` are added to Eq. 5 (docs/own_ideas.md). The source of all that is
    part of a run's id. `callbacks` watch what is trained (`experiments.watch`) and change nothing.
    Raises ConfigError for anything misnamed or out of range before training, and DataError or RecordError where files
    are missing, broken or cannot be written.
    """
    options = {**parse_changes(changes), **overrides}
    tasks = [task] if isinstance(task, str) else list(task)
    configs = [config for name in tasks for config in configurations(name, preset, seeds, data, **options)]
    folder = runs_folder(runs)
    check_watchers(callbacks)
    wanted = strategies if isinstance(strategies, Given) else Given(strategies, reward, losses)
    with interruptible():
        waiting = [(config, len(pending(config, folder, wanted))) for config in configs]
        if verbose:
            announce(folder, [each for each in waiting if each[1]], runs)
        return [run_seed(config, folder, wanted, callbacks) for config in configs]


def configurations(
    task: str, preset: str, seeds: int | Sequence[int], data: str = "", **overrides: Any
) -> list[Config]:
    """One configuration a seed, everything checked."""
    if isinstance(seeds, Sequence) and not isinstance(seeds, str):
        listed = list(seeds)
        if not listed or len(set(listed)) < len(listed) or "seed" in overrides:
            raise ConfigError(f"seeds must be a number, or a list of different seeds without seed=, got {seeds!r}")
    elif type(seeds) is not int or seeds < 1:
        raise ConfigError(f"seeds must be a whole number of at least 1, got {seeds!r}")
    else:
        first = make_preset(task, preset, **overrides).seed
        listed = [*range(first, first + seeds)]
    config = make_preset(task, preset, data=str(data), **overrides)
    if config.model.device != "auto":  # torch knows what there is
        from optima_lab.distill.parallel import device

        device(config.model.device)
    return [override(config, {"seed": number}) for number in listed]


def parse_changes(text: str) -> dict[str, str]:
    """{'decay': '0.9'} of 'decay=0.9'; names and types are checked where they are used."""
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    for name, equals, _ in pairs:
        if not equals:
            raise ConfigError(f"changes must be name=value between commas, got {name.strip()!r} in {text!r}")
        if name.strip() in _NOT_CHANGES:
            raise ConfigError(f"changes must not hold {name.strip()}, which is a parameter of its own; got {text!r}")
    return {name.strip(): value.strip() for name, _, value in pairs}


def pending(config: Config, runs: str | Path, strategies: Strategies = "all") -> list[Strategy]:
    """The strategies of an experiment that have no finished run yet."""
    folder, chosen = _place(config, expand(runs), strategies)
    return [strategy for strategy in chosen if not (folder / strategy.id / "done.json").exists()]


def run_seed(config: Config, runs: Path, strategies: Strategies = "all", callbacks: Sequence[Any] = ()) -> Experiment:
    """One experiment; only strategies without a finished run are trained, together, as one population, and watched.

    Where a finished run was made by other code, that is said in one line.
    """
    missing = pending(config, runs, strategies)
    folder, chosen = _place(config, runs, strategies)
    torchrun = launch()
    if missing or torchrun.world_size > 1:
        from optima_lab.experiments.population import agreed, train_population

        assistant = _assistant(config, runs) if config.distillation.assistant_layers else None
        # The first of torchrun's processes holds the lock for all.
        with _writable(folder), nullcontext() if torchrun.helps else locked(folder, f"{config.task}/{folder.name}"):
            _refuse_links(folder)
            missing = agreed(pending(config, runs, strategies))  # trained by others since?
            if missing:
                train_population(config, runs, folder, missing, assistant, callbacks)
    if not launch().helps:
        tell_other_code(of_other_code(folder / strategy.id for strategy in chosen))
    summary = check_summary(read_json(folder / "experiment.json"), folder / "experiment.json")
    return Experiment(folder, tuple(s.id for s in chosen), config.seed, config, summary)


def _assistant(config: Config, runs: Path) -> Experiment:
    """First of two stages (A.4): a student of `assistant_layers`, distilled as an experiment of its own, teaches."""
    first = {"student_layers": config.distillation.assistant_layers, "assistant_layers": "", "assistant": "optima"}
    return run_seed(override(config, first), runs, config.distillation.assistant)


def finished(config: Config, runs: str | Path, strategies: Strategies = "all") -> list[Path]:
    """The folders of an experiment's strategies that have a finished run."""
    folder, chosen = _place(config, expand(runs), strategies)
    return [folder / strategy.id for strategy in chosen if (folder / strategy.id / "done.json").exists()]


def _place(config: Config, runs: Path, strategies: Strategies) -> tuple[Path, tuple[Strategy, ...]]:
    chosen = parse_strategies(strategies, config)
    if config.distillation.assistant_layers and len(parse_strategies(config.distillation.assistant, config)) != 1:
        raise ConfigError(f"assistant must be one strategy, got {config.distillation.assistant!r}")
    return runs / config.task / experiment_id(config, locate(config, runs).fingerprint), chosen


def open_experiments(runs: str | Path = "runs") -> list[Experiment]:
    """All experiments recorded below `runs`, with every strategy that has begun, ordered by task and folder."""
    experiments = []
    for path in sorted(runs_folder(runs).glob("*/*/experiment.json")):
        summary = check_summary(read_json(path), path)
        config = recorded_config(path, summary)
        only = tuple(sorted(p.parent.name for p in path.parent.glob("*/run.json")))
        experiments.append(Experiment(path.parent, only, config.seed, config, {**summary, "config": flat(config)}))
    tell_other_code(of_other_code(each.folder / name for each in experiments for name in each.only))
    return experiments


def find(task: str, preset: str = "laptop", runs: str | Path = "runs", changes: str = "") -> list[Experiment]:
    """The recorded experiments of one question, one a seed; nothing is trained.

    Raises RecordError where there is none, naming those of the task that are recorded.
    """
    ours = [each for each in open_experiments(runs) if each.task == task]
    wanted = parse_changes(changes)
    matching = [each for each in ours if each.config.preset == preset and alike(flat(each.config), wanted)]
    if not matching:
        recorded = ", ".join(each.id for each in ours) or "none"
        text = ", ".join([task, preset, *(f"{name}={value}" for name, value in wanted.items())])
        raise RecordError(f"no experiment of {text} is recorded below {expand(runs)}; of {task} there are: {recorded}")
    return matching


def first_plays(experiments: Sequence[Experiment]) -> dict[str, dict[str, int]]:
    """T0 as these runs had it, by policy: {'optima': {'initial_plays': 2}}, for every policy that has forced plays.

    A policy that was recorded has its own, the others what their configuration would have given them.
    """
    own = {row["policy"]: row["parameters"] for row in read_runs(experiments).to_dict("records")}
    usual = experiments[0].config.distillation.initial_plays if experiments else 0
    forced = [name for name, kind in POLICIES.items() if "initial_plays" in {f.name for f in fields(kind)}]
    return {name: {"initial_plays": int(own.get(name, {}).get("initial_plays", usual))} for name in forced}


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
