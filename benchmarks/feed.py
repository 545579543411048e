"""Are batches there when a step wants them? `python -m benchmarks.feed [--steps 12] [--batch 32]`

Pictures of three sizes, augmented as VQA's are, with 0 workers (batches are made when asked for), 1 and 2: pictures a
second of the loader alone, before a device makes floats of them; that as a share of what a step needs that takes as
long as two batches take without workers; how many such steps, computed elsewhere as on a GPU, waited for their batch
longer than a twentieth of themselves, and how long they waited.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from benchmarks._laptop import laptop
from optima_lab.config.parameters import override
from optima_lab.data.datasets import TaskData
from optima_lab.tasks.feeding import TrainingBatches

SIDES, WORKERS, WANTED = (36, 224, 576), (0, 1, 2), 2.0
PICTURES = 64  # of each size; every batch draws from them


def resized(data: TaskData, side: int) -> TaskData:
    """The same texts with few pictures of another size: noise, as fast to copy and to augment as any."""
    images = np.random.default_rng(0).integers(0, 256, (PICTURES, side, side, 3), np.uint8)
    return replace(data, train=replace(data.train, images=images, views=data.train.views % PICTURES))


def waits(batch: Callable[[int], object], steps: int, pause: float) -> list[float]:
    """Seconds that each step waited for its `batch`, `pause` seconds of computing elsewhere between them."""
    waited = []
    for step in range(1, steps + 1):
        start = time.perf_counter()
        batch(step)
        waited.append(time.perf_counter() - start)
        time.sleep(pause)
    return waited


def main() -> None:
    """Print a table, and whether two workers deliver twice as much at 576 px."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=12, help="batches a measurement (12)")
    parser.add_argument("--batch", type=int, default=32, help="pictures a batch (32)")
    asked = parser.parse_args()
    torch.set_num_threads(1)  # as the workers have
    known = laptop("vqa", rand_augment=True)
    print(
        f"{'px':>4}{'workers':>9}{'pictures/s':>12}{'of need':>9}{'of 0 workers':>14}{'waited':>9}{'by':>9}", flush=True
    )
    gain = 0.0
    for side in SIDES:
        data, alone = resized(known.data, side), 0.0
        for workers in WORKERS:
            config = override(known.config, {"workers": workers})
            # the first batch starts the workers
            seconds = float(
                np.mean(waits(TrainingBatches(config, data, asked.batch, 0).host, asked.steps + 1, 0.0)[1:])
            )
            alone = alone or seconds
            late = waits(TrainingBatches(config, data, asked.batch, 0).host, asked.steps + 1, 2 * alone)[1:]
            share, gain = float(np.mean([wait > 0.1 * alone for wait in late])), alone / seconds
            rates = f"{asked.batch / seconds:12.0f}{2 * alone / seconds:9.2f}{gain:14.2f}"
            print(f"{side:4d}{workers:9d}{rates}{share:9.0%}{1000 * np.mean(late):9.1f} ms", flush=True)
    goal = "yes" if gain >= WANTED else "NO"
    print(f"two workers at {SIDES[-1]} px, of none: {gain:.2f}  wanted >= {WANTED:.2f}: {goal}")


if __name__ == "__main__":
    main()
