"""What records must hold before they are believed: a run folder may come from a stranger, or from a disk that broke."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from optima_lab.bandits.arms import COCA, Arms
from optima_lab.config import Config
from optima_lab.config.parameters import override
from optima_lab.display import key_of
from optima_lab.errors import ConfigError, RecordError, one_line
from optima_lab.experiments.ids import config_of

NEEDED = {"steps": ("step",), "rounds": ("round", "step"), "evals": ("step", "split", "metric", "value")}
BELIEFS = ("mean", "plays", "theta", "theta_deviation", "module_plays")  # of every arm, and of every module
VECTORS = ("draws", *(f"{name}_{when}" for name in BELIEFS for when in ("before", "after")))
_MOST = 2**53  # whole numbers up to here are floats without loss
_LONGEST = 1000  # characters of a name; numbers of a vector


def _count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= _MOST


def _number(value: Any) -> bool:
    return value is None or type(value) is float or (type(value) is int and abs(value) <= _MOST)


def _name(value: Any) -> bool:
    return value is None or (isinstance(value, str) and len(value) <= _LONGEST)


def _vector(value: Any) -> bool:
    return value is None or (isinstance(value, list) and len(value) <= _LONGEST and all(map(_number, value)))


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


Rule = tuple[Callable[[Any], bool], str]
_COUNT, _NAME = (_count, "a whole number from 0 to 2^53"), (_name, "a short text")
_VECTOR, _FLAG = (_vector, "a list of numbers or null"), (_flag, "true or false")
_RULES: Mapping[str, Rule] = {
    **dict.fromkeys(("step", "round"), _COUNT),
    **dict.fromkeys(("arm", "split", "metric"), _NAME),
    **dict.fromkeys(VECTORS, _VECTOR),
    "initial": _FLAG,
}
_OTHER: Rule = (_number, "a number or null")


def check_line(record: Mapping[str, Any], name: str) -> None:
    """Raise ValueError where a line of 'steps', 'rounds' or 'evals' holds a value of the wrong kind."""
    if name in NEEDED:
        for key, value in record.items():
            holds, must = _RULES.get(key, _OTHER)
            if not holds(value):
                raise ValueError(f"{_short(key)} must be {must}, got {_short(value)}")


def check_whole(record: Mapping[str, Any], name: str, path: Path) -> Mapping[str, Any]:
    """The line, which must hold all that every view needs. Raises RecordError naming the file."""
    for key in NEEDED[name]:
        if key not in record:
            raise RecordError(f"{path}: every line must hold {key!r}, got {_short(sorted(record))}")
    return record


def check_run(run_info: Any, path: Path) -> Mapping[str, Any]:
    """The content of a run.json. Raises RecordError where it names no strategy or a part is of the wrong kind."""
    strategy = run_info.get("strategy") if isinstance(run_info, dict) else None
    if not isinstance(strategy, str) or not _name(strategy):
        raise RecordError(f"{path} must hold a strategy's name, got {_short(run_info)}")
    for key in ("text", "code", "arm", "policy"):
        if not _name(run_info.get(key)):
            raise RecordError(f"{path}: {key} must be a short text, got {_short(run_info[key])}")
    if not _count(run_info.get("record_version", 0)):
        raise RecordError(f"{path}: record_version must be {_COUNT[1]}, got {_short(run_info['record_version'])}")
    for key in ("config", "parameters", "own"):
        if not isinstance(run_info.get(key, {}), dict):
            raise RecordError(f"{path} must hold an object under {key!r}, got {_short(run_info[key])}")
    return run_info


def check_ended(ended: Any, path: Path) -> str:
    """Why a student was stopped before its end, from its done.json: 'round 12: train loss: …'; '' for one that was not.

    Raises RecordError where that is of the wrong kind.
    """
    stop = ended.get("stopped", {}) if isinstance(ended, dict) else None
    if not isinstance(stop, dict) or (stop and not (_count(stop.get("round")) and isinstance(stop.get("where"), str))):
        raise RecordError(f"{path} must hold a round and where it stopped under 'stopped', got {_short(ended)}")
    return one_line(f"round {stop['round']}: {stop['where']}", 200) if stop else ""


def check_summary(summary: Any, path: Path) -> Mapping[str, Any]:
    """The content of an experiment.json, its configuration left aside. Raises RecordError naming what is wrong."""

    def must(holds: bool, text: str) -> None:
        if not holds:
            raise RecordError(f"{path} must hold {text}")

    must(isinstance(summary, dict), f"an object, got {_short(summary)}")
    for key in ("counts", "skipped", "teacher", "baseline", "text_only", "human"):
        part = summary.get(key, {})
        must(isinstance(part, dict), f"an object under {key!r}, got {_short(part)}")
        for name, value in part.items():
            if name.startswith(("score", "prediction_loss")):
                must(_number(value), f"a number under {key}.{_short(name)}, got {_short(value)}")
        if key in ("counts", "skipped"):
            numbers = [value for name, value in part.items() if name != "first"]
            must(all(map(_count, numbers)), f"whole numbers under {key!r}, got {_short(numbers)}")
        if part and key in ("baseline", "text_only", "human"):
            must("score" in part, f"a score under {key!r}, got {_short(sorted(part))}")
    name = summary.get("baseline", {}).get("name", "")
    must(_name(name) and name is not None, f"a short text under baseline.name, got {_short(name)}")
    return summary


def recorded_config(path: Path, summary: Mapping[str, Any], whole: Config | None = None) -> Config:
    """The configuration of an experiment.json, or of a run.json whose experiment's is `whole`.

    Raises RecordError where it is none of this version.
    """
    try:
        if whole is not None:  # what a run does not say is as in its experiment
            return override(whole, summary["config"])
        return config_of(summary["config"], str(summary.get("data_fingerprint")), path.parent.name)
    except (KeyError, TypeError, ConfigError) as error:
        raise RecordError(f"{path} must hold a configuration of this version: {error}") from None


def _short(value: Any, most: int = 60) -> str:
    text = ascii(value) if not isinstance(value, int) or abs(value) <= _MOST else "a huge number"
    return text if len(text) <= most else text[: most - 3] + "..."


def strategy_of(run_info: Mapping[str, Any]) -> str:
    """The key of a run's strategy: its text, or in a run.json without one what its name says."""
    return run_info.get("text") or key_of(run_info["strategy"])


def arms_of(run_info: Mapping[str, Any]) -> Arms:
    """The arms of a run: of the modules that its run.json names, else CoCa's. Raises ValueError where it names none."""
    modules = run_info.get("modules")
    if modules is None:
        return COCA
    if not isinstance(modules, list) or not all(isinstance(name, str) and len(name) <= 100 for name in modules):
        raise ValueError("modules must be a list of names")
    try:
        return Arms(tuple(modules))
    except ConfigError as error:
        raise ValueError(str(error)) from None
