"""Several processes that train one population: `torchrun` starts them, each takes its part of every batch.

Gradients and losses are added up, so the result is that of one process with the whole batch. Without torchrun there is
one process and nothing here does anything.
"""

import atexit
import sys
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.distributed.distributed_c10d import Store
from torch.distributed.rendezvous import rendezvous
from torch.optim import Optimizer

from optima_lab.distill.optim import trained
from optima_lab.distill.torchrun import Launch, launch
from optima_lab.errors import ConfigError, OptimaError, one_line

RENDEZVOUS = timedelta(minutes=5)  # the others start at the same time, or never
PATIENCE = timedelta(days=7)  # the others wait while the first evaluates, or waits for another command's lock
T = TypeVar("T")


def device(name: str = "auto") -> torch.device:
    """'cpu', 'cuda' or 'mps' (Apple's GPU) where this machine has it; 'auto' is cuda where it has one, else the CPU.

    Raises ConfigError for what it has not, and for anything but 'auto' where several processes train together.
    """
    cuda = torch.cuda.is_available()
    here = ["auto", "cpu", *(["cuda"] if cuda else []), *(["mps"] if torch.backends.mps.is_available() else [])]
    if name not in here:
        raise ConfigError(f"device must be one that this machine has: {', '.join(here)}; got {name!r}")
    if name != "auto" and world_size() > 1:
        raise ConfigError(f"device must be auto where torchrun starts {world_size()} processes; got {name!r}")
    return torch.device(("cuda" if cuda else "cpu") if name == "auto" else name)


def world_size() -> int:
    """How many processes train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rank() -> int:
    """Which of them this is, from 0; the first one writes the records."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def init_process_group() -> None:
    """Join the processes that torchrun started (nccl on GPUs, else gloo), if it did; they part when they end.

    Raises ConfigError for variables that are not torchrun's whole set, OptimaError where the others do not come.
    """
    if distributed.is_initialized():
        return
    mine = launch()
    if mine.world_size == 1:
        return
    gpus = torch.cuda.device_count()
    if gpus and mine.local_rank >= gpus:
        raise ConfigError(
            f"torchrun must start at most one process a GPU, of which there are {gpus}; got {mine.local_rank + 1}"
        )
    store = _meet(mine)
    if gpus:
        torch.cuda.set_device(mine.local_rank)
    group = {"store": store, "rank": mine.rank, "world_size": mine.world_size}
    distributed.init_process_group("nccl" if gpus else "gloo", timeout=PATIENCE, **group)
    atexit.register(distributed.destroy_process_group)


def _meet(mine: Launch) -> Store:
    """The store that all of torchrun's processes share, once every one of them has come to it."""
    try:
        store, *_ = next(rendezvous("env://", mine.rank, mine.world_size, timeout=RENDEZVOUS))
        store.set(f"here/{mine.rank}", "")
        store.wait([f"here/{rank}" for rank in range(mine.world_size)], RENDEZVOUS)
    except (RuntimeError, ValueError, OSError) as error:
        why = one_line(str(error).partition("\n")[0], 200)
        raise OptimaError(
            f"the {mine.world_size} processes that RANK, WORLD_SIZE and MASTER_ADDR tell of must meet within "
            f"{RENDEZVOUS.total_seconds():.0f} s; got {why!r}: start with torchrun, or unset these variables"
        ) from None
    return store


def parts(rows: int, accumulate: int) -> list[slice]:
    """The rows of a batch that this process computes, in `accumulate` pieces one after another.

    Raises ConfigError where there are fewer rows than pieces.
    """
    pieces = accumulate * world_size()
    if pieces > rows:
        raise ConfigError(f"batch_size must be at least accumulate × processes = {pieces}, got {rows}")
    edges = [rows * n // pieces for n in range(pieces + 1)]
    mine = range(rank() * accumulate, (rank() + 1) * accumulate)
    return [slice(edges[n], edges[n + 1]) for n in mine]


def all_reduce_sum(tensors: Sequence[Tensor]) -> None:
    """Replace each tensor by its sum over the processes, in one exchange."""
    if world_size() == 1 or not tensors:
        return
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    distributed.all_reduce(flat)
    for tensor, piece in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
        tensor.copy_(piece.view_as(tensor))


def all_reduce_gradients(optimizer: Optimizer) -> None:
    """The same for the gradients that an optimizer is about to use; every process has those of the same parameters."""
    if world_size() > 1:
        all_reduce_sum([p.grad for p in trained(optimizer) if p.grad is not None])


def broadcast(value: T) -> T:
    """What the first process says, in all of them."""
    box = [value]
    if world_size() > 1:
        distributed.broadcast_object_list(box)
    return box[0]


def reshard(model: nn.Module) -> None:
    """Give every process its share of the parameters again, where FSDP2 has cut them.

    It leaves the outermost ones whole after a forward, for the backward to come; without one, an optimizer made next
    would be given tensors that are trained no more.
    """
    fsdp: Any = sys.modules.get("torch.distributed.fsdp")  # not imported for it: that takes seconds
    parts: list[Any] = [part for part in model.modules() if isinstance(part, fsdp.FSDPModule)] if fsdp else []
    for part in parts:
        part.reshard()


def barrier() -> None:
    """Return once every process is here."""
    if world_size() > 1:
        distributed.barrier()
