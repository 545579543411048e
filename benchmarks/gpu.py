"""The paper's shapes on a GPU: `python -m benchmarks.gpu` prints shares of the machine's own rate, at random data.

CoCa-Large teaches CoCa-Tiny12 at 576 px and 64 tokens in bf16. A share is the arithmetic that PyTorch counts in a
forward or step, over the time it takes and over the rate of an 8192³ bf16 matrix product in the same run. Before that,
five steps at laptop size must have the CPU's losses; after it, 22 students of laptop size go through one forward, and
batches of 576 px are prepared ahead. `--small` goes through the same at smoke size on whatever there is: its numbers
mean nothing. `--json FILE` keeps all that was printed. It needs no network, and of the workbench's packages
torch, torchvision, timm, transformers, sentencepiece and open_clip_torch.
"""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks._laptop import ARMS, LWD, PRINTED, Setting, in_turns, line, waited
from benchmarks.attempts import compiled, stacked
from benchmarks.feed import waits
from benchmarks.paper_step import random_data
from benchmarks.steps import counted, ours
from optima_lab.bandits.arms import MODULES
from optima_lab.coca.forward import walk
from optima_lab.coca.model import build, coca_config, for_task
from optima_lab.config import Config
from optima_lab.config.parameters import override
from optima_lab.distill.parallel import device
from optima_lab.distill.trainer import distill
from optima_lab.presets import preset
from optima_lab.tasks.feeding import TrainingBatches
from optima_lab.tasks.objectives import logits, training_batch

NINE = ",".join(["none", *ARMS, "random"])
MANY = ",".join([f"{arm}:alpha_hidden={1 + n / 3}" for arm in ARMS for n in range(3)] + ["random"])


def setting(config: Config) -> Setting:
    """Random pictures and texts, and an untrained teacher, on the configuration's device."""
    data = random_data(config, max(config.distillation.probe_size, config.training.batch_size))
    shape = coca_config(config, "teacher", config.data.vocabulary)
    teacher = for_task(build(shape, 1), shape, data.task.pictures, len(data.classes), 3)
    return Setting(config, data, teacher.to(device(config.model.device)).eval().requires_grad_(False))


def losses(config: Config) -> torch.Tensor:
    """(step, loss): total losses of LWD's first five steps."""
    known = setting(override(config, {"steps": 5, "round_steps": 5, "warmup_steps": 0}))
    students = known.students(LWD)
    ((_, [(_, steps)]),) = distill(known.config, known.task(students), students)
    return torch.tensor([[step[name] for name in ("train", "hidden", "attention")] for step in steps])


def agreement(config: Config) -> None:
    """The device's losses beside the CPU's: in fp32 and in bf16."""
    cpu = losses(override(config, {"device": "cpu"}))
    for precision, most in (("fp32", 1e-4), ("bf16", 5e-2)):
        apart = ((losses(override(config, {"precision": precision})) - cpu).abs() / cpu.abs().clamp(1.0)).max()
        verdict = "yes" if apart <= most else "NO"
        PRINTED[f"five steps, {precision}, against the CPU"] = apart.item()
        print(f"{f'five steps, {precision}, against the CPU':58s} {apart:8.1e}  wanted <= {most:.0e}: {verdict}")


def feeding(known: Setting, seconds: float, repeats: int) -> None:
    """How many steps of so many seconds wait for their batch, made by two workers, longer than a hundredth."""
    config = override(known.config, {"workers": 2, "rand_augment": True})
    late = waits(TrainingBatches(config, known.data, config.training.batch_size, 0), repeats + 1, seconds)[1:]
    line("share of steps that wait for a batch of two workers", [sum(wait > 0.01 * seconds for wait in late) / repeats])


def rate(side: int) -> float:
    """Operations a second of a square bf16 matrix product."""
    a = torch.randn(side, side, device=device(), dtype=torch.bfloat16)
    return 2 * side**3 / median(in_turns({"product": waited(lambda: a @ a)}, 10)["product"])


def share(what: str, run: Callable[[], Any], best: float, least: float, repeats: int) -> float:
    """Print the share of `best` that `run` reaches, and whether it is at least what is wanted; its seconds."""
    with FlopCounterMode(display=False) as counter:
        run()
    seconds = median(in_turns({"it": waited(run)}, repeats)["it"])
    reached = counter.get_total_flops() / seconds / best
    goal = "yes" if reached >= least else "NO"
    PRINTED[what], PRINTED[f"{what}, ms"] = reached, 1000 * seconds
    print(f"{what:58s} {reached:8.2f}  {1000 * seconds:.1f} ms  wanted >= {least:.2f}: {goal}", flush=True)
    return seconds


def shares(known: Setting, best: float, repeats: int) -> float:
    """Teacher's forward, every arm's step, and the waits of LWD's, whose seconds are returned."""
    batch = training_batch(known.config, known.data, known.config.training.batch_size, 0, 1)
    pictures = batch.patches(known.teacher.patch_size)

    @torch.inference_mode()
    def forward() -> None:
        with torch.autocast(device().type, torch.bfloat16):
            logits(known.teacher, walk(known.teacher.coca, pictures, batch.tokens, run=frozenset(MODULES)))

    share("teacher's forward", forward, best, 0.55, repeats)
    steps = {arm: ours(known, arm, 1) for arm in ARMS}
    took = {arm: share(f"step of {arm}, with its part of the teacher", steps[arm], best, 0.45, repeats) for arm in ARMS}
    run = ours(known, LWD, 1)
    run()
    with counted() as seen:
        run()
    line("host waits inside a step", [float(sum(seen.values()))], 0.0)
    return took[LWD]


def nine(known: Setting, repeats: int) -> None:
    """A population of nine against lone runs of the same strategies, in lone runs."""
    together, lone = ours(known, NINE, 1), [ours(known, name, 1) for name in NINE.split(",")]
    took = in_turns({"nine": waited(together), "lone": waited(lambda: [each() for each in lone])}, repeats, warm=1)
    line(
        "a population of nine, in lone runs", [9 * a / b for a, b in zip(took["nine"], took["lone"], strict=True)], 6.0
    )


def profile(known: Setting) -> None:
    """What remains: the five dearest kernels of LWD's step."""
    run = ours(known, LWD, 1)
    run()
    activity = torch.profiler.ProfilerActivity
    cuda = torch.cuda.is_available()
    with torch.profiler.profile(activities=[activity.CPU, *[activity.CUDA] * cuda]) as found:
        waited(run)()
    spent = "self_device_time_total" if cuda else "self_cpu_time_total"
    for event in sorted(found.key_averages(), key=lambda event: -getattr(event, spent))[:5]:
        print(f"    {event.key[:60]:60s} {getattr(event, spent) / 1000:8.1f} ms")


def main() -> int:
    """All of them, or one line that says why not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="smoke size, on whatever there is")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--compile", action="store_true", help="compiled steps, too, which take minutes to make")
    parser.add_argument("--json", type=Path, help="a file for all numbers")
    chosen = parser.parse_args()
    if not (torch.cuda.is_available() or chosen.small):
        print("not measured: no GPU here (the same code at smoke size: --small)")
        return 0
    laptop = preset("vqa", "smoke" if chosen.small else "laptop")
    agreement(laptop)
    changes = {"precision": "bf16", "batch_size": 8 if chosen.small else chosen.batch, "rand_augment": False}
    known = setting(preset("vqa", "smoke" if chosen.small else "paper", probe_size=8, **changes))
    print(torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU, smoke size: numbers mean nothing")
    best = rate(256 if chosen.small else 8192)
    PRINTED["a bf16 matrix product, TFLOP/s"] = best / 1e12
    print(f"a bf16 matrix product: {best / 1e12:.2f} TFLOP/s")
    step = shares(known, best, chosen.repeats)
    nine(known, chosen.repeats)
    stacked(setting(laptop), chosen.repeats, MANY, 1 / 8)
    feeding(known, step, chosen.repeats)
    if chosen.compile:
        compiled(known, chosen.repeats, 1)
    profile(known)
    if torch.cuda.is_available():
        line("peak memory, GiB", [torch.cuda.max_memory_allocated() / 2**30])
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(PRINTED, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
