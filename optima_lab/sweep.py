"""Many tasks at once: train each in a process of its own, execute the notebooks, say how long everything took."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread
from time import perf_counter
from typing import TYPE_CHECKING, Any

from optima_lab import records
from optima_lab.cluster import Pool, cluster
from optima_lab.config import TASKS, Config, Value
from optima_lab.errors import OptimaError
from optima_lab.experiment import HELPS, Experiment, configurations, pending, run
from optima_lab.progress import place_bars

if TYPE_CHECKING:
    from optima_lab.notebooks import Job

NOTEBOOKS = (
    "00_quickstart.ipynb",
    "01_module_contribution.ipynb",
    "02_arms_compared.ipynb",
    "03_reward_dynamics.ipynb",
    "08_replay.ipynb",
)
_TOGETHER = "RANK" in os.environ  # torchrun's processes train one experiment together; the first one reports
HOME = Path(__file__).parents[1] / "notebooks"


@dataclass
class Sweep:
    """Tasks × seeds × strategies of one preset, and what became of them."""

    tasks: tuple[str, ...]
    preset: str
    data: str
    runs: str
    seeds: int
    strategies: str
    jobs: int
    changes: Mapping[str, Any]
    scheduler: str = ""
    experiments: list[Experiment] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    gallery: Path | None = None
    started: float = field(default_factory=perf_counter)

    def train(self) -> None:
        """Train what is missing, `jobs` tasks at once; one that fails leaves the others alone.

        Each worker has its share of the cores' threads: small models gain more from a second process than from a
        second thread. With a `scheduler` every task and seed is a call of its own, on the workers of its cluster.
        """
        start = perf_counter()
        waiting = self._waiting()
        workers = 1 if _TOGETHER else min(max(1, len(waiting)), self.jobs or os.cpu_count() or 1)
        if self.scheduler:  # other machines start in other folders
            self.runs, self.data = (str(Path(p).resolve()) if p else "" for p in (self.runs, self.data))
        with cluster(self.scheduler) if self.scheduler else _pool(workers) as pool:
            if waiting:
                self._prepare(pool, waiting)
            for result in pool(self._calls()):
                self._note(result)
        order = list(TASKS)
        self.experiments.sort(key=lambda e: (order.index(e.task), e.seed))
        self.seconds["training"] = perf_counter() - start - self.seconds.get("preparation", 0.0)

    def _calls(self) -> list[tuple]:
        """The slowest tasks first; on a cluster seed by seed, so that the first ones make what the others share."""
        tasks = sorted(self.tasks, key=lambda task: (not TASKS[task].captions, -TASKS[task].pictures))
        if not self.scheduler:
            return [(run_or_say, task, self._arguments()) for task in tasks]
        first = int(self.changes.get("seed", 0))
        seeds = range(first, first + self.seeds)
        return [(run_or_say, task, {**self._arguments(), "seeds": 1, "seed": n}) for n in seeds for task in tasks]

    def _configured(self) -> dict[str, Any]:
        return {"preset": self.preset, "seeds": self.seeds, "data": self.data, **self.changes}

    def _arguments(self) -> dict[str, Any]:
        return {**self._configured(), "runs": self.runs, "strategies": self.strategies}

    def missing(self) -> int:
        """How many students there are still to train."""
        configs = [c for task in self.tasks for c in configurations(task, **self._configured())]
        return sum(len(pending(c, self.runs, self.strategies)) for c in configs)

    def _waiting(self) -> list[Config]:
        """The configurations, one a task, that have something to train."""
        return [
            config
            for task in self.tasks
            for config in configurations(task, **self._configured())[:1]
            if any(pending(c, self.runs, self.strategies) for c in configurations(task, **self._configured()))
        ]

    def _prepare(self, pool: Pool, waiting: Sequence[Config]) -> None:
        """What tasks need is made once, before they part: the world, the two pre-trained models, then the teachers.

        Teachers are calls of their own, as they take unlike times: so no worker waits long at the end. What cannot be
        made here is left to the tasks, which say why.
        """
        start = perf_counter()
        runs = Path(self.runs)
        every = [configurations(task, **self._configured())[0] for task in TASKS] if not self.data else []
        done = all([*pool([(prepared, "write_data", config, runs) for config in every])])
        if done:
            shared = [(prepared, "pretrain_teacher", waiting[0], runs), (prepared, "pretrain_base", waiting, runs)]
            all([*pool(shared)])
            slowest_first = sorted(waiting, key=lambda config: -config.finetune_steps * TASKS[config.task].pictures)
            all([*pool([(prepared, "teach", config, runs) for config in slowest_first])])
        self.seconds["preparation"] = perf_counter() - start

    def _note(self, result: list[Experiment] | str) -> None:
        if isinstance(result, str):
            self.failures.append(result)
        else:
            self.experiments += result

    def draw(self, figures: Path, notebooks: Sequence[str] = NOTEBOOKS, more: Sequence["Job"] = ()) -> None:
        """Execute these notebooks for every trained task, then `more` of them, and build the gallery."""
        from optima_lab.notebooks import Job, execute_all
        from optima_lab.views import playground
        from optima_lab.views.gallery import build

        if HELPS:
            return
        start = perf_counter()
        trained = list(dict.fromkeys(e.task for e in self.experiments))
        jobs = [
            Job(
                HOME / name,
                figures / task / name,
                self._parameters(figures, task),
                self.key(task),
            )
            for task in trained
            for name in notebooks
        ]
        self.failures += [result.error for result in execute_all([*jobs, *more]) if result.error]
        self.seconds["notebooks"] = perf_counter() - start
        start = perf_counter()
        playground.write_page(figures / "playground.html")
        self.gallery = build(figures)
        self.seconds["gallery"] = perf_counter() - start

    def _parameters(self, figures: Path, task: str) -> dict[str, Value]:
        changes = ",".join(f"{name}={value}" for name, value in sorted(self.changes.items()))
        known: dict[str, Value] = {"task": task, "preset": self.preset, "seeds": self.seeds, "data": self.data}
        return {**known, "runs": self.runs, "figures": str(figures), "changes": changes, "strategies": self.strategies}

    def key(self, task: str) -> str:
        """What the records of a task are known by: its experiments, and which of their strategies are looked at."""
        return " ".join(f"{e.id}:{','.join(e.only)}" for e in self.experiments if e.task == task)

    def report(self) -> int:
        """Print the table, the seconds of each stage, the gallery and what failed; 1 if anything did."""
        from optima_lab.views import tables

        if HELPS:
            return 1 if self.failures else 0
        if self.experiments:
            print(tables.text(tables.results(records.read_runs(self.experiments), self.experiments)))
        total = perf_counter() - self.started
        stages = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in self.seconds.items())
        print(f"\n{total:.1f} s in all: {stages}")
        for line in self.failures:
            print(f"error: {line}", file=sys.stderr)
        if self.gallery is not None:
            print(f"gallery: {self.gallery}")
        return 1 if self.failures else 0


@contextmanager
def _pool(workers: int) -> Iterator[Pool]:
    """Calls in `workers` processes, results as they come; with one worker, here. Ctrl-C ends them all.

    joblib would not be less: threads, places of bars and the end of busy workers would have to be said all the same.
    """
    if workers == 1:
        yield lambda calls: (call(*arguments) for call, *arguments in calls)
        return
    context = get_context("spawn")
    places = context.Queue()
    for place in range(workers):
        places.put(place)
    threads = max(1, (os.cpu_count() or 1) // workers)
    pool = ProcessPoolExecutor(workers, context, _start_worker, (threads, places))
    try:
        yield lambda calls: [f.result() for f in as_completed([pool.submit(*call) for call in calls])]
        pool.shutdown()
    except BaseException:
        for process in list((pool._processes or {}).values()):
            process.terminate()
        pool.shutdown(wait=False, cancel_futures=True)
        raise


def _start_worker(threads: int, places: Any) -> None:
    import torch

    Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    place_bars(places.get())


def _end_with_parent() -> None:
    """Whoever kills the command means its workers, too; what they had begun is gone on with by the next command."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def run_or_say(task: str, arguments: Mapping[str, Any]) -> list[Experiment] | str:
    """A task's experiments, or in one line why there are none; the other tasks go on."""
    try:
        return run(task, **arguments)
    except OptimaError as error:
        return f"{task}: {error}"


def prepared(name: str, *arguments: Any) -> bool:
    """Call a function of `training` that makes what students need; whether it could be done."""
    from optima_lab import training

    try:
        known = {
            "write_data": training.write_data,
            "pretrain_teacher": training.pretrain_teacher,
            "pretrain_base": training.pretrain_base,
            "teach": training.teach,
        }
        known[name](*arguments)
    except OptimaError:
        return False
    return True
