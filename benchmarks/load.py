"""Do many finished runs slow down what one asks of a few? `python -m benchmarks.load` compares 1,000 with 10.

In a folder with 10 finished runs (one experiment) and in one with 1,000 (a hundred experiments) the same is asked: list
them (`python -m optima_lab status`, a process of its own, as one calls it), open one experiment and load its frames,
draw and save its figures. Repetitions are interleaved; a ratio is of two neighbours, so that a busy machine slows both.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import numpy as np

from optima_lab.bandits.arms import LABELS
from optima_lab.config import Config
from optima_lab.config.parameters import flat
from optima_lab.data.datasets import locate
from optima_lab.display import name_of
from optima_lab.distill.strategies import parse_strategies
from optima_lab.experiments import records
from optima_lab.experiments.ids import experiment_id
from optima_lab.experiments.run import Experiment, run
from optima_lab.presets import preset
from optima_lab.report.figures import dynamics, style
from optima_lab.report.figures import scores as figures

FEW, MANY, WANTED = 10, 1000, 2.0
STRATEGIES = "none,img,txt,multi,img+txt,img+multi,txt+multi,img+txt+multi,random,optima"
WEIGHTS_BYTES = 2_000_000  # of a laptop's student; a sparse file


def write(runs: Path, count: int) -> None:
    """`count` finished runs of the laptop's size, ten an experiment, an experiment a seed; numbers are drawn."""
    for seed in range(count // FEW):
        config = preset("vqa", "laptop", seed=seed)
        folder = runs / "vqa" / experiment_id(config, locate(config, runs).fingerprint)
        for strategy in parse_strategies(STRATEGIES, config):
            _write_run(folder / strategy.id, name_of(strategy.text), config)
        known = {"counts": {"train": 9, "dev": 3, "test": 3}, "teacher": {"score_test": 90.0}}
        records.write_json(folder / "experiment.json", {"config": flat(config), **known})


def _write_run(folder: Path, name: str, config: Config) -> None:
    random = np.random.default_rng([config.seed, len(name)])
    arms = random.integers(7, size=config.rounds)
    vectors = {key: random.random(7).tolist() for key in records.VECTORS}
    with records.Writer(folder, {"strategy": name, "arm": "", "config": flat(config)}) as writer:
        for number, arm in enumerate(arms, 1):
            at = {"round": number, "step": number * config.distillation.round_steps}
            writer.append("rounds", [{**at, "arm": LABELS[arm], "initial": number < 15, "reward": 0.1, **vectors}])
            losses = {"train": 1.0, "kl": 0.5, "hidden": 2.0, "attention": 1e-3, "total": 3.5, "lr": 1e-3}
            writer.append(
                "steps", [{"step": at["step"] - n, **losses} for n in reversed(range(config.distillation.round_steps))]
            )
            if number % (config.rounds // config.evaluation.evaluations) == 0:
                for metric in ("score", "prediction_loss", "kl"):
                    line = {**at, "metric": metric, "value": float(random.random())}
                    writer.append("evals", [{**line, "split": split} for split in ("dev", "test")])
    with (folder / "student.safetensors").open("wb") as file:
        file.truncate(WEIGHTS_BYTES)
    records.write_json(folder / "done.json", {"steps": config.training.steps, "stopped": {}})


def status(runs: Path) -> None:
    """The list, as a user asks for it."""
    subprocess.run([sys.executable, "-m", "optima_lab", "status", "--runs", str(runs)], check=True, capture_output=True)


def load(runs: Path) -> tuple[Experiment, list]:
    """One experiment and all its frames."""
    (found,) = run("vqa", "laptop", runs=str(runs), strategies=STRATEGIES)
    frames = (records.read_rounds, records.read_steps, records.read_evals, records.read_runs)
    return found, [read([found]) for read in frames]


def draw(runs: Path) -> None:
    """The figures of notebooks 01 to 03, saved in all formats."""
    found, (rounds, _, evals, _) = load(runs)
    drawn = {
        "module_contribution": figures.module_contribution(evals),
        "arms_compared": figures.arms_compared(evals, [found.summary]),
        "generalization": figures.generalization(evals),
        "reward_means": dynamics.reward_means(rounds),
        "arm_frequency": dynamics.arm_frequency(rounds),
    }
    for name, figure in drawn.items():
        style.save(figure, runs.parent / "figures", name, [found])


ASKED: dict[str, Callable[[Path], object]] = {"status": status, "load one experiment": load, "draw its figures": draw}


def seconds(call: Callable[[Path], object], runs: Path) -> float:
    """How long a call takes."""
    start = perf_counter()
    call(runs)
    return perf_counter() - start


def main() -> int:
    """Print the table; 1 where more runs cost more than twice the time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats
    with tempfile.TemporaryDirectory() as folder:
        places = {count: Path(folder) / str(count) / "runs" for count in (FEW, MANY)}
        for count, place in places.items():
            write(place, count)
        print(f"{'seconds: median (quartiles)':28}{f'{FEW} runs':>22}{f'{MANY:,} runs':>22}{'ratio':>22}  ≤ {WANTED:g}")
        within = [_row(name, call, places, repeats) for name, call in ASKED.items()]
    return 0 if all(within) else 1


def _row(name: str, call: Callable[[Path], object], places: dict[int, Path], repeats: int) -> bool:
    took: dict[int, list[float]] = {count: [] for count in places}
    for repeat in range(repeats + 1):
        for count in (FEW, MANY) if repeat % 2 else (MANY, FEW):
            spent = seconds(call, places[count])
            if repeat:  # the first warms up
                took[count].append(spent)
    ratios = np.divide(took[MANY], took[FEW])
    cells = "".join(f"{_spread(values):>22}" for values in (took[FEW], took[MANY], ratios))
    holds = bool(np.median(ratios) <= WANTED)
    print(f"{name:28}{cells}  {'yes' if holds else 'NO'}", flush=True)
    return holds


def _spread(values: object) -> str:
    low, middle, high = np.percentile(np.asarray(values, float), (25, 50, 75))
    return f"{middle:.3g} ({low:.3g}–{high:.3g})"


if __name__ == "__main__":
    sys.exit(main())
