"""What was tried and by how much it pays: `python -m benchmarks.attempts`, at laptop size (VQA), on the CPU.

- `compiled=true`: seconds that `torch.compile` takes, what a step then saves, and after how many steps that is paid
  back; a laptop's population takes 400 steps of 11 students;
- the students of a population batched by `vmap` instead of one after another;
- two processes with a thread each against one process with two threads: what `make figures` does with its tasks.
"""

import copy
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from itertools import chain
from multiprocessing import get_context
from statistics import median

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from benchmarks._laptop import LWD, Setting, in_turns, laptop, line, options, ratios, waited
from benchmarks.steps import STEPS, ours
from optima_lab.coca.forward import every_layer, walk
from optima_lab.config.parameters import override
from optima_lab.tasks.objectives import training_batch

STUDENTS = 8
Inputs = tuple[Tensor, Tensor]


class Walk(nn.Module):
    """All that losses look at, squared and summed: a forward whose backward reaches every layer."""

    def __init__(self, coca: nn.Module) -> None:
        super().__init__()
        self.coca = coca

    def forward(self, pictures: Tensor, tokens: Tensor) -> Tensor:
        """A scalar."""
        trace = walk(self.coca, pictures, tokens, collect=every_layer(self.coca))  # type: ignore[arg-type]
        seen = [trace.decoded, *chain(*trace.hidden.values()), *chain(*trace.attention.values())]
        return torch.stack([part.square().mean() for part in seen if part is not None]).sum()


def forward_backward(model: Callable[..., Tensor], inputs: Inputs) -> Callable[[], None]:
    """One of them, gradients left where they fall."""
    return lambda: model(*inputs).backward()


def walks(setting: Setting, count: int) -> tuple[list[Walk], Inputs]:
    """Students' walks and one batch for all."""
    models = [setting.students("none", seed)[0].model for seed in range(count)]
    batch = training_batch(setting.config, setting.data, setting.config.training.batch_size, 0, 1)
    return [Walk(model.coca) for model in models], (batch.patches(models[0].patch_size), batch.tokens)


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


def batched(setting: Setting, repeats: int) -> None:
    """The same gradients by `vmap` over stacked parameters."""
    models, inputs = walks(setting, STUDENTS)
    parameters, buffers = stack_module_state(models)  # type: ignore[arg-type]
    shell = copy.deepcopy(models[0]).to("meta")

    def one(own: dict[str, Tensor], held: dict[str, Tensor]) -> Tensor:
        return functional_call(shell, (own, held), inputs)

    def together() -> None:
        vmap(one)(parameters, buffers).sum().backward()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # functorch says that attention has no batching rule: that is the finding
        took = in_turns({"loop": lambda: [model(*inputs).backward() for model in models], "vmap": together}, repeats)
    line(f"{STUDENTS} students by vmap / one after another", ratios(took["vmap"], took["loop"]))


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
    batched(setting, chosen.repeats)
    compiled(setting, 4 * chosen.repeats)


if __name__ == "__main__":
    main()
