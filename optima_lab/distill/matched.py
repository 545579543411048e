"""How far a student's layers are from the teacher's: mean squares over the positions that count.

PyTorch takes a dozen small steps a layer for that, and a dozen back; here they are one step for all layers, to the same
bit. `plain` takes PyTorch's, for debugging.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional as F


class Pair(NamedTuple):
    """What the student has, what the teacher has, and where that counts; a mask may be one for many values."""

    ours: Float[Tensor, "*shape"]
    theirs: Float[Tensor, "*shape"]
    real: Bool[Tensor, "*#shape"] | None = None


def mean_squares(pairs: Sequence[Pair], plain: bool = False) -> Float[Tensor, " pair"]:
    """Every pair's mean of (ours - theirs)² over its real positions, in fp32 at least; the gradient goes to `ours`.

    What stands elsewhere reaches neither value nor gradient, were it NaN. Raises ValueError where shapes differ.
    """
    for pair in pairs:
        require_same_shape(pair.ours, pair.theirs, "student and teacher")
    if plain:
        return torch.stack([_mean_square(*pair) for pair in pairs])
    ours, theirs, masks = zip(*pairs, strict=True)
    return _MeanSquares.apply(masks, *ours, *theirs)


def require_same_shape(ours: Tensor, theirs: Tensor, names: str) -> None:
    """Never broadcast: a wrong batch or grid would pass unseen."""
    if ours.shape != theirs.shape:
        raise ValueError(f"{names} must agree in shape, got {tuple(ours.shape)} and {tuple(theirs.shape)}")


def _mean_square(ours: Tensor, theirs: Tensor, real: Tensor | None) -> Tensor:
    ours, theirs = _wide(ours), _wide(theirs)
    if real is None:
        return F.mse_loss(ours, theirs.clone())  # which is kept for the way back; inference tensors may not be
    # zero before the difference: a gradient of 0 · NaN would be NaN
    apart = F.mse_loss(torch.where(real, ours, 0.0), torch.where(real, theirs, 0.0), reduction="sum")
    return apart / _count(ours, real)


class _MeanSquares(Function):
    """`_mean_square` of many pairs; all that the way back needs is the differences."""

    @staticmethod
    def forward(ctx: Any, masks: Sequence[Tensor | None], *both: Tensor) -> Tensor:
        aparts, errors, ctx.counts = [], [], []
        for ours, theirs, real in zip(both[: len(masks)], both[len(masks) :], masks, strict=True):
            apart = _wide(ours) - _wide(theirs)
            count = _count(apart, real)
            if real is not None:
                _clear(apart, real)
            aparts.append(apart)
            errors.append(apart.square().sum() / count)
            ctx.counts.append(count)
        ctx.save_for_backward(*aparts)
        return torch.stack(errors)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        slopes = []
        for apart, count, g in zip(ctx.saved_tensors, ctx.counts, gradient.unbind(), strict=True):
            known = isinstance(count, int)  # PyTorch multiplies in this order
            slopes.append((apart * (2.0 / count)).mul_(g) if known else apart * (2.0 * (g / count)))
        return None, *slopes, *[None] * len(slopes)


def _count(values: Tensor, real: Tensor | None) -> Tensor | int:
    """Over how many values a mean runs."""
    return values.numel() if real is None else real.sum() * (values.numel() // real.numel())


def _clear(values: Tensor, real: Tensor) -> None:
    """Zero what is not real, by its bits: a product would keep NaN, and `torch.where` is slow on a CPU."""
    bits = torch.int32 if values.itemsize == 4 else torch.int64
    values.view(bits).bitwise_and_(-real.to(bits))


def _wide(values: Tensor) -> Tensor:
    return values.float() if values.itemsize < 4 else values
