"""Frames of an invented population over all tasks, in which an effect is planted or not."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd

from optima_lab.bandits.arms import KEYS
from optima_lab.config import TASKS
from optima_lab.report.claims.evidence import Recorded
from optima_lab.report.claims.pooling import TASK_STREAMS

NAMES = ("none", "kl", "dide", *KEYS, "random", "optima", "optima_calibrated", "optima_mean")
DECAYS = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99)
OWN: tuple[dict, ...] = (
    {"reward": "kl"},
    {"reward": "layers"},
    *({"decay": decay} for decay in DECAYS if decay != 0.98),
    {"initial_plays": 1},
    {"initial_plays": 4},
    {"round_steps": 8},
    {"attention": "weights"},
)
USUAL = {"reward": "all", "decay": 0.98, "initial_plays": 2, "round_steps": 4, "attention": "scores"}


def _noise(*key: object) -> float:
    """Scatter over seeds of standard deviation 1, the same at each call."""
    return float(np.random.default_rng(list(str(key).encode())).normal())


def runs(
    gain: Mapping[str, float], seeds: int = 3, tasks: tuple[str, ...] = tuple(TASKS), scatter: float = 1.0
) -> pd.DataFrame:
    """Runs as `records.read_runs` gives them; a score is 70 plus the gain of its name, plus noise of a run.

    Names are strategies, or 'decay=0.5' for OPTIMA with a setting of its own.
    """
    rows = []
    for task in tasks:
        for seed in range(seeds):
            known = {"task": task, "experiment": f"{task}-s{seed}", "seed": seed, "done": True, "steps": 400}
            known |= {"record_version": TASK_STREAMS}
            for name in NAMES:
                policy = {"optima": "optima", "optima_mean": "optima_mean"}.get(name, "")
                score = 70 + gain.get(name, 0) + scatter * _noise(task, seed, name)
                arm = name if name in KEYS else ""
                rows.append(
                    known | USUAL | {"strategy": name, "arm": arm, "policy": policy, "score_test": score, "own": {}}
                )
            for own in OWN:
                (setting, value), *_ = own.items()
                score = 70 + gain.get(f"{setting}={value}", 0) + scatter * _noise(task, seed, setting, value)
                about = {"strategy": f"optima:{setting}={value}", "arm": "", "policy": "optima", "score_test": score}
                rows.append(known | USUAL | about | own | {"own": own})
    return pd.DataFrame(rows)


def rounds(
    favourite: str = "img+txt+multi", seeds: int = 3, tasks: tuple[str, ...] = tuple(TASKS), length: int = 84
) -> pd.DataFrame:
    """Rounds of OPTIMA that plays `favourite` in two of three; means are 0.05, the favourite's falls from 0.2."""
    rows = []
    for task in tasks:
        for seed in range(seeds):
            for number in range(1, length + 1):
                initial = number <= 14
                turn = KEYS[(number + seed) % 7]
                mean = np.full(7, 0.05)
                mean[KEYS.index(favourite)] = 0.2 - 0.1 * number / length
                arm = turn if initial or number % 3 == 0 else favourite
                rows.append(
                    {"task": task, "experiment": f"{task}-s{seed}", "seed": seed, "strategy": "optima", "arm": arm}
                    | {"round": number, "step": 4 * number, "initial": initial}
                    | {"mean_after": mean, "plays_after": np.ones(7)}
                )
    return pd.DataFrame(rows)


def evals(
    loss: Mapping[str, float], seeds: int = 3, tasks: tuple[str, ...] = tuple(TASKS), better: str = "img+txt+multi"
) -> pd.DataFrame:
    """Evaluations on dev: a loss at the end for strategies, and scores of fixed arms of which `better` is ahead."""
    rows = []
    for task in tasks:
        for seed in range(seeds):
            known = {"task": task, "experiment": f"{task}-s{seed}", "seed": seed, "split": "dev"}
            for step in (100, 200, 300):
                for name, value in loss.items():
                    noise = 0.05 * _noise(task, seed, name, step)
                    rows += [
                        known | {"strategy": name, "step": step, "metric": metric, "value": value + noise + 3 / step}
                        for metric in ("prediction_loss", "kl")
                    ]
                for arm in KEYS:
                    score = 60 + 10 * (arm == better) + 0.1 * _noise(task, seed, arm, step)
                    rows.append(known | {"strategy": arm, "step": step, "metric": "score", "value": score})
    return pd.DataFrame(rows)


def recorded(gain: Mapping[str, float], seeds: int = 3, **others: pd.DataFrame) -> Recorded:
    """Everything that claims are judged by, with scores planted by `gain`."""
    return replace(_usual(seeds), **{"runs": runs(gain, seeds), **others})


@cache
def _usual(seeds: int) -> Recorded:
    return Recorded(runs({}, seeds), rounds(seeds=seeds), evals({"optima": 1.0, "img+txt+multi": 1.0}, seeds))
