"""What the rooms with tensors test by: one thread, and shapes in signatures checked while their tests run."""

from collections.abc import Iterator
from typing import runtime_checkable

import pytest
from jaxtyping import install_import_hook

from optima_lab.data.tokenizers import Tokenizer

runtime_checkable(Tokenizer)
install_import_hook(
    ["optima_lab.distill", "optima_lab.coca", "optima_lab.tasks"], "beartype.beartype"
)  # before anything of the package is imported

import torch  # noqa: E402


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Same numbers whatever the machine; and these models are too small for more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)
