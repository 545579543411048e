"""Judging the paper's claims: train what they need, seed after seed, execute their notebooks, print the ledger.

What is finished is found again, so that an interrupted run goes on where it stopped; and since a seed of all
populations is trained before the next one, fewer seeds can be judged at any time.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import pandas as pd

from optima_lab.errors import ConfigError
from optima_lab.experiments.plans import PopulationSpec, some_populations
from optima_lab.experiments.run import configurations
from optima_lab.experiments.sweep import Sweep, train_together
from optima_lab.files import expand
from optima_lab.report.claims.significance import in_words
from optima_lab.report.draw import draw, report
from optima_lab.report.notebooks import Job
from optima_lab.report.shipped import HOME

BY_TASK = ("04_reward_design.ipynb", "05_halflife.ipynb")
OVER_TASKS = ("06_tables.ipynb", "07_claims.ipynb", "09_when_does_it_pay.ipynb")
ROOM = "claims"  # of the notebooks over all tasks, below the figures


def run_claims(plan: Mapping[str, Any], figures: Path, names: str = "") -> int:
    """Do all of it for a plan (the arguments of `Sweep`); the exit code is 1 if any part failed.

    names: populations between commas, 'main' among them, where not all claims are to be judged ('').
    Raises ConfigError where a population cannot be: a size, P or setting that does not fit the plan's own changes.
    """
    wanted = some_populations(plan["preset"], names)
    if "main" not in (population.name for population in wanted):
        raise ConfigError(f"populations must have main among them, got {names!r}; the others are compared with it")
    _check(plan, wanted)
    sweeps = _train(plan, wanted)
    main = sweeps["main"]
    main.failures = list(dict.fromkeys(line for sweep in sweeps.values() for line in sweep.failures))
    draw(main, figures, BY_TASK, _jobs(plan, figures, sweeps))
    code = report(main)
    print(_verdicts(figures / ROOM))
    return code


def _check(plan: Mapping[str, Any], wanted: Sequence[PopulationSpec]) -> None:
    from optima_lab.distill.strategies import parse_strategies

    for population in wanted:
        twice = sorted(set(population.changes) & set(plan["changes"]))
        if twice:
            raise ConfigError(f"claims set {', '.join(twice)} themselves: leave it to them, or use train and figures")
        for task in plan["tasks"]:
            changes = {**plan["changes"], **population.changes}
            config = configurations(task, plan["preset"], plan["seeds"], plan["data"], **changes)[0]
            parse_strategies(population.strategies, config)


def _train(plan: Mapping[str, Any], wanted: Sequence[PopulationSpec]) -> dict[str, Sweep]:
    """Train all populations with the same workers, a line after every task with the time left; their sweeps by name."""
    sweeps = {p.name: _sweep(plan, p) for p in wanted}
    waiting, started = _missing(sweeps.values()), perf_counter()
    left = waiting
    for _ in train_together([*sweeps.values()]):
        before, left = left, _missing(sweeps.values())
        if left < before:
            spent = perf_counter() - started - sweeps["main"].seconds["preparation"]
            minutes = spent / (waiting - left) * left / 60
            print(f"{waiting - left} of {waiting} students, about {minutes:.0f} min left", file=sys.stderr)
    return sweeps


def _sweep(plan: Mapping[str, Any], population: PopulationSpec) -> Sweep:
    changes = {**plan["changes"], **population.changes}
    arguments = {**plan, "strategies": population.strategies, "changes": changes}
    return Sweep(**{**arguments, "seeds": population.seeds(plan["seeds"]), "late": population.most_seeds > 0})


def _missing(sweeps: Iterable[Sweep]) -> int:
    return sum(count for sweep in sweeps for _, count in sweep.waiting())


def _jobs(plan: Mapping[str, Any], figures: Path, sweeps: Mapping[str, Sweep]) -> list[Job]:
    """The notebooks over all tasks, for the tasks that the main population has and the populations that have them."""
    tasks = [task for task in plan["tasks"] if task in {e.task for e in sweeps["main"].experiments}]
    whole = [name for name, sweep in sweeps.items() if set(tasks) <= {e.task for e in sweep.experiments}]
    parameters = {name: plan[name] for name in ("preset", "seeds", "data", "runs")}
    changes = ",".join(f"{name}={value}" for name, value in sorted(plan["changes"].items()))
    parameters |= {"tasks": ",".join(tasks), "populations": ",".join(whole)}
    parameters |= {"changes": changes, "figures": str(figures)}
    speed = expand(plan["runs"]) / "speed.json"
    keys = [sweep.key(task) for sweep in sweeps.values() for task in tasks]
    key = " ".join([*keys, speed.read_text(encoding="utf-8") if speed.exists() else ""])
    return [Job(HOME / name, figures / ROOM / name, parameters, key) for name in OVER_TASKS] if tasks else []


def _verdicts(folder: Path) -> str:
    """The ledger that lies in a folder, a line a claim; nothing where there is none or its notebook failed."""
    path = folder / "ledger.csv"
    if not path.exists() or (folder / "07_claims.failed.ipynb").exists():
        return "ledger: none was written"
    table = pd.read_csv(path, keep_default_na=False)
    lines = []
    for row in table.to_dict("records"):
        verdict = in_words(row["verdict"], float(row["needs"] or "nan"), row["replicate"])
        lines.append(f"{verdict:<16}{row['text']} ({row['source']})")
    return "\n".join(["", *lines, f"ledger: {path.with_suffix('.html')}"])
