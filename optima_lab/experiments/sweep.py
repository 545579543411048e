"""Many tasks at once: train each in a process of its own, and note how long everything took."""

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context, parent_process
from pathlib import Path
from pickle import loads
from threading import Thread
from time import perf_counter
from typing import Any, NamedTuple

from optima_lab.config import TASKS, Config
from optima_lab.distill.strategies import Strategies, parse_strategies
from optima_lab.distill.torchrun import launch
from optima_lab.errors import OptimaError
from optima_lab.experiments import records
from optima_lab.experiments.cluster import Pool, cluster
from optima_lab.experiments.code_fingerprint import tell_other_code
from optima_lab.experiments.run import Experiment, configurations, finished, pending, run
from optima_lab.files import expand
from optima_lab.progress import place_bars
from optima_lab.source import cells, keep_cells


@dataclass
class Sweep:
    """Tasks × seeds × strategies of one preset, and what became of them."""

    tasks: tuple[str, ...]
    preset: str = "laptop"
    data: str = ""
    runs: str = "runs"
    seeds: int = 1
    strategies: Strategies = "all"
    jobs: int = 0
    changes: Mapping[str, Any] = field(default_factory=dict)
    scheduler: str = ""
    callbacks: Sequence[Any] = ()  # copies of them, where workers train
    late: bool = False  # after all sweeps of a plan that are not
    experiments: list[Experiment] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    gallery: Path | None = None
    started: float = field(default_factory=perf_counter)

    def train(self) -> None:
        """Train what is missing."""
        for _ in train_together([self]):
            pass

    def calls(self, place: int = 0) -> list[tuple]:
        """A call for every seed and task, the slowest task of a seed first; `place` tells whose outcome it is."""
        tasks = sorted(self.tasks, key=lambda task: (not TASKS[task].captions, -TASKS[task].pictures))
        first = int(self.changes.get("seed", 0))
        arguments = {
            **self.configured(),
            "runs": str(expand(self.runs).absolute()),
            "strategies": self.strategies,
            "seeds": 1,
            "callbacks": self.callbacks,
        }
        arguments["verbose"] = False  # the command's own bars say it
        seeds = range(first, first + self.seeds)
        return [(run_or_say, place, task, {**arguments, "seed": seed}) for seed in seeds for task in tasks]

    def configured(self) -> dict[str, Any]:
        """The arguments of `configurations` but the task."""
        return {"preset": self.preset, "seeds": self.seeds, "data": self.data, **self.changes}

    def waiting(self) -> list[tuple[Config, int]]:
        """The configurations, one a task and seed, that have students to train, and how many."""
        configs = [config for task in self.tasks for config in configurations(task, **self.configured())]
        counted = [(config, len(pending(config, self.runs, self.strategies))) for config in configs]
        return [(config, count) for config, count in counted if count]

    def finished(self) -> list[Path]:
        """The folders of all finished runs that are asked for."""
        configs = [config for task in self.tasks for config in configurations(task, **self.configured())]
        return [folder for config in configs for folder in finished(config, self.runs, self.strategies)]

    def note(self, outcome: "Outcome") -> None:
        """Keep what became of a call; that a task fails in the same way with other seeds is said once."""
        self.experiments += outcome.experiments
        if outcome.error and outcome.error not in self.failures:
            self.failures.append(outcome.error)

    def key(self, task: str) -> str:
        """What the records of a task are known by: its experiments, and which of their strategies are looked at."""
        return " ".join(f"{e.id}:{','.join(e.only)}" for e in self.experiments if e.task == task)


class Outcome(NamedTuple):
    """What became of a call: a task's experiments, or in one line why there are none; whose it is."""

    place: int
    experiments: Sequence[Experiment] = ()
    error: str = ""


def train_together(sweeps: Sequence[Sweep]) -> Iterator[None]:
    """Train what sweeps of one plan miss with the same workers, seed after seed; yields after every task of a seed.

    `jobs` tasks at once; one that fails leaves the others alone. Each worker has its share of the cores' threads: small
    models gain more from a second process than from a second thread. A `scheduler` gives the calls to its cluster.
    """
    first, start = sweeps[0], perf_counter()
    waiting = [config for sweep in sweeps for config, _ in sweep.waiting()]
    if not launch().helps:  # here, before there are workers: each of them would say it
        tell_other_code(records.of_other_code(dict.fromkeys(folder for sweep in sweeps for folder in sweep.finished())))
    workers = 1 if launch().world_size > 1 else min(max(1, len(waiting)), first.jobs or os.cpu_count() or 1)
    for sweep in sweeps if first.scheduler else ():  # other machines start in other folders
        sweep.runs, sweep.data = (str(expand(p).resolve()) if p else "" for p in (sweep.runs, sweep.data))
    calls = [call for place, sweep in enumerate(sweeps) for call in sweep.calls(place)]
    with cluster(first.scheduler) if first.scheduler else _pool(workers) as pool:
        by_task = [*{config.task: config for config in reversed(waiting)}.values()]
        if waiting:
            _prepare(pool, by_task, first)
        first.seconds["preparation"] = perf_counter() - start
        calls.sort(key=lambda call: (sweeps[call[1]].late, call[-1]["seed"]))
        carried = _carried(sweeps, waiting, calls) if waiting else calls
        for outcome in pool([*_teachers(by_task, first), *carried]):
            if isinstance(outcome, Outcome):  # not a teacher's: where there is none, its students say why
                sweeps[outcome.place].note(outcome)
                yield
    order = list(TASKS)
    for sweep in sweeps:
        sweep.experiments.sort(key=lambda e: (order.index(e.task), e.seed))
    first.seconds["training"] = perf_counter() - start - first.seconds["preparation"]


def _carried(sweeps: Sequence[Sweep], waiting: Sequence[Config], calls: Sequence[tuple]) -> list[tuple]:
    """The calls as workers take them: a user's own code goes along, with the cells that its source is read from."""
    chosen = [strategy for sweep in sweeps for strategy in parse_strategies(sweep.strategies, waiting[0])]
    owns = [strategy.own for strategy in chosen if strategy.own.source.id]
    if not owns and not any(sweep.callbacks for sweep in sweeps):
        return [*calls]
    import cloudpickle

    things = [each for own in owns for each in (own.policy, own.reward, *own.losses) if each is not None]
    return [(call_own, cells(*things), cloudpickle.dumps(call)) for call in calls]


def call_own(files: Mapping[str, str], pickled: bytes) -> Any:
    """Make a call that holds code of a notebook's, whose cells are these."""
    keep_cells(files)
    call, *arguments = loads(pickled)
    return call(*arguments)


def _prepare(pool: Pool, by_task: Sequence[Config], sweep: Sweep) -> None:
    """What tasks share is made once, before they part: the world, then the two pre-trained models.

    What cannot be made here is left to the tasks, which say why.
    """
    runs = expand(sweep.runs)
    every = [configurations(task, **sweep.configured())[0] for task in TASKS] if not sweep.data else []
    if all([*pool([(prepared, "write_data", config, runs) for config in every])]):
        shared = [(prepared, "pretrain_teacher", by_task[0], runs), (prepared, "pretrain_base", by_task, runs)]
        all([*pool(shared)])


def _teachers(by_task: Sequence[Config], sweep: Sweep) -> list[tuple]:
    """Calls of their own, the slowest first: whoever has no teacher left to train begins with the students."""
    slowest_first = sorted(by_task, key=lambda config: -config.finetuning.finetune_steps * TASKS[config.task].pictures)
    return [(prepared, "teach", config, expand(sweep.runs)) for config in slowest_first]


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
        yield lambda calls: (f.result() for f in as_completed([pool.submit(*call) for call in calls]))
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


def run_or_say(place: int, task: str, arguments: Mapping[str, Any]) -> Outcome:
    """A task's experiments, or in one line why there are none; the other tasks go on."""
    try:
        return Outcome(place, run(task, **arguments))
    except OptimaError as error:
        return Outcome(place, error=f"{task}: {error}")


def prepared(name: str, *arguments: Any) -> bool:
    """Call a function of `training` that makes what students need; whether it could be done."""
    from optima_lab.experiments import population

    try:
        functions = {
            "write_data": population.write_data,
            "pretrain_teacher": population.pretrain_teacher,
            "pretrain_base": population.pretrain_base,
            "teach": population.teach,
        }
        functions[name](*arguments)
    except OptimaError:
        return False
    return True
