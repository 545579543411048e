"""Doing a run again from nothing but its folder: the configuration and the strategies are all in its records."""

import re
from pathlib import Path
from typing import Any

from optima_lab.config import Config
from optima_lab.distill.strategies import BASELINES, OWN, parse_strategy
from optima_lab.errors import ConfigError, RecordError
from optima_lab.experiment import Experiment, run_seed
from optima_lab.record_checks import check_run, check_summary, recorded_config
from optima_lab.records import read_json


def rerun(folder: Path, runs: Path) -> Experiment:
    """Train what `folder` (an experiment, or one run of it) holds once more, with its records below other `runs`.

    On the same machine the records are the same. Raises RecordError where the folder does not say what it was, and
    ConfigError where its data are no longer those, or `runs` is where it lies.
    """
    one = (folder / "run.json").exists() and not (folder / "experiment.json").exists()
    experiment = folder.parent if one else folder
    path = experiment / "experiment.json"
    summary = check_summary(read_json(path), path)
    config = recorded_config(path, summary)
    if runs.resolve() == experiment.resolve().parents[1]:
        raise ConfigError(f"runs must be another folder than the one that holds {folder}, got {str(runs)!r}")
    _same_data(config, runs, summary)
    begun = [folder] if one else sorted(each.parent for each in folder.glob("*/run.json"))
    if not begun:
        raise RecordError(f"{folder} must hold a run; it has no run.json")
    return run_seed(config, runs, [strategy_text(each, config) for each in begun])


def _same_data(config: Config, runs: Path, summary: Any) -> None:
    from optima_lab.data.corpus import locate

    found, known = locate(config, runs).fingerprint, summary.get("data_fingerprint")
    if found != known:
        raise ConfigError(
            f"data must be what the run saw ({known}), got {config.data or 'the embedded world'}: {found}"
        )


def strategy_text(folder: Path, config: Config) -> str:
    """What to write for the strategy of a run's folder: 'optima:reward=kl'.

    Raises RecordError where no text gives a strategy of that folder's name.
    """
    about = check_run(read_json(folder / "run.json"), folder / "run.json")
    named = re.fullmatch(r"(.+?)(?:-[0-9a-f]{6})?", folder.name)
    key = named[1] if named else folder.name
    try:
        usual = parse_strategy(key, config)
        text = key if key in BASELINES else ":".join([key, *_options(about, usual.parameters, config)])
        if parse_strategy(text, config).id == folder.name:
            return text
    except ConfigError as error:
        raise RecordError(f"{folder} must hold a strategy of this version: {error}") from None
    raise RecordError(f"{folder} must hold the strategy that its name says; its run.json says {text!r}")


def _options(about: Any, usual: dict[str, Any], config: Config) -> list[str]:
    """'name=value' of all that is unusual: the policy's parameters, its reward, and fields of the configuration."""
    found = {name: value for name, value in about.get("parameters", {}).items() if usual.get(name) != value}
    found |= {"reward": about["reward"]} if about.get("reward", "all") != "all" else {}
    found |= {name: about[name] for name in OWN if name in about and about[name] != getattr(config, name)}
    return [f"{name}={value}" for name, value in found.items()]
