"""Doing a run again from nothing but its folder: the configuration and the strategies are all in its records."""

from pathlib import Path
from typing import Any

from optima_lab.config import Config
from optima_lab.config.parameters import override
from optima_lab.distill.strategies import Strategies, parse_strategies, parse_strategy
from optima_lab.errors import ConfigError, RecordError
from optima_lab.experiments.code_fingerprint import tell_other_code
from optima_lab.experiments.records import of_other_code, read_json
from optima_lab.experiments.run import Experiment, run_seed
from optima_lab.experiments.schema import check_run, check_summary, recorded_config
from optima_lab.files import expand


def rerun(folder: Path, runs: Path, own: Strategies = ()) -> Experiment:
    """Train what `folder` (an experiment, or one run of it) holds once more, with its records below other `runs`.

    On the same machine, with the same code, the records are the same. `own`: the strategies among them that are made of
    code of the user's own, as they were given (`Given` where reward or losses were the run's); the source in their
    run.json is for reading and is never executed.
    Raises RecordError where the folder does not say what it was, and ConfigError where its data are no longer those,
    own code is missing or another, or `runs` is where it lies.
    """
    folder, runs = expand(folder), expand(runs)
    one = (folder / "run.json").exists() and not (folder / "experiment.json").exists()
    experiment = folder.parent if one else folder
    path = experiment / "experiment.json"
    summary = check_summary(read_json(path), path)
    config = override(recorded_config(path, summary), {"device": "auto"})  # another machine may lack what it names
    if runs.resolve() == experiment.resolve().parents[1]:
        raise ConfigError(f"runs must be another folder than the one that holds {folder}, got {str(runs)!r}")
    _same_data(config, runs, summary)
    begun = [folder] if one else sorted(each.parent for each in folder.glob("*/run.json"))
    if not begun:
        raise RecordError(f"{folder} must hold a run; it has no run.json")
    tell_other_code(of_other_code(begun))
    by_id = {strategy.id: strategy for strategy in (parse_strategies(own, config) if own else ())}
    return run_seed(config, runs, [by_id.get(each.name) or strategy_text(each, config) for each in begun])


def _same_data(config: Config, runs: Path, summary: Any) -> None:
    from optima_lab.data.datasets import locate

    current, recorded = locate(config, runs).fingerprint, summary.get("data_fingerprint")
    if current != recorded:
        raise ConfigError(
            f"data must be what the run saw ({recorded}), got {config.data.folder or 'the embedded world'}: {current}"
        )


def strategy_text(folder: Path, config: Config) -> str:
    """What to write for the strategy of a run's folder: 'optima:reward=kl'.

    Raises RecordError where its records do not say it, or something else than its name, and ConfigError where it needs
    a user's own code.
    """
    path = folder / "run.json"
    run_info = check_run(read_json(path), path)
    if run_info.get("own"):
        raise ConfigError(
            f"{folder.name} needs its own code, unchanged, as it is in {path}: in Python, rerun(folder, runs, own=[…]) "
            f"with what was given to run for {run_info['strategy']}"
        )
    text = run_info.get("text")
    if not isinstance(text, str):
        raise RecordError(f"{path} must hold the strategy's text: it is of another version; train it anew")
    try:
        if parse_strategy(text, config).id == folder.name:
            return text
    except ConfigError as error:
        raise RecordError(f"{folder} must hold a strategy of this version: {error}") from None
    raise RecordError(f"{folder} must hold the strategy that its name says; its run.json says {text!r}")
