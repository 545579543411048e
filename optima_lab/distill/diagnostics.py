"""Numbers gone wrong: when a student's losses are no longer finite, and where that began."""

from collections.abc import Sequence
from math import isfinite
from typing import Any

import torch
from torch import Tensor

from optima_lab.bandits.arms import label
from optima_lab.distill import parallel
from optima_lab.distill.losses import Losses, total_loss
from optima_lab.distill.optim import apply, schedule
from optima_lab.distill.population import B, Batch, Population
from optima_lab.distill.student import Student


def all_finite(rows: Sequence[Sequence[float]]) -> bool:
    """Whether a round's losses are finite, rows as `Student.learn` takes them; what was not computed is no fault."""
    *steps, probe = rows
    return all(isfinite(row[0]) and isfinite(row[4]) for row in steps) and all(map(isfinite, probe[:4]))


def locate_nonfinite(population: Population[B], student: Student, end: int) -> dict[str, Any]:
    """Why a student stops after the round that ended with step `end`; leaves it with its last good state.

    The round is gone through again from there: steps depend on their numbers alone, so the same thing happens.
    """
    student.go_back()
    arm, first = label(student.arm) or None, end - student.config.distillation.round_steps + 1
    where, step = "the losses on the probe", end
    # Each of several processes sees a part alone: they could not agree on where to stop.
    for again in range(first, end + 1) if parallel.world_size() == 1 else ():
        place = _step(population, student, again)
        if place:
            where, step = place, again
            break
    student.go_back()
    return {
        "round": end // student.config.distillation.round_steps,
        "step": step,
        "arm": arm,
        "where": where,
        "good": first - 1,
    }


def _step(population: Population[B], student: Student, step: int) -> str:
    """One step done again; where in it the first number went wrong, or ''."""
    config = population.config
    student.optimizer.zero_grad(set_to_none=True)
    for piece in population.pieces(step, [student]):
        with population.precision():
            losses = population.compare(student, student.arm, piece)
        total = total_loss(losses, student.alpha, student.config.distillation.task_weight)
        place = _in_layers(population, student, piece.batch) or _in_losses(losses) or _in_gradients(student, total)
        if place:
            return place
        total.backward()
    apply(student.optimizer, schedule(step, config.training.steps, config.training.warmup_steps), config.optim.clip)
    return ""


@torch.no_grad()
def _in_layers(population: Population[Any], student: Student, batch: Batch) -> str:
    task = population.task
    features, _ = task.student_forward(student.model, batch, population.everything, student.spec)
    for module in task.modules:
        for layer, hidden in enumerate(features.hidden[module], 1):
            if not hidden.isfinite().all():
                return f"{module} layer {layer}, hidden states: {_kind(hidden)}"
    return ""


def _in_losses(losses: Losses) -> str:
    for name in ("train", "kl", "hidden", "attention"):
        value = getattr(losses, name)
        if value is not None and not value.isfinite():
            return f"{name} loss: {_kind(value)}"
    for value in losses.own:
        if not value.isfinite():
            return f"a loss of the user's: {_kind(value)}"
    return ""


def _in_gradients(student: Student, total: Tensor) -> str:
    """Looked for before clipping, which spreads one bad number over all."""
    named = dict([*student.model.named_parameters(), *student.projections.named_parameters()])
    gradients = torch.autograd.grad(total, list(named.values()), retain_graph=True, allow_unused=True)
    for name, gradient in zip(named, gradients, strict=True):
        if gradient is not None and not gradient.isfinite().all():
            return f"gradient of {name}: {_kind(gradient)}"
    return ""


def _kind(values: Tensor) -> str:
    """What is wrong, and in which format: infinities in half precision are its overflow."""
    precision = str(values.dtype).removeprefix("torch.")
    return f"overflow of {precision}" if values.isinf().any() else f"not a number ({precision})"
