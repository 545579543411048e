"""Small models and hand-made batches for the distillation rooms; shapes in signatures are checked while these run."""

from collections.abc import Iterator
from typing import runtime_checkable

import pytest
from jaxtyping import install_import_hook

from optima_lab.data.tokens import Tokenizer

runtime_checkable(Tokenizer)
install_import_hook(["optima_lab.distill"], "beartype.beartype")  # before anything of the package is imported

import torch  # noqa: E402


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Same numbers whatever the machine; and these models are too small for more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)
