"""How long inference takes: Large, Tiny12 and Tiny6 at the paper's shapes, beside Table 1's speed-ups.

One repetition times every model once, in an order of its own, so that whatever else the machine does falls on all of
them alike; the speed-up of a repetition is Large's seconds over the model's. Weights are random: they cost the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from optima_lab.coca.forward import walk
from optima_lab.coca.model import CoCaConfig, TaskModel, build, for_task
from optima_lab.coca.parameter_counts import CLASSES, paper_size
from optima_lab.distill.parallel import device
from optima_lab.errors import ConfigError
from optima_lab.files import expand, json_text, write_text
from optima_lab.progress import progress
from optima_lab.tasks.objectives import logits

REPORTED = {"Large": 1.0, "Tiny12": 3.4, "Tiny6": 6.2}  # Table 1
Seconds = dict[str, list[float]]


@dataclass(frozen=True)
class Timing:
    """What is timed: examples a forward, repetitions, pixels a side (a multiple of 18), tokens a text."""

    batch: int = 0  # 0: 1 on a CPU, 32 on a GPU
    repeats: int = 0  # 0: 5 on a CPU, 50 on a GPU
    pixels: int = 576
    text_tokens: int = 64

    def __post_init__(self) -> None:
        for name in ("batch", "repeats"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} must be at least 1 (or 0: as the device is), got {getattr(self, name)}")
        if self.pixels < 18 or self.pixels % 18:
            raise ConfigError(f"pixels must be a multiple of the patch size, 18; got {self.pixels}")

    def on(self, where: torch.device) -> "Timing":
        """With the defaults of a device filled in."""
        batch, repeats = (32, 50) if where.type == "cuda" else (1, 5)
        return replace(self, batch=self.batch or batch, repeats=self.repeats or repeats)


def shape(name: str, timing: Timing) -> CoCaConfig:
    """The paper's shape of a model for the pictures of a timing; Tiny6 is 3/1/2, as the text has it."""
    return replace(paper_size(name), image_size=timing.pixels, text_tokens=timing.text_tokens)


def measure(shapes: Mapping[str, CoCaConfig], timing: Timing, seed: int = 0) -> Seconds:
    """Seconds of a forward with VQA's head, by model: one warm-up, then `timing.repeats` interleaved repetitions."""
    where = device()
    models = {name: _model(size).to(where) for name, size in shapes.items()}
    vocabulary = min(size.vocabulary for size in shapes.values())
    images, tokens = (part.to(where) for part in _inputs(timing, vocabulary, seed))
    order = np.random.default_rng(seed)
    seconds: Seconds = {name: [] for name in models}
    for repetition in progress(range(timing.repeats + 1), f"inference at {timing.pixels} px, repetitions"):
        for name in order.permutation(list(models)).tolist():
            took = _forward_seconds(models[name], images, tokens)
            if repetition:  # the first is the warm-up
                seconds[name].append(took)
    return seconds


def _model(size: CoCaConfig) -> TaskModel:
    return for_task(build(size, 0), size, 1, CLASSES, 0).eval().requires_grad_(False)


def _inputs(timing: Timing, vocabulary: int, seed: int) -> tuple[Tensor, Tensor]:
    """Random pictures and texts without padding: the longest text there is."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(timing.batch, 1, 3, timing.pixels, timing.pixels, generator=generator) * 2 - 1
    return images, torch.randint(3, vocabulary, (timing.batch, timing.text_tokens), generator=generator)


@torch.inference_mode()
def _forward_seconds(model: TaskModel, images: Tensor, tokens: Tensor) -> float:
    """Seconds of one forward, from an idle device to an idle device; a GPU computes in bfloat16."""
    cuda = images.is_cuda
    with torch.autocast(images.device.type, torch.bfloat16, enabled=cuda):
        _wait(cuda)
        start = perf_counter()
        logits(model, walk(model.coca, images, tokens))
        _wait(cuda)
        return perf_counter() - start


def _wait(cuda: bool) -> None:
    if cuda:
        torch.cuda.synchronize()


def speedups(seconds: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    """Large's seconds over each model's, repetition by repetition."""
    large = seconds["Large"]
    return {name: [a / b for a, b in zip(large, own, strict=True)] for name, own in seconds.items()}


def run(timing: Timing, runs: Path) -> dict[str, Any]:
    """Measure the three models, keep the seconds in `<runs>/speed.json` (whole or not at all) and return them.

    Raises ConfigError where the file cannot be written.
    """
    where, runs = device(), expand(runs)
    timing = timing.on(where)
    try:
        runs.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"runs must be a folder that can be written; {runs}: {error.strerror}") from None
    seconds = measure({name: shape(name, timing) for name in REPORTED}, timing)
    processor = torch.cuda.get_device_name() if where.type == "cuda" else f"CPU, {_threads(torch.get_num_threads())}"
    record = {"device": processor, "pixels": timing.pixels, "text_tokens": timing.text_tokens, "batch": timing.batch}
    record |= {"models": seconds}
    write_text(runs / "speed.json", json_text(record, indent=2) + "\n", durable=True)
    return record


def _threads(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"


def table(record: Mapping[str, Any]) -> str:
    """Median seconds an example and median speed-up, each with its quartiles, beside the paper's."""
    ratios, batch = speedups(record["models"]), record["batch"]
    lines = [f"{'':8}{'seconds an example':>28}{'speed-up over Large':>28}{'paper':>8}"]
    for name, seconds in record["models"].items():
        own = _spread([value / batch for value in seconds], "{:.4g}")
        lines.append(f"{name:8}{own:>28}{_spread(ratios[name], '{:.2f}'):>28}{REPORTED[name]:>7.1f}×")
    count = len(next(iter(record["models"].values())))
    setting = f"{record['device']}, {record['pixels']} px, {record['text_tokens']} tokens, batch {batch}"
    return "\n".join([*lines, f"{setting}: median (quartiles) of {count} interleaved repetitions"])


def _spread(values: Sequence[float], form: str) -> str:
    low, _, high = quantiles(values, n=4, method="inclusive") if len(values) > 1 else (values[0],) * 3
    middle, low, high = (form.format(value) for value in (median(values), low, high))
    return f"{middle} ({low} to {high})"
