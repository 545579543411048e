"""The paper's shapes on a GPU: `python -m benchmarks.gpu` prints shares of the machine's own rate, at random data.

CoCa-Large teaches CoCa-Tiny12 at 576 px and 64 tokens in bf16. A share is the arithmetic that PyTorch counts in a
forward or step, over the time it takes and over the rate of an 8192³ bf16 matrix product in the same run. `--small`
goes through the same with models of smoke size on whatever there is: its numbers mean nothing.
"""

import argparse
import sys
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks._laptop import ARMS, LWD, Setting, in_turns, line, waited
from benchmarks.attempts import compiled
from benchmarks.paper_step import random_data
from benchmarks.steps import counted, ours
from optima_lab.bandits.arms import MODULES
from optima_lab.coca.forward import walk
from optima_lab.coca.model import build, coca_config, for_task
from optima_lab.config import Config
from optima_lab.distill.parallel import device
from optima_lab.presets import preset
from optima_lab.tasks.objectives import logits, training_batch

NINE = ",".join(["none", *ARMS, "random"])


def setting(config: Config) -> Setting:
    """Random pictures and texts, and an untrained teacher, on the device."""
    data = random_data(config, max(config.distillation.probe_size, config.training.batch_size))
    shape = coca_config(config, "teacher", config.data.vocabulary)
    teacher = for_task(build(shape, 1), shape, data.task.pictures, len(data.classes), 3).to(device())
    return Setting(config, data, teacher.eval().requires_grad_(False))


def rate(side: int) -> float:
    """Operations a second of a square bf16 matrix product."""
    a = torch.randn(side, side, device=device(), dtype=torch.bfloat16)
    return 2 * side**3 / median(in_turns({"product": waited(lambda: a @ a)}, 10)["product"])


def share(what: str, run: Callable[[], Any], best: float, least: float, repeats: int) -> None:
    """Print the share of `best` that `run` reaches, and whether it is at least what is wanted."""
    with FlopCounterMode(display=False) as counter:
        run()
    seconds = median(in_turns({"it": waited(run)}, repeats)["it"])
    reached = counter.get_total_flops() / seconds / best
    goal = "yes" if reached >= least else "NO"
    print(f"{what:58s} {reached:8.2f}  {1000 * seconds:.1f} ms  wanted >= {least:.2f}: {goal}", flush=True)


def shares(known: Setting, best: float, repeats: int) -> None:
    """Teacher's forward, every arm's step, and the waits of LWD's."""
    batch = training_batch(known.config, known.data, known.config.training.batch_size, 0, 1)
    pictures = batch.patches(known.teacher.patch_size)

    @torch.inference_mode()
    def forward() -> None:
        with torch.autocast(device().type, torch.bfloat16):
            logits(known.teacher, walk(known.teacher.coca, pictures, batch.tokens, run=frozenset(MODULES)))

    share("teacher's forward", forward, best, 0.55, repeats)
    for arm in ARMS:
        share(f"step of {arm}, its part of the teacher with it", ours(known, arm, 1), best, 0.45, repeats)
    run = ours(known, LWD, 1)
    run()
    with counted() as seen:
        run()
    line("host waits inside a step", [float(sum(seen.values()))], 0.0)


def nine(known: Setting, repeats: int) -> None:
    """A population of nine against lone runs of the same strategies, in lone runs."""
    together, lone = ours(known, NINE, 1), [ours(known, name, 1) for name in NINE.split(",")]
    took = in_turns({"nine": waited(together), "lone": waited(lambda: [each() for each in lone])}, repeats, warm=1)
    line(
        "a population of nine, in lone runs", [9 * a / b for a, b in zip(took["nine"], took["lone"], strict=True)], 6.0
    )


def profile(known: Setting) -> None:
    """What remains: the ten dearest kernels of LWD's step."""
    run = ours(known, LWD, 1)
    run()
    activity = torch.profiler.ProfilerActivity
    cuda = torch.cuda.is_available()
    with torch.profiler.profile(activities=[activity.CPU, *[activity.CUDA] * cuda]) as found:
        waited(run)()
    spent = "self_device_time_total" if cuda else "self_cpu_time_total"
    for event in sorted(found.key_averages(), key=lambda event: -getattr(event, spent))[:10]:
        print(f"    {event.key[:60]:60s} {getattr(event, spent) / 1000:8.1f} ms")


def main() -> int:
    """All of them, or one line that says why not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="smoke size, on whatever there is")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=10)
    chosen = parser.parse_args()
    if not (torch.cuda.is_available() or chosen.small):
        print("not measured: no GPU here (the same code at smoke size: --small)")
        return 0
    changes = {"precision": "bf16", "batch_size": 8 if chosen.small else chosen.batch, "rand_augment": False}
    known = setting(preset("vqa", "smoke" if chosen.small else "paper", probe_size=8, **changes))
    print(torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU, smoke size: numbers mean nothing")
    best = rate(256 if chosen.small else 8192)
    print(f"a bf16 matrix product: {best / 1e12:.2f} TFLOP/s")
    shares(known, best, chosen.repeats)
    nine(known, chosen.repeats)
    compiled(known, chosen.repeats, 1)
    profile(known)
    return 0


if __name__ == "__main__":
    sys.exit(main())
