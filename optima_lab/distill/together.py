"""Several processes that train one population: `torchrun` starts them, each takes its part of every batch.

Gradients and losses are added up, so the result is that of one process with the whole batch. Without torchrun there is
one process and nothing here does anything.
"""

import atexit
import os
from collections.abc import Sequence
from datetime import timedelta
from typing import TypeVar

import torch
from torch import Tensor, distributed
from torch.optim import Optimizer

from optima_lab.distill.optimize import trained
from optima_lab.errors import ConfigError

PATIENCE = timedelta(days=7)  # the others wait while the first evaluates, or waits for another command's lock
T = TypeVar("T")


def count() -> int:
    """How many processes train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def number() -> int:
    """Which of them this is, from 0; the first one writes the records."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def join() -> None:
    """Join the processes that torchrun started (nccl on GPUs, else gloo), if it did; they part when they end."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or distributed.is_initialized():
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo", timeout=PATIENCE)
    atexit.register(distributed.destroy_process_group)


def parts(rows: int, accumulate: int) -> list[slice]:
    """The rows of a batch that this process computes, in `accumulate` pieces one after another.

    Raises ConfigError where there are fewer rows than pieces.
    """
    pieces = accumulate * count()
    if pieces > rows:
        raise ConfigError(f"batch_size must be at least accumulate × processes = {pieces}, got {rows}")
    edges = [rows * n // pieces for n in range(pieces + 1)]
    mine = range(number() * accumulate, (number() + 1) * accumulate)
    return [slice(edges[n], edges[n + 1]) for n in mine]


def add_up(tensors: Sequence[Tensor]) -> None:
    """Replace each tensor by its sum over the processes, in one exchange."""
    if count() == 1 or not tensors:
        return
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    distributed.all_reduce(flat)
    for tensor, piece in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
        tensor.copy_(piece.view_as(tensor))


def add_up_gradients(optimizer: Optimizer) -> None:
    """The same for the gradients that an optimizer is about to use; every process has those of the same parameters."""
    if count() > 1:
        add_up([p.grad for p in trained(optimizer) if p.grad is not None])


def first_says(value: T) -> T:
    """What the first process says, in all of them."""
    box = [value]
    if count() > 1:
        distributed.broadcast_object_list(box)
    return box[0]


def wait_for_all() -> None:
    """Return once every process is here."""
    if count() > 1:
        distributed.barrier()
