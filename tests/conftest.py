"""What a test needs that this machine may lack: marks that skip, and say why."""

import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest_plugins = ["recorded_runs"]

REALDATA = Path(__file__).parents[2] / "shared" / "realdata"


def _no_gpu() -> str:
    import torch

    return "" if torch.cuda.is_available() else "needs CUDA"


def _no_browser() -> str:
    if importlib.util.find_spec("playwright") is None:
        return "needs playwright"
    return "" if shutil.which("chromium") else "needs Debian's chromium (apt-get install chromium)"


def _no_realdata() -> str:
    return "" if REALDATA.is_dir() else "needs ../shared/realdata"


LACKS = {"gpu": _no_gpu, "browser": _no_browser, "realdata": _no_realdata}


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a marked test where what its mark needs is not there."""
    for mark, lacks in LACKS.items():
        if item.get_closest_marker(mark) and (reason := lacks()):
            pytest.skip(reason)


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Same numbers whatever the machine; and these models are too small for more."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
