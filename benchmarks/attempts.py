"""What was tried and by how much it pays: `python -m benchmarks.attempts`, at laptop size (VQA), on the CPU.

- `compiled=true`: seconds that `torch.compile` takes, what a step then saves, and after how many steps that is paid
  back; a laptop's population takes 400 steps of 11 students;
- `stacked=true`: the students of a population in one forward instead of one after the other, in two sizes;
- two processes with a thread each against one process with two threads: what `make figures` does with its tasks.
"""

import time
from dataclasses import replace
from multiprocessing import get_context
from statistics import median

import torch

from benchmarks._laptop import ARMS, LWD, Setting, in_turns, laptop, line, options, ratios, waited
from benchmarks.steps import STEPS, ours
from optima_lab.config.parameters import override

POPULATION = ",".join(["none", "kl", *ARMS, "random", "optima"])  # a laptop's
SMALL = {"student_width": 16, "batch_size": 16, "probe_size": 32}


def compiled(setting: Setting, repeats: int, count: int = STEPS) -> None:
    """Seconds to compile what LWD runs of both models, against seconds that its steps then save."""
    plain = waited(ours(setting, LWD, count))
    start = time.perf_counter()
    fast = waited(ours(replace(setting, config=override(setting.config, {"compiled": True})), LWD, count))
    fast()
    paid = time.perf_counter() - start
    took = in_turns({"plain": plain, "compiled": fast}, repeats)
    saved = (median(took["plain"]) - median(took["compiled"])) / count
    line("LWD's step, compiled / as it is", ratios(took["compiled"], took["plain"]))
    after = f"paid back after {paid / saved:,.0f} steps" if saved > 0 else "never paid back"
    print(f"    {paid:.0f} s to compile, {after}; a population of 11 has {11 * setting.config.training.steps:,}")


def stacked(setting: Setting, repeats: int, names: str, most: float | None = None) -> None:
    """Steps of these students in one forward, against one after the other."""
    config = override(setting.config, {"stacked": True})
    runs = {"loop": ours(setting, names, 1), "stack": ours(replace(setting, config=config), names, 1)}
    took = in_turns({name: waited(run) for name, run in runs.items()}, repeats)
    count = len(names.split(","))
    what = f"{count} students of width {config.pretraining.student_width} stacked / one after the other"
    line(what, ratios(took["stack"], took["loop"]), most)


def _population(threads: int, rounds: int) -> float:
    torch.set_num_threads(threads)
    training = laptop().rounds(f"none,{LWD}")
    next(training)
    start = time.perf_counter()
    for _ in range(rounds):
        next(training)
    return time.perf_counter() - start


def processes(rounds: int = 40) -> None:
    """Two experiments: side by side with a thread each, or one after the other with two threads."""
    with get_context("spawn").Pool(2) as pool:
        beside = max(pool.starmap(_population, [(1, rounds)] * 2))
        after = 2 * pool.apply(_population, (2, rounds))
    line("two processes of a thread / one of two threads", [beside / after])


def main() -> None:
    """All of them."""
    chosen = options(__doc__)
    setting = laptop()
    processes()
    for known in (setting, laptop(**SMALL)):
        stacked(known, chosen.repeats, POPULATION)
    compiled(setting, 4 * chosen.repeats)


if __name__ == "__main__":
    main()
