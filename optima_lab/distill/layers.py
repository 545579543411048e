"""Which layer of the teacher a layer of the student is compared with, and the matrices that bridge their widths."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

import torch
from torch import nn


@dataclass(frozen=True)
class ModuleShape:
    """Layers and hidden size of one module of a model."""

    depth: int
    width: int


def matched_layer(student_layer: int, student_layers: int, teacher_layers: int) -> int:
    """Teacher layer ⌈g·i⌉ of student layer i, both from 1; g = teacher layers / student layers (Section 4.3)."""
    return ceil(teacher_layers * student_layer / student_layers)


class Projections(nn.Module):
    """The learnable W^i of Eq. 3: one (d_s, d_t) matrix for every student layer of every module, N(0, 1/d_s)."""

    def __init__(self, student: Mapping[str, ModuleShape], teacher: Mapping[str, ModuleShape], seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        for module, own in student.items():
            d_s, d_t = own.width, teacher[module].width
            draws = [torch.randn(d_s, d_t, generator=generator) * d_s**-0.5 for _ in range(own.depth)]
            setattr(self, module, nn.ParameterList(draws))
