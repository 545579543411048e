"""Invented records in exactly the files that training leaves, so that views are tested without training."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from optima_lab.bandits.arms import KEYS, LABELS
from optima_lab.config import Config
from optima_lab.config.parameters import flat
from optima_lab.display import name_of
from optima_lab.experiments import records
from optima_lab.presets import preset

ALL = ("none", "kl", *KEYS, "random", "optima", "optima_calibrated")
ROUNDS, ROUND_STEPS, INITIAL = 40, 5, 14  # 14: T0 = 2 plays of 7 arms
GAIN = dict(zip(("none", "kl", *KEYS), (5, 9, 18, 7, 30, 33, 38, 31, 40), strict=True))


@dataclass(frozen=True)
class FakeExperiment:
    """What views need of an experiment."""

    task: str
    seed: int
    id: str
    folder: Path
    only: tuple[str, ...]
    config: Config
    summary: dict[str, Any]


@dataclass(frozen=True)
class Records:
    """Experiments with their frames, as `optima_lab.experiments.records` reads them."""

    experiments: list[FakeExperiment]
    rounds: pd.DataFrame
    evals: pd.DataFrame
    runs: pd.DataFrame


def score_at(strategy: str, step: int, seed: int) -> float:
    """The invented score of a strategy: known, so that tests can expect it."""
    gain = GAIN.get(strategy, 39)
    return round(40 + gain * (1 - np.exp(-step / 80)) + 0.5 * seed, 3)


def _write_lines(path: Path, rows: Sequence[dict]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def _rounds(strategy: str, generator: np.random.Generator) -> list[dict]:
    mean, plays = np.zeros(7), np.zeros(7)
    order = generator.permutation(np.repeat(np.arange(7), 2))
    samples = strategy.startswith("optima")
    rows = []
    for number in range(1, ROUNDS + 1):
        draws = mean + generator.normal(size=7) / np.sqrt(plays + 1) * (0.05 if "calibrated" in strategy else 1)
        initial = samples and number <= INITIAL
        arm = order[number - 1] if initial else int(draws.argmax()) if samples else int(generator.integers(7))
        arm = KEYS.index(strategy) if strategy in KEYS else arm
        reward = float(0.002 * GAIN[KEYS[arm]] * np.exp(-number / 60) + 0.004 * generator.random())
        before, count = mean.copy(), plays.copy()
        plays[arm] += 1
        mean[arm] = mean[arm] + (reward - mean[arm]) / plays[arm] if initial else 0.9 * mean[arm] + 0.1 * reward
        vectors = {
            "draws": draws,
            "mean_before": before,
            "mean_after": mean,
            "plays_before": count,
            "plays_after": plays,
        }
        rows.append(
            {
                "round": number,
                "step": number * ROUND_STEPS,
                "arm": LABELS[arm],
                "initial": bool(initial),
                "reward": reward,
            }
            | {key: value.tolist() if samples else None for key, value in vectors.items()}
            | {f"ratio_{name}": reward for name in ("kl", "hidden", "attention")}
            | {f"probe_{name}": float(np.exp(-number / 30)) for name in ("train", "kl", "hidden", "attention")}
        )
    if strategy in ("none", "kl"):
        rows = [row | {"arm": None} for row in rows]
    return rows


def _sampler(strategy: str) -> dict:
    """What run.json says of the sampler that `_rounds` plays."""
    policy = {"optima": "optima", "optima_calibrated": "optima_calibrated"}.get(strategy)
    return {"policy": policy, "parameters": {"decay": 0.9, "initial_plays": 2}} if policy else {}


def _evals(strategy: str, seed: int) -> list[dict]:
    rows = []
    for step in range(25, ROUNDS * ROUND_STEPS + 1, 25):
        place = {"step": step, "round": step // ROUND_STEPS}
        loss = 1.5 * np.exp(-step / 90) + (0.2 if strategy == "optima" else 0.25)
        rows.append(place | {"split": "dev", "metric": "score", "value": score_at(strategy, step, seed) + 1})
        rows.append(place | {"split": "dev", "metric": "prediction_loss", "value": loss})
        rows.append(place | {"split": "dev", "metric": "kl", "value": loss / 2})
    return [*rows, place | {"split": "test", "metric": "score", "value": score_at(strategy, step, seed)}]


def _experiment(runs: Path, task: str, seed: int, strategies: Sequence[str]) -> FakeExperiment:
    generator = np.random.default_rng(seed)
    folder = runs / task / f"fake{seed}"
    summary = {
        "counts": {"train": 1000, "dev": 100, "test": 200},
        "baseline": {"name": "majority", "score": 40.0},
        "teacher": {"score_test": 90.0 + seed, "score_dev": 91.0, "prediction_loss": 0.2},
        "data": "",
        "seconds": {"teacher": 12.0, "distil": 30.0},
    }
    for strategy in strategies:
        place = folder / strategy
        place.mkdir(parents=True)
        evals = _evals(strategy, seed)
        _write_lines(place / "rounds.jsonl", _rounds(strategy, generator))
        _write_lines(place / "evals.jsonl", evals)
        name = name_of(strategy)
        about = {"strategy": name, "text": strategy, "arm": name if name in LABELS else ""}
        (place / "run.json").write_text(json.dumps(about | _sampler(strategy)))
        (place / "done.json").write_text(json.dumps({"steps": ROUNDS * ROUND_STEPS}))
    config = preset(task, "smoke", seed=seed)
    (folder / "experiment.json").write_text(json.dumps({"config": flat(config), **summary}))
    only = tuple(strategies)
    return FakeExperiment(task, seed, folder.name, folder, only, config, summary)


@pytest.fixture(scope="session")
def make_records(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Records]:
    """make_records(task, seeds, strategies) writes a runs folder and reads it back."""

    def make(task: str = "vqa", seeds: int = 1, strategies: Sequence[str] = ALL) -> Records:
        runs = tmp_path_factory.mktemp("runs")
        known = [_experiment(runs, task, seed, strategies) for seed in range(seeds)]
        frames = (read(known) for read in (records.read_rounds, records.read_evals, records.read_runs))
        return Records(known, *frames)

    return make


@pytest.fixture(scope="session")
def one(make_records: Callable[..., Records]) -> Records:
    """One seed of VQA with every strategy."""
    return make_records()


@pytest.fixture(scope="session")
def three(make_records: Callable[..., Records]) -> Records:
    """Three seeds of NLVR2 with every strategy."""
    return make_records("nlvr2", 3)
