"""Token grids of unlike models: where teacher and student cut a picture differently, the teacher's is resampled.

Hidden states and attention are compared position by position; without `resample` unlike grids are refused.
"""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from optima_lab.coca.forward import CoCaFeatures
from optima_lab.coca.model import CoCaConfig, TaskModel, grid
from optima_lab.config import Config
from optima_lab.errors import ConfigError


def resampling(teacher_grid: int, student_grid: int) -> Float[Tensor, "student teacher"]:
    """The matrix that takes the teacher's picture tokens to the student's grid; each of its rows sums to one.

    The class token stays; patches are interpolated bilinearly, and averaged where the student's are larger.
    """
    patches = teacher_grid**2
    one_each = torch.eye(patches).view(patches, 1, teacher_grid, teacher_grid)
    smaller = student_grid < teacher_grid
    weights = F.interpolate(one_each, (student_grid, student_grid), mode="bilinear", antialias=smaller)
    matrix = torch.zeros(student_grid**2 + 1, patches + 1)
    matrix[0, 0] = 1.0
    matrix[1:, 1:] = weights.flatten(1).T
    return matrix


def grid_resampling(teacher: TaskModel, student: TaskModel) -> Float[Tensor, "student teacher"] | None:
    """The matrix from the teacher's grid to the student's, on the teacher's device; None where they are one."""
    grids = [grid(model.coca) for model in (teacher, student)]
    if grids[0] == grids[1]:
        return None
    return resampling(*grids).to(teacher.coca.logit_scale.device)


def resampled(trace: CoCaFeatures, matrix: Float[Tensor, "student teacher"] | None) -> CoCaFeatures:
    """A teacher's trace with its image module's hidden states R·H and attention scores R·A·Rᵀ on the student's grid."""
    if matrix is None or "image" not in trace.hidden:
        return trace
    hidden = [matrix @ h for h in trace.hidden["image"]]
    attention = [matrix @ a @ matrix.T for a in trace.attention["image"]]
    return replace(trace, hidden={**trace.hidden, "image": hidden}, attention={**trace.attention, "image": attention})


def require_same_tokens(student: CoCaConfig, teacher: CoCaConfig, config: Config) -> None:
    """Refuse models whose tokens cannot be compared position by position, saying what would make them comparable.

    Raises ConfigError.
    """
    grids = [s.image_size // s.patch_size for s in (student, teacher)]
    if grids[0] != grids[1] and not config.distillation.resample:
        raise ConfigError(
            f"student and teacher must have the same image tokens, got {grids[0]}² and {grids[1]}²; "
            "choose patch_size and image_size so that both grids agree, or resample the teacher's (resample=true)"
        )
    if grids[0] != grids[1] and config.distillation.attention == "weights":
        raise ConfigError("resampled attention weights would not sum to one; with resample attention must be 'scores'")
    if student.text_tokens != teacher.text_tokens:
        raise ConfigError(
            f"student and teacher must have the same text_tokens, got {student.text_tokens} and {teacher.text_tokens}"
        )
    counts = [s.image_queries or (s.image_size // s.patch_size) ** 2 for s in (student, teacher)]
    if config.distillation.decoder_attention == "cross" and counts[0] != counts[1]:
        raise ConfigError(
            "with decoder_attention='cross' the decoders of student and teacher must see the same number of picture "
            f"tokens, got {counts[0]} and {counts[1]}; choose image_queries={counts[1]} or decoder_attention='self'"
        )
