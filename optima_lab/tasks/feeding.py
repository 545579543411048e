"""Batches prepared ahead by worker processes: rows, pictures and augmentation, while the steps before are computed."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from optima_lab.config import FinetuningStage
from optima_lab.data.batches import Batch, Split, order
from optima_lab.data.datasets import TaskData
from optima_lab.distill.parallel import device
from optima_lab.tasks.objectives import DeviceBatch, rand_augment, shown, to_device, training_batch


@dataclass(frozen=True)
class _Steps(Dataset[tuple[Tensor, ...]]):
    """The batch of every step (from 1) on the host: images uint8, tokens, targets as in `data.batches.Batch`."""

    split: Split
    size: int
    seed: int
    rows: int
    augmented: bool

    def __getitem__(self, step: int) -> tuple[Tensor, ...]:
        batch = self.split.take(order(self.seed, step - 1, self.size, self.rows))
        images = torch.from_numpy(np.ascontiguousarray(batch.images))
        images = rand_augment(images, (self.seed, step)) if self.augmented else images
        return images, torch.from_numpy(batch.tokens), torch.from_numpy(batch.targets)


class TrainingBatches:
    """`objectives.training_batch` of a step, prepared ahead where the configuration has `workers`.

    A batch depends on the seed and its step alone: the same comes whoever prepares it, and any step may be the first.
    Steps are best asked for in order; another one begins anew there.
    """

    def __init__(self, stage: FinetuningStage, data: TaskData, size: int, seed: int, texts: int = 0) -> None:
        self._asked = (stage, data, size, seed)
        self._texts, self._next = texts, 0
        self._ahead: Iterator[tuple[Tensor, ...]] = iter(())

    def __call__(self, step: int) -> DeviceBatch:
        """The batch of a step (from 1) on the device."""
        stage, data, size, seed = self._asked
        if not stage.data.workers:
            return training_batch(stage, data, size, seed, step, self._texts)
        return to_device(Batch(*(tensor.numpy() for tensor in self.host(step))), device(stage.model.device))

    def host(self, step: int) -> tuple[Tensor, ...]:
        """The batch of a step (from 1) before it goes to the device: images uint8, tokens, targets."""
        stage, data, size, seed = self._asked
        steps = _Steps(data.train, size, seed, shown(data.train, self._texts), stage.finetuning.rand_augment)
        if not stage.data.workers:
            return steps[step]
        if step != self._next:
            self._ahead = iter(
                DataLoader(
                    steps,
                    batch_size=None,
                    sampler=count(step),
                    num_workers=stage.data.workers,
                    pin_memory=device(stage.model.device).type == "cuda",
                    generator=torch.Generator(),  # its own: the loader draws a seed nobody needs
                )
            )
        self._next = step + 1
        return tuple(next(self._ahead))  # a loader makes lists
