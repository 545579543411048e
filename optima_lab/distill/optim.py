"""One optimizer update: schedule, clipping, and the two optimizers with decoupled weight decay."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from optima_lab.config import Optim


def schedule(step: int, steps: int, warmup_steps: int) -> float:
    """Share of the peak learning rate at step 1 … steps: linear warm-up, then linear decay to zero (Tables 2 and 3)."""
    if step <= warmup_steps:
        return step / warmup_steps
    return max(0.0, (steps - step + 1) / max(1, steps - warmup_steps + 1))


def build_optimizer(optim: Optim, modules: Sequence[tuple[nn.Module, float]]) -> Optimizer:
    """'adafactor' (the paper's, decoupled weight decay) or 'adamw' over (module, peak learning rate) pairs.

    Matrices decay, vectors and scalars do not. `peak_lr` in each group is what the schedule scales.
    """
    groups = []
    for module, lr in modules:
        trained = [p for p in module.parameters() if p.requires_grad]
        for decay, keep in ((optim.weight_decay, lambda p: p.ndim >= 2), (0.0, lambda p: p.ndim < 2)):
            chosen = [p for p in trained if keep(p)]
            if chosen:
                groups.append({"params": chosen, "lr": lr, "peak_lr": lr, "weight_decay": decay})
    if optim.optimizer == "adafactor":
        from timm.optim.adafactor_bv import AdafactorBigVision  # here: nothing else of this room needs timm

        # β1 = 0.9 is the momentum, β2 = 0.999 the cap of the second moment's decay. The weight decay is scaled by
        # the learning rate, as everywhere else in this file.
        return AdafactorBigVision(groups, momentum=0.9, beta2_cap=0.999, momentum_dtype=torch.float32)
    return AdamW(groups, betas=(0.9, 0.999), fused=True)


def update(optimizer: Optimizer, loss: Tensor, share: float, clip: float) -> None:
    """Backward, then `apply`."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    apply(optimizer, share, clip)


def apply(optimizer: Optimizer, share: float, clip: float) -> None:
    """Clip the gradient's norm, step at `share` of the peak learning rate.

    Parameters without a gradient in this step keep their value and their moments.
    """
    if clip > 0.0:
        nn.utils.clip_grad_norm_(trained(optimizer), clip)
    for group in optimizer.param_groups:
        group["lr"] = group["peak_lr"] * share
    optimizer.step()


def trained(optimizer: Optimizer) -> list[Tensor]:
    """The parameters that have a gradient now."""
    return [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
