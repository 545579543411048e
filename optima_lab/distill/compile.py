"""Walks compiled by PyTorch: seconds for every arm once, faster steps then; `benchmarks.attempts` tells what pays."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch
from torch.compiler import config

P = ParamSpec("P")
R = TypeVar("R")
GRAPHS = 64  # of one function: seven arms, of teacher and student, in training and on the probe batch


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """`function` as one graph for each way in which it is called; models of one shape share them.

    Raises PyTorch's own errors where it cannot make one.
    """
    config.recompile_limit = GRAPHS
    return torch.compile(function, dynamic=False, fullgraph=True)
