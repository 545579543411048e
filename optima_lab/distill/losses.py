"""The losses of arXiv 2310.04550: Eq. 1 (prediction), Eq. 3 (hidden states), Eq. 4 (attention), Eq. 5 (their sum).

Every mean is over positions that both models really have: padding and forbidden attention say nothing.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from optima_lab.bandits.arms import Arm
from optima_lab.distill.layers import Projections
from optima_lab.distill.trace import Features
from optima_lab.errors import ConfigError
from optima_lab.source import function_name


@dataclass(frozen=True)
class Losses:
    """The losses of one forward, as scalars on the device; None where one was not computed; `own`: the user's."""

    train: Tensor
    kl: Tensor | None = None
    hidden: Tensor | None = None
    attention: Tensor | None = None
    own: tuple[Tensor, ...] = ()


def kl_divergence(
    student_logits: Float[Tensor, "*batch classes"],
    teacher_logits: Float[Tensor, "*batch classes"],
    mask: Bool[Tensor, "*batch"] | None = None,
    temperature: float = 1.0,
) -> Float[Tensor, ""]:
    """KL(f_s ‖ f_t) of Eq. 1: the sum over classes, the mean over examples (captions: over real tokens).

    The paper writes the student first; many distillation libraries put the teacher first. A temperature T divides both
    logits and multiplies the KL by T², so that its gradient stays as large (Section 2.1 of arXiv 1503.02531).
    """
    require_same_shape(student_logits, teacher_logits, "student and teacher")
    if temperature != 1.0:
        student_logits, teacher_logits = student_logits / temperature, teacher_logits / temperature
    student, teacher = student_logits.log_softmax(-1), teacher_logits.log_softmax(-1)
    kl = mean((student.exp() * (student - teacher)).sum(-1), mask)
    return kl if temperature == 1.0 else kl * temperature**2


def cross_entropy(logits: Float[Tensor, "batch classes"], targets: Float[Tensor, "batch classes"]) -> Float[Tensor, ""]:
    """Cross-entropy against soft targets, each row scaled to sum to one; a row of zeros adds nothing."""
    require_same_shape(logits, targets, "logits and targets")
    share = targets / targets.sum(-1, keepdim=True).clamp_min(1e-12)
    return -(share * logits.log_softmax(-1)).sum(-1).mean()


def caption_loss(
    logits: Float[Tensor, "batch token vocabulary"],
    next_tokens: Tensor,
    real: Bool[Tensor, "batch token"],
) -> Float[Tensor, ""]:
    """Captioning loss of CoCa: -log P(y_l | y_<l, x), the mean over real tokens."""
    return mean(F.cross_entropy(logits.transpose(1, 2), next_tokens, reduction="none"), real)


def contrastive_loss(
    image: Float[Tensor, "batch width"], text: Float[Tensor, "batch width"], log_scale: Float[Tensor, ""]
) -> Float[Tensor, ""]:
    """CLIP's symmetric contrastive loss between normalised features, the mean of both directions."""
    logits = log_scale.exp() * F.normalize(image, dim=-1) @ F.normalize(text, dim=-1).T
    pairs = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, pairs) + F.cross_entropy(logits.T, pairs)) / 2


def mean(values: Float[Tensor, "*batch"], mask: Bool[Tensor, "*#batch"] | None) -> Float[Tensor, ""]:
    """The mean over the positions where `mask` is True."""
    if mask is None:
        return values.mean()
    weights = mask.expand_as(values)
    return values.masked_fill(~weights, 0.0).sum() / weights.sum()


def mean_square(
    ours: Float[Tensor, "*shape"], theirs: Float[Tensor, "..."], real: Bool[Tensor, "*#shape"] | None = None
) -> Float[Tensor, ""]:
    """The mean of (ours - theirs)² over real positions, in fp32 at least; `real` may be one for many values.

    What stands elsewhere reaches neither value nor gradient, were it NaN. Raises ValueError where shapes differ.
    """
    require_same_shape(ours, theirs, "student and teacher")
    ours, theirs = at_least_fp32(ours), at_least_fp32(theirs)
    if real is None:
        return F.mse_loss(ours, theirs.clone())  # kept for the way back, which inference tensors may not be
    # zero before the difference: a gradient of 0 · NaN would be NaN
    apart = F.mse_loss(torch.where(real, ours, 0.0), torch.where(real, theirs, 0.0), reduction="sum")
    return apart / (real.sum() * (ours.numel() // real.numel()))


def require_same_shape(ours: Tensor, theirs: Tensor, names: str) -> None:
    """Never broadcast: a wrong batch or grid would pass unseen. Raises ValueError."""
    if ours.shape != theirs.shape:
        raise ValueError(f"{names} must agree in shape, got {tuple(ours.shape)} and {tuple(theirs.shape)}")


def at_least_fp32(values: Tensor) -> Tensor:
    """fp16 and bf16 widened; fp64 stays."""
    return values.float() if values.itemsize < 4 else values


@dataclass(frozen=True)
class MicrobatchWeights:
    """How much of a batch's mean belongs to one part of it: by examples (captions: by real tokens), and for each module
    by tokens and by pairs of them. The parts' losses then add up to the whole batch's, however long their texts are."""

    train: Tensor | float = 1.0
    tokens: Mapping[str, Tensor | float] = field(default_factory=dict)
    pairs: Mapping[str, Tensor | float] = field(default_factory=dict)


WHOLE = MicrobatchWeights()


def scaled(loss: Tensor, share: Tensor | float) -> Tensor:
    """A part's share of a loss; a whole batch's loss as it is."""
    return loss if _is_whole(share) else loss * share


def _is_whole(share: Tensor | float) -> bool:
    return isinstance(share, float) and share == 1.0  # a tensor is not asked for its value: a wait


def emphasized(weights: MicrobatchWeights, features: Features, arm: Arm, unchosen: float) -> MicrobatchWeights:
    """`weights` for means over all of a student's layers in which those outside `arm` count `unchosen`, those inside 1.

    Not the paper's: it lies between an arm alone (0) and all modules alike (1).
    """
    share = emphasis({module: len(layers) for module, layers in features.hidden.items()}, arm, unchosen)
    tokens, pairs = ({m: of.get(m, 1.0) * share[m] for m in share} for of in (weights.tokens, weights.pairs))
    return replace(weights, tokens=tokens, pairs=pairs)


def emphasis(layers: Mapping[str, int], arm: Arm, unchosen: float) -> dict[str, float]:
    """What each of these modules weighs where those in `arm` count 1 and the others `unchosen`: 1 on average over
    `layers`, the layers of each; 0 for all where none counts."""
    share = {module: 1.0 if module in arm else unchosen for module in layers}
    average = sum(share[m] * layers[m] for m in share) / max(1, sum(layers.values()))
    return {m: share[m] / average if average else 0.0 for m in share}


def hidden_loss(
    student: Features,
    teacher: Features,
    projections: Projections,
    arm: Arm,
    weights: MicrobatchWeights = WHOLE,
) -> Float[Tensor, ""]:
    """L_hidn of Eq. 3: mean over the arm's student layers i of MSE(H_t^⌈g·i⌉, H_s^i W^i).

    Features list the student's layers and the teacher's layers matched to them, in the same order.
    """
    errors = []
    for module in sorted(arm):
        mask, matrices = student.token_mask[module], getattr(projections, module)
        real, weight = None if mask is None else mask[..., None], weights.tokens.get(module, 1.0)
        for h_s, h_t, w in zip(student.hidden[module], teacher.hidden[module], matrices, strict=True):
            errors.append(scaled(mean_square(h_s @ w, h_t, real), weight))
    return torch.stack(errors).mean()


def attention_loss(
    student: Features, teacher: Features, arm: Arm, weights: MicrobatchWeights = WHOLE
) -> Float[Tensor, ""]:
    """L_attn of Eq. 4: the same mean of MSE(A_t^⌈g·i⌉, A_s^i) over head-averaged attention, no projection."""
    errors = []
    for module in sorted(arm):
        real, weight = student.pair_mask[module], weights.pairs.get(module, 1.0)
        for a_s, a_t in zip(student.attention[module], teacher.attention[module], strict=True):
            errors.append(scaled(mean_square(a_s, a_t, real), weight))
    return torch.stack(errors).mean()


def total_loss(losses: Losses, alpha: tuple[float, float, float], task_weight: float = 1.0) -> Float[Tensor, ""]:
    """L_total of Eq. 5: L_train + α1 D_KL + α2 L_hidn + α3 L_attn, leaving out what was not computed.

    `task_weight` weighs L_train, which the paper does not (1). Losses of the user's own are added as they are.
    """
    terms = zip(alpha, (losses.kl, losses.hidden, losses.attention), strict=True)
    train = losses.train if task_weight == 1.0 else task_weight * losses.train
    total = train + sum(a * term for a, term in terms if term is not None and a != 0.0)
    return total + sum(losses.own) if losses.own else total


@dataclass(frozen=True)
class Matched:
    """What a loss of one's own is given: a batch as student and teacher see it, and the round's arm.

    `student.hidden[module]` lists (batch, token, width) of every student layer, `teacher.hidden[module]` the same of
    the teacher layers matched to them; likewise `attention` (batch, token, token), before the softmax or after it.
    Logits are (batch, classes), for captions (batch, token, vocabulary).
    """

    arm: Arm
    student: Features
    teacher: Features
    projections: Projections
    student_logits: Tensor
    teacher_logits: Tensor | None

    def layers(self) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
        """For each layer of the arm's modules H_s^i W^i, H_t^⌈g·i⌉ (batch, token, width), and a mask (batch, token)
        that is True at real tokens (None: all are)."""
        for module in sorted(self.arm):
            matrices, mask = getattr(self.projections, module), self.student.token_mask[module]
            for h_s, h_t, w in zip(self.student.hidden[module], self.teacher.hidden[module], matrices, strict=True):
                yield h_s @ w, h_t, mask


def own_losses(functions: Sequence[Callable[[Matched], Any]], matched: Matched) -> tuple[Tensor, ...]:
    """The losses of the user's own. Raises ConfigError where one is no scalar."""
    losses = []
    for function in functions:
        value = torch.as_tensor(function(matched), device=matched.student_logits.device)
        if value.ndim:
            raise ConfigError(f"a loss must be a scalar, {function_name(function)} returned {tuple(value.shape)}")
        losses.append(value.float())
    return tuple(losses)


def differentiable(features: Features, arm: Arm) -> Features:
    """The teacher's features of an arm as tensors that may be kept for the way back, which inference's may not be."""
    hidden, attention = (
        {module: [each.clone() for each in layers[module]] for module in arm}
        for layers in (features.hidden, features.attention)
    )
    return Features(hidden, attention, features.token_mask, features.pair_mask)
