"""What does a step cost? `python -m benchmarks.steps` prints ratios, taken in turns in one run, at laptop size (VQA).

A bare step is the teacher's forward, the student's forward with the task's loss, backward and update: what distilling
costs stands beside it. What a round's end adds (the reward on the probe batch, which no bare step has) has a line of
its own, for the laptop's rounds of 4 steps.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from unittest.mock import patch

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks._laptop import ARMS, ENDLESS, LWD, Setting, in_turns, laptop, line, milliseconds, options, ratios
from optima_lab.bandits.arms import parse_arm
from optima_lab.coca.forward import walk
from optima_lab.config.parameters import override
from optima_lab.distill.optim import apply
from optima_lab.distill.population import Population
from optima_lab.distill.seeds import stream_seed
from optima_lab.experiments.records import read_rounds
from optima_lab.experiments.run import open_experiments
from optima_lab.tasks.objectives import head_dropout, logits, predict, training_batch, training_loss

STEPS = 4  # a turn, shorter than what disturbs a shared machine
SIXTEEN = ",".join(
    ["none", "kl", "dide", *ARMS, "random", "optima", "optima_calibrated", "optima_mean", "shared_ts", "exp3s"]
)
WAITS = ("item", "tolist", "cpu", "numpy", "__bool__", "__float__", "__int__")


def bare(setting: Setting, arm: str = "") -> Callable[[], None]:
    """STEPS bare steps; with an arm, the teacher runs just the modules that it needs."""
    (student,) = setting.students("none")
    c, data, model, teacher = setting.config, setting.data, student.model, setting.teacher
    steps = iter(range(1, ENDLESS))

    def run() -> None:
        for step in (next(steps) for _ in range(STEPS)):
            batch = training_batch(c, data, c.training.batch_size, stream_seed(c, "batches"), step)
            with torch.inference_mode():
                if arm:
                    walk(teacher.coca, batch.patches(teacher.patch_size), batch.tokens, run=parse_arm(arm))
                else:
                    predict(teacher, batch)
            keep = head_dropout(model, batch, c.finetuning.dropout, stream_seed(c, "dropout"), step)
            student.optimizer.zero_grad(set_to_none=True)
            trace = walk(model.coca, batch.patches(model.patch_size), batch.tokens)
            training_loss(data.task, logits(model, trace, keep), batch, data.tokenizer.pad).backward()
            apply(student.optimizer, 1.0, c.optim.clip)

    return run


def ours(setting: Setting, names: str, count: int = STEPS) -> Callable[[], None]:
    """`count` steps of the trainer with fixed arms, no round among them."""
    config = override(setting.config, {"steps": ENDLESS})
    students = replace(setting, config=config).students(names)
    bench = Population(config, setting.task(students), students)
    for student in students:
        student.choose(1)
    steps = iter(range(1, ENDLESS))

    def run() -> None:
        for _ in range(count):
            bench.step(students, next(steps))
        for student in students:
            student.steps.clear()

    return run


def price_of_distilling(setting: Setting, repeats: int) -> dict[str, list[float]]:
    """(a) and the arms of (b)."""
    rounds = setting.rounds(LWD)
    runs = {"bare": bare(setting)}
    pairs = (("ours", ours), ("bare", bare))  # side by side, LWD's next to the bare step
    runs |= {f"{name} {arm}": make(setting, arm) for arm in reversed(ARMS) for name, make in pairs}
    runs["rounds of 4"] = lambda: [next(rounds) for _ in range(STEPS // setting.config.distillation.round_steps)]
    took = in_turns(runs, 5 * repeats)
    alone, distilled = (milliseconds(took[name], STEPS) for name in ("bare", f"ours {LWD}"))
    print(f"a bare step: {alone:.1f} ms; LWD's: {distilled:.1f} ms; median, then the middle half of the turns")
    line("(a) LWD's step / a bare step", ratios(took[f"ours {LWD}"], took["bare"]), 1.10)
    line("    with the rewards of rounds of 4 steps", ratios(took["rounds of 4"], took["bare"]))
    for arm in ARMS:
        cost = ratios(took[f"ours {arm}"], took[f"bare {arm}"])
        line(f"(b) {arm}: its step / (student + teacher's part)", cost, 1.10)
    return took


def over_a_run(took: dict[str, list[float]], runs: Path) -> None:
    """(b): OPTIMA's average step by the arms that recorded runs chose; without records by random's even choice."""
    experiments = open_experiments(runs) if runs.is_dir() else []
    rounds = read_rounds(experiments) if experiments else None
    lwd = took[f"ours {LWD}"]
    cost = {arm: ratios(took[f"ours {arm}"], lwd) for arm in ARMS}
    even = [sum(cost[arm][n] for arm in ARMS) / len(ARMS) for n in range(len(lwd))]
    line("(b) random's average step / LWD's", even, 0.92)
    if rounds is None:
        print(f"    OPTIMA's: no records in {runs} (train some with `make figures`)")
        return
    chosen = rounds[rounds["strategy"] == "optima"]
    for task, arms in chosen.groupby("task")["arm"]:
        share = arms.value_counts(normalize=True)
        average = [sum(share[arm] * cost[arm][n] for arm in share.index) for n in range(len(lwd))]
        line(f"(b) OPTIMA's average step / LWD's, arms as recorded: {task}", average, 0.92)


def population(setting: Setting, repeats: int) -> None:
    """(c): one round of 16 students that share a teacher, against 16 lone runs of the same."""
    alone = [setting.rounds(name) for name in SIXTEEN.split(",")]
    together = setting.rounds(SIXTEEN)
    runs = {"alone": lambda: [next(each) for each in alone], "together": lambda: next(together)}
    took = in_turns(runs, max(3, repeats // 3), warm=1)
    line("(c) a population of 16 / 16 lone runs", ratios(took["together"], took["alone"]), 0.70)
    lone = [setting.rounds(LWD) for _ in range(2)]
    many = setting.rounds(",".join(f"{LWD}:alpha_hidden={1 + n / 16}" for n in range(16)))
    took = in_turns({"one": lambda: next(lone[0]), "sixteen": lambda: next(many)}, max(3, repeats // 3), warm=1)
    line(
        "    sixteen LWD together / sixteen alone",
        [a / (16 * b) for a, b in zip(took["sixteen"], took["one"], strict=True)],
    )


def arithmetic(setting: Setting, took: dict[str, list[float]]) -> None:
    """(e): multiplications and additions that LWD's step really does, over what the machine's own product does."""
    a = torch.randn(1024, 1024)
    product = in_turns({"product": lambda: a @ a}, 20)["product"]
    rate = 2 * 1024**3 / median(product)
    steps = ours(setting, LWD)
    with FlopCounterMode(display=False) as counter:
        steps()
    done = counter.get_total_flops() / median(took[f"ours {LWD}"])
    print(f"(e) LWD's step: {done / 1e9:.1f} GFLOP/s of the {rate / 1e9:.1f} of a 1024³ product: {done / rate:.2f}")


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """How often Python asks a tensor for its numbers: on a GPU each is a wait."""
    seen: Counter[str] = Counter()

    def wrapped(name: str) -> Callable:
        original = getattr(Tensor, name)

        def ask(tensor: Tensor, *args: object, **kwargs: object) -> object:
            seen[name] += 1
            return original(tensor, *args, **kwargs)

        return ask

    with ExitStack() as stack:
        for name in WAITS:
            stack.enter_context(patch.object(Tensor, name, wrapped(name)))
        yield seen


def waits(setting: Setting) -> None:
    """(f): a population's host waits in five rounds."""
    rounds = setting.rounds("none,img,img+txt+multi,optima")
    next(rounds)
    with counted() as seen:
        for _ in range(5):
            next(rounds)
    line("(f) host waits a round, four students", [sum(seen.values()) / 5], 1.0)


def _peak(name: str, rounds: int, threads: int) -> float:
    """MiB that a run needs beyond what its process had before (Linux)."""
    torch.set_num_threads(threads)
    training = laptop(batch_size=256, probe_size=256).rounds(name)
    Path("/proc/self/clear_refs").write_text("5")  # from here on a new highest mark
    before = _highest_mark()
    for _ in range(rounds):
        next(training)
    return _highest_mark() - before


def _highest_mark() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def memory(threads: int) -> None:
    """(h): each in a process of its own that gives back what it frees; batches of 256 so that activations count."""
    with (
        patch.dict(os.environ, {"MALLOC_MMAP_THRESHOLD_": "65536"}),
        get_context("spawn").Pool(1, maxtasksperchild=1) as pool,
    ):
        optima, lwd = (pool.apply(_peak, (name, 12, threads)) for name in ("optima", LWD))
    line(f"(h) OPTIMA's peak memory / LWD's ({optima:.0f} and {lwd:.0f} MiB)", [optima / lwd], 1.0)


def growth(setting: Setting, repeats: int) -> None:
    """(i): one thing made larger, the rest as it is; a round's time over the smaller one's."""
    four = ",".join(["none", *ARMS[:3]])
    base = setting.rounds(LWD)
    later = setting.rounds(LWD)
    for _ in range(200):
        next(later)
    larger = {
        "rounds: the 200th / the first": later,
        "student layers 4/2/2 / 2/1/1": laptop(student_layers="4/2/2").rounds(LWD),
        "teacher layers 8/4/4 / 4/2/2": laptop(teacher_layers="8/4/4").rounds(LWD),
        "batch 128 / 64": laptop(batch_size=128).rounds(LWD),
        "students 16 / 4": setting.rounds(SIXTEEN),
    }
    runs = {"base": base.__next__, "four": setting.rounds(four).__next__}
    took = in_turns(runs | {name: each.__next__ for name, each in larger.items()}, max(3, repeats // 3), warm=1)
    for name in larger:
        line(f"(i) {name}", ratios(took[name], took["four" if name.startswith("students") else "base"]))


def main() -> None:
    """All of them."""
    chosen = options(__doc__)
    setting = laptop()
    took = price_of_distilling(setting, chosen.repeats)
    over_a_run(took, Path(chosen.runs))
    population(setting, chosen.repeats)
    arithmetic(setting, took)
    waits(setting)
    memory(chosen.threads)
    growth(setting, chosen.repeats)


if __name__ == "__main__":
    main()
