"""What a run leaves on disk, and reading it back as frames: the only thing views look at.

`<runs>/<task>/<experiment id>/experiment.json` and, for each strategy, `<strategy id>/` with `run.json`, `steps.jsonl`,
`rounds.jsonl`, `evals.jsonl`, `student.safetensors` and, once all is there, `done.json`.
"""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from optima_lab.errors import RecordError
from optima_lab.experiments import variants
from optima_lab.experiments.code_fingerprint import code_fingerprint
from optima_lab.experiments.experiment import RecordFolder
from optima_lab.experiments.schema import VECTORS, check_ended, check_line, check_run, check_whole, strategy_of
from optima_lab.files import expand, json_text, write_text

LINES = ("steps", "rounds", "evals")
SETTINGS = ("decay", "initial_plays", "round_steps", "attention", "decoder_attention", "alpha_kl")


class Writer:
    """Appends one run's records, flushed to disk after every round; closing the files is the caller's `with`.

    A run that goes on after `done` steps keeps its records up to there; later ones will be written again.
    """

    def __init__(self, folder: Path, run_info: Mapping[str, Any], done: int = 0) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "run.json", run_info)
        for name in LINES:
            _cut(folder / f"{name}.jsonl", done)
        self._files = {name: (folder / f"{name}.jsonl").open("a", encoding="utf-8") for name in LINES}

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files.values():
            file.close()

    def append(self, name: str, records: Iterable[Mapping[str, Any]]) -> None:
        """Add records to 'steps', 'rounds' or 'evals', one JSON line each."""
        self._files[name].writelines(json_text(record) + "\n" for record in records)

    def flush(self) -> None:
        """Hand everything over to the disk: what was appended survives a crash."""
        for file in self._files.values():
            file.flush()
            os.fsync(file.fileno())


def _cut(path: Path, done: int) -> None:
    """Leave the records of the first `done` steps, whole or not at all."""
    records = [record for record in read_lines(path) if record["step"] <= done] if done else []
    write_text(path, "".join(json_text(record) + "\n" for record in records), durable=True)


def write_json(path: Path, content: Any) -> None:
    """Write a small JSON file whole or not at all; numbers that are not finite become null.

    Raises RecordError where it cannot be written.
    """
    write_text(path, json_text(content, indent=1, ensure_ascii=False) + "\n", durable=True)


def read_json(path: Path) -> Any:
    """Read a JSON file. Raises RecordError naming it where it is missing or broken."""
    try:
        return json.loads(_text(path))
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{path} must be JSON: {error}") from None


def _text(path: Path, errors: str = "strict") -> str:
    """The text of a file that is no link and no pipe: what a stranger's folder points at is not ours to read."""
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise RecordError(f"{path} must be a file of its own, got a link or something else")
    try:
        return path.read_text(encoding="utf-8", errors=errors)
    except OSError as error:
        raise RecordError(f"{path} cannot be read: {error.strerror}") from None


def read_speed(path: str | Path) -> dict[str, Any]:
    """What `python -m optima_lab speed` measured; empty where it has not run.

    Raises RecordError where the file is no such record.
    """
    path = expand(path)
    speeds = read_json(path) if path.exists() else {}
    models = speeds.get("models", {}) if isinstance(speeds, dict) else None
    if not isinstance(models, dict) or not all(_are_seconds(each) for each in models.values()):
        raise RecordError(f"{path} must hold lists of seconds by model under 'models'")
    return speeds


def _are_seconds(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(value, int | float) and value > 0 for value in values)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The records of a .jsonl file; a half-written last line (a run that was killed) is left out.

    Raises RecordError for a broken line elsewhere. A file that does not exist has no records.
    """
    if not path.exists() and not path.is_symlink():
        return []
    return parsed(path, _text(path, "replace").split("\n"))


def parsed(path: Path, lines: Sequence[str], first: int = 1) -> list[dict[str, Any]]:
    """The records of these lines of a .jsonl file, numbered from `first`; the last may be half-written."""
    records = []
    for number, line in enumerate(lines, first):
        if not line:
            continue
        try:
            record = json.loads(line)
            if not isinstance(record, dict):
                raise ValueError("not an object")
            check_line(record, path.stem)
            records.append(record)
        except (ValueError, RecursionError) as error:
            if number == first + len(lines) - 1:  # no newline after it: never finished
                break
            raise RecordError(f"{path}:{number} must be a JSON object: {error}") from None
    return records


def read_rounds(experiments: Sequence[RecordFolder]) -> pd.DataFrame:
    """One row a round; `draws`, `mean_*` and `plays_*` are arrays with a number for each arm, or None.

    `arm` is written as strategies are, 'img+txt'; arms of a user's own modules are as those are named. `policy` and
    `parameters` are the run's own, the same in all of its rows: what its posteriors are rebuilt from;
    `modules`, too: None where they are CoCa's.
    """
    return _frame(experiments, "rounds", ("policy", "parameters", "modules"))


def read_steps(experiments: Sequence[RecordFolder]) -> pd.DataFrame:
    """One row an optimizer step: its losses and learning rate."""
    return _frame(experiments, "steps")


def read_evals(experiments: Sequence[RecordFolder]) -> pd.DataFrame:
    """One row an evaluation: step, round, split, metric ('score', 'prediction_loss', 'kl') and value."""
    return _frame(experiments, "evals")


def read_runs(experiments: Sequence[RecordFolder]) -> pd.DataFrame:
    """One row a run: task, experiment, seed, strategy, arm, last scores, steps so far, whether done, why stopped (''
    for one that was not), and its settings.

    `record_version` is that of `experiments.ids`; 0 where a run does not say it. Settings (policy, reward and
    `SETTINGS`) are the strategy's own where it has them, else its configuration's; `own` maps those that differ from
    the configuration's to their values; `parameters` are its policy's.
    """
    rows = []
    for labels, folder, run_info in _folders(experiments):
        population = folder.parent / "experiment.json"
        whole = read_json(population).get("config", {}) if population.exists() else {}
        evals = [e for e in _lines(folder, "evals") if e["metric"] == "score" and e["value"] is not None]
        last = {e["split"]: e["value"] for e in evals}
        rounds = _lines(folder, "rounds")
        scores = {f"score_{split}": last.get(split, float("nan")) for split in ("test", "dev")}
        steps = rounds[-1]["step"] if rounds else 0
        done = (folder / "done.json").exists()
        made = {"done": done, "record_version": run_info.get("record_version", 0)}
        made |= {"parameters": dict(run_info.get("parameters") or {})}
        arm = {"arm": run_info.get("arm", ""), **_arm(run_info, run_info)}
        rows.append({**labels, **arm, **scores, "steps": steps, **made, **_settings(run_info, whole)})
    columns = ["task", "experiment", "seed", "strategy", "arm", "score_test", "score_dev", "steps", "done", "stopped"]
    return pd.DataFrame(rows, columns=[*columns, "record_version", "policy", "reward", *SETTINGS, "own", "parameters"])


def _settings(run_info: Mapping[str, Any], whole: Mapping[str, Any]) -> dict[str, Any]:
    """How a run's arms were chosen and what was matched; None where it is not recorded.

    `run_info` is the run, whose configuration has its own P, attention and weights already; `whole` is the population's
    configuration, where γ and T0 are those of whoever trained last.
    """
    usual = {"reward": "all", **{name: run_info.get("config", {}).get(name) for name in SETTINGS}}
    recorded = {**run_info.get("parameters", {}), **run_info}
    values = {name: value if recorded.get(name) is None else recorded[name] for name, value in usual.items()}
    usual |= {name: whole[name] for name in SETTINGS if name in whole and name not in run_info.get("parameters", {})}
    own = {name: values[name] for name, value in usual.items() if value is not None and values[name] != value}
    return {"policy": run_info.get("policy", ""), **values, "own": own}


def _folders(experiments: Sequence[RecordFolder]) -> Iterable[tuple[dict[str, Any], Path, Mapping[str, Any]]]:
    """Every run that has begun: what it is known by, its folder, its run.json; names tell apart what differs."""
    runs = [(each, *run) for each in experiments for run in _begun(each)]
    names = told_apart([(each, run_info) for each, _, run_info in runs])
    for (each, folder, run_info), name in zip(runs, names, strict=True):
        labels = {"task": each.task, "experiment": each.id, "seed": each.seed, "strategy": name}
        yield {**labels, "stopped": why_stopped(folder)}, folder, run_info


def _begun(each: RecordFolder) -> Iterable[tuple[Path, Mapping[str, Any]]]:
    for name in each.only:
        folder = each.folder / name
        if folder.is_symlink():
            raise RecordError(f"{folder} must be a folder of its own, got a link")
        if (folder / "run.json").exists():
            yield folder, check_run(read_json(folder / "run.json"), folder / "run.json")


def told_apart(runs: Sequence[tuple[RecordFolder, Mapping[str, Any]]]) -> list[str]:
    """A key for each run, of its experiment and its run.json: its strategy, and whatever but the seed tells it apart.

    Runs of one key may be averaged over seeds; two of one seed and task never share one.
    """
    folders = list({each.folder: (each, run_info) for each, run_info in reversed(runs)}.values())
    differences = variants.of_experiments([_identity(each, run_info) for each, run_info in folders])
    by_folder = {each.folder: facts for (each, _), facts in zip(folders, differences, strict=True)}
    keys = [(each.task, strategy_of(run_info), repr(by_folder[each.folder])) for each, run_info in runs]
    own = variants.of_runs([(key, variants.settings(run_info)) for key, (_, run_info) in zip(keys, runs, strict=True)])
    return [
        variants.written(strategy_of(run_info), {**facts, **by_folder[each.folder]})
        for (each, run_info), facts in zip(runs, own, strict=True)
    ]


def _identity(each: RecordFolder, run_info: Mapping[str, Any]) -> variants.Identity:
    """An experiment as it was asked for; one that lacks its own record is known by one of its runs."""
    path = each.folder / "experiment.json"
    whole = read_json(path) if path.is_file() else {}
    summary = whole if isinstance(whole, dict) and isinstance(whole.get("config"), dict) else run_info
    return replace(variants.of_summary(each.task, summary, each.id, each.seed), seed=each.seed)


def of_other_code(folders: Iterable[Path]) -> list[Path]:
    """Those of these runs, by folder, that have ended and that other code made than this, or code that is not known."""
    ended = [folder / "run.json" for folder in folders if (folder / "done.json").exists()]
    codes = {path.parent: check_run(read_json(path), path).get("code") for path in ended if path.exists()}
    return [folder for folder, code in codes.items() if code != code_fingerprint()]


def why_stopped(folder: Path) -> str:
    """Where the numbers of a run went wrong: 'round 12: train loss: …'; '' for a run that did not stop, or not yet."""
    path = folder / "done.json"
    return check_ended(read_json(path), path) if path.exists() else ""


def _frame(experiments: Sequence[RecordFolder], name: str, of_run: Sequence[str] = ()) -> pd.DataFrame:
    rows = [
        {**labels, **record, **_arm(record, run_info), **labels, **{key: run_info.get(key) for key in of_run}}
        # known first and last: a record decides neither order nor who it belongs to
        for labels, folder, run_info in _folders(experiments)
        for record in _lines(folder, name)
    ]
    frame = pd.DataFrame(rows)
    for column in set(VECTORS) & set(frame.columns):
        arrays = [None if _is_missing(value) else np.array(value, dtype=float) for value in frame[column]]
        frame[column] = pd.Series(arrays, index=frame.index, dtype=object)
    return frame


def _arm(record: Mapping[str, Any], run_info: Mapping[str, Any]) -> dict[str, str]:
    """A record's arm as strategies write it; modules of a user's own keep their names."""
    return {"arm": record["arm"].lower()} if record.get("arm") and run_info.get("modules") is None else {}


def _lines(folder: Path, name: str) -> list[Mapping[str, Any]]:
    path = folder / f"{name}.jsonl"
    return [check_whole(record, name, path) for record in read_lines(path)]


def _is_missing(value: Any) -> bool:
    return not isinstance(value, list)
