"""What a command leaves for readers: executed notebooks, the gallery, and at its end the table and the seconds."""

import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

from optima_lab.config.fields import Value
from optima_lab.distill.torchrun import launch
from optima_lab.errors import OptimaError
from optima_lab.experiments import records
from optima_lab.experiments.sweep import Sweep
from optima_lab.files import drop_parts, expand, locked
from optima_lab.report import findings
from optima_lab.report.gallery import build
from optima_lab.report.notebooks import Job, execute_all
from optima_lab.report.shipped import HOME
from optima_lab.report.tables import results as tables
from optima_lab.widgets import playground

NOTEBOOKS = (
    "00_quickstart.ipynb",
    "01_module_contribution.ipynb",
    "02_arms_compared.ipynb",
    "03_reward_dynamics.ipynb",
    "08_replay.ipynb",
)


def draw(sweep: Sweep, figures: Path, notebooks: Sequence[str] = NOTEBOOKS, more: Sequence[Job] = ()) -> None:
    """Execute these notebooks for every trained task, then `more` of them, and build the gallery.

    What cannot be drawn or written is a failure of this part alone; `report` says it.
    """
    if launch().helps:
        return
    try:
        with locked(expand(figures), f"{figures}"):  # two commands into one folder: the second finds what is drawn
            drop_parts(expand(figures), abandoned=True)
            _draw(sweep, expand(figures), notebooks, more)
    except (OptimaError, OSError) as error:  # a full disk: the table is still to be printed
        sweep.failures.append(f"figures: {error}")


def _draw(sweep: Sweep, figures: Path, notebooks: Sequence[str], more: Sequence[Job]) -> None:
    start = perf_counter()
    trained = list(dict.fromkeys(e.task for e in sweep.experiments))
    jobs = [
        Job(HOME / name, figures / task / name, _parameters(sweep, figures, task), sweep.key(task))
        for task in trained
        for name in notebooks
    ]
    sweep.failures += [result.error for result in execute_all([*jobs, *more]) if result.error]
    for task in trained:
        findings.write(figures / task, [e for e in sweep.experiments if e.task == task])
    sweep.seconds["notebooks"] = perf_counter() - start
    start = perf_counter()
    playground.write_page(figures / "playground.html", sweep.experiments)
    sweep.gallery = build(figures)
    sweep.seconds["gallery"] = perf_counter() - start


def _parameters(sweep: Sweep, figures: Path, task: str) -> dict[str, Value]:
    assert isinstance(sweep.strategies, str)  # papermill hands over text; objects are asked for in Python
    changes = ",".join(f"{name}={value}" for name, value in sorted(sweep.changes.items()))
    question: dict[str, Value] = {"task": task, "preset": sweep.preset, "seeds": sweep.seeds, "data": sweep.data}
    places: dict[str, Value] = {"runs": sweep.runs, "figures": str(figures)}
    return question | places | {"changes": changes, "strategies": sweep.strategies}


def report(sweep: Sweep) -> int:
    """Print the table, the seconds of each stage, the gallery and what failed; 1 if anything did."""
    if launch().helps:
        return 1 if sweep.failures else 0
    if sweep.experiments:
        print(tables.text(tables.results(records.read_runs(sweep.experiments), sweep.experiments)))
    total = perf_counter() - sweep.started
    stages = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in sweep.seconds.items())
    print(f"\n{total:.1f} s in all: {stages}")
    for line in sweep.failures:
        print(f"error: {line}", file=sys.stderr)
    if sweep.gallery is not None:
        print(f"gallery: {sweep.gallery}")
    return 1 if sweep.failures else 0
