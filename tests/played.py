"""Runs as training leaves them, but played by the library's own policies in an invented world: nothing is trained."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from optima_lab.bandits.arms import LABELS
from optima_lab.bandits.policies import make_policy
from optima_lab.config import Config
from optima_lab.config.parameters import flat
from optima_lab.data.datasets import locate
from optima_lab.display import name_of
from optima_lab.distill.strategies import parse_strategies
from optima_lab.experiments import records
from optima_lab.experiments.ids import experiment_id

POLICIES = {"OPTIMA": "optima", "OPTIMA calibrated": "optima_calibrated", "Random": "random", "D-UCB": "discounted_ucb"}
INITIAL_PLAYS, ROUND_STEPS = 2, 6
Row = dict[str, Any]


def play(name: str, rounds: int, seed: int = 0) -> list[Row]:
    """The records of `rounds` rounds: a policy of `POLICIES`, a fixed arm, or 'None'."""
    generator = np.random.default_rng(seed)
    policy = _policy(name)
    state = policy.init(len(LABELS), 1, generator) if policy else {}
    rows = []
    for number in range(1, rounds + 1):
        chosen = policy.select(state, generator) if policy else None
        arm = int(chosen.arm[0]) if chosen else LABELS.index(name) if name in LABELS else None
        ratios = np.maximum(0, (0.02 + 0.01 * (arm or 0)) * (1 + generator.normal(size=3))) * np.exp(-number / rounds)
        before = state
        if policy:
            state = policy.update(state, np.array([arm]), np.array([ratios.mean()]))
        rows.append(_row(number, arm, chosen, before, state, ratios))
    return rows


def _policy(name: str) -> Any:
    if name not in POLICIES:
        return None
    return make_policy(POLICIES[name], **({"initial_plays": INITIAL_PLAYS} if name.startswith("OPTIMA") else {}))


def _row(number: int, arm: int | None, chosen: Any, before: Row, after: Row, ratios: np.ndarray) -> Row:
    vectors = {
        f"{column}_{when}": state[column][0].tolist() if column in state else None
        for column in ("mean", "plays")
        for when, state in (("before", before), ("after", after))
    }
    draws = None if chosen is None else [None if np.isnan(score) else score for score in chosen.scores[0].tolist()]
    losses = {"train": 3.0, "kl": 6.0, "hidden": 10.0, "attention": 0.9}
    return {
        "round": number,
        "step": number * ROUND_STEPS,
        "arm": None if arm is None else LABELS[arm],
        "initial": bool(chosen.initial) if chosen else False,
        "draws": draws,
        **vectors,
        "reward": float(ratios.mean()),
        **dict(zip(("ratio_kl", "ratio_hidden", "ratio_attention"), ratios.tolist(), strict=True)),
        **{f"probe_{name}": value * float(np.exp(-number / 40)) for name, value in losses.items()},
    }


def write(runs: Path, *names: str, rounds: int = 40, task: str = "vqa", seed: int = 0, done: bool = True) -> Path:
    """An experiment's folder below `runs` with one run for each name, as `records.Writer` writes it."""
    folder = runs / task / f"laptop-s{seed}-0000"
    for name in names:
        policy = _policy(name)
        parameters = {} if policy is None else vars(policy)
        about = {"strategy": name, "arm": name if name in LABELS else "", "policy": POLICIES.get(name, "")}
        about |= {"parameters": parameters, "reward": "all"}
        about |= {"config": {"seed": seed, "steps": rounds * ROUND_STEPS, "round_steps": ROUND_STEPS}}
        place = folder / name.lower().replace(" ", "_")
        with records.Writer(place, about) as writer:
            writer.append("rounds", play(name, rounds, seed))
            writer.append("evals", [_score(number) for number in range(10, rounds + 1, 10)])
        if done:
            records.write_json(place / "done.json", {})
    return folder


def _score(number: int) -> Row:
    return {"step": number * ROUND_STEPS, "round": number, "split": "dev", "metric": "score", "value": 30.0 + number}


def lines(folder: Path) -> list[Row]:
    """The rounds of a run's folder as they stand in its file."""
    return [json.loads(line) for line in (folder / "rounds.jsonl").read_text().splitlines()]


def rewrite(folder: Path, rows: list[Row], tail: str = "") -> None:
    """Other rounds in a run's file; `tail` follows the last line."""
    (folder / "rounds.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + tail)


def stop(folder: Path, number: int) -> None:
    """A run whose student met infinities in this round: its records end there, and done.json says so."""
    rewrite(folder, lines(folder)[:number])
    where = {"round": number, "step": number * ROUND_STEPS - 2, "arm": "Img", "where": "kl loss: overflow of float16"}
    records.write_json(folder / "done.json", {"steps": 240, "stopped": where | {"good": (number - 1) * ROUND_STEPS}})


def finish(runs: Path, config: Config, *names: str, rounds: int = 40) -> Path:
    """An experiment that `optima_lab.run` finds finished: strategies by the names that it is asked for."""
    folder = runs / config.task / experiment_id(config, locate(config, runs).fingerprint)
    for strategy in parse_strategies(names, config):
        written = write(runs / "parts", name_of(strategy.text), rounds=rounds)
        (written / name_of(strategy.text).lower().replace(" ", "_")).rename(_made(folder) / strategy.id)
    records.write_json(folder / "experiment.json", {"config": flat(config)})
    return folder


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
