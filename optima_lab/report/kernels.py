"""Kernels for notebooks: this very interpreter, whatever others are installed, without the user's start-up files.

One kernel serves all the notebooks that a process executes: it starts and imports once, and each one finds it empty.
"""

import atexit
import os
import shutil
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any

from optima_lab.distill.torchrun import without_launch
from optima_lab.errors import NotebookError

if TYPE_CHECKING:
    from jupyter_client.manager import AsyncKernelManager

NAME = "python3"  # what our notebooks ask for
SECONDS = 60.0
ARGUMENTS = ["--log-level=50", "--HistoryManager.hist_file=:memory:"]
_THEIRS = ("PYTHONSTARTUP", "MPLBACKEND")  # the user's, for work by hand
# A notebook begins in our folder, with no names, no widgets and cell 1, as in a kernel of its own; modules stay loaded.
_EMPTY = """
import os, sys
os.chdir({folder!r})
if "ipywidgets" in sys.modules:
    sys.modules["ipywidgets"].Widget.close_all()
get_ipython().reset()
__import__("gc").collect()
"""


def empty_kernel() -> "AsyncKernelManager":
    """This process's kernel, empty; a new one where it has died. It ends with the process.

    Raises NotebookError where it does not answer.
    """
    from jupyter_core.utils import run_sync

    running = _started.cache_info().currsize
    manager = _started()
    if running and not run_sync(manager.is_alive)():
        _started.cache_clear()
        return _started()
    if running:
        _clear(manager)
    return manager


def environment(variables: Mapping[str, str], home: Path) -> dict[str, str]:
    """What a kernel is told: `variables` without torchrun's variables, Jupyter and IPython at home in `home`."""
    inherited = {name: value for name, value in without_launch(variables).items() if name not in _THEIRS}
    places = {"IPYTHONDIR": "ipython", "JUPYTER_CONFIG_DIR": "config", "JUPYTER_RUNTIME_DIR": "runtime"}
    return inherited | {name: str(home / place) for name, place in places.items()}


@cache
def own_kernel() -> "type[AsyncKernelManager]":
    """The kind of kernel that our notebooks run in: this interpreter, by a specification that is ours and no file's."""
    from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager

    class ThisInterpreter(KernelSpecManager):
        """Knows one kernel, whatever lies on JUPYTER_PATH."""

        def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
            """The same under every name."""
            return KernelSpec(
                argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
                display_name="Python 3",
                language="python",
                metadata={"kernel_provisioner": {"provisioner_name": "local-provisioner"}},
            )

    class OwnKernel(AsyncKernelManager):
        """Keeps its files in a folder of ours, and tells the kernel so."""

        def __init__(self, **options: Any) -> None:
            connection = Path(mkdtemp(dir=_home())) / "kernel.json"
            usual = {"kernel_spec_manager": ThisInterpreter(), "connection_file": str(connection)}
            super().__init__(**{**usual, **options})

        async def start_kernel(self, **options: Any) -> None:
            """As any kernel is started, but for its environment."""
            ours = {"env": environment(os.environ, _home()), "extra_arguments": [*ARGUMENTS]}
            await super().start_kernel(**{**options, **ours})

    return OwnKernel


@cache
def _started() -> "AsyncKernelManager":
    from jupyter_core.utils import run_sync

    manager = own_kernel()(kernel_name=NAME)
    run_sync(manager.start_kernel)()
    return manager


@cache
def _home() -> Path:
    """A folder for what kernels of this process keep while they run; it goes with the process."""
    folder = Path(mkdtemp(prefix="optima-lab-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _clear(manager: "AsyncKernelManager") -> None:
    from jupyter_client.blocking.client import BlockingKernelClient

    client = BlockingKernelClient()
    client.load_connection_info(manager.get_connection_info())
    client.start_channels()
    try:
        code = _EMPTY.format(folder=os.getcwd())
        reply = client.execute_interactive(code, silent=True, allow_stdin=False, timeout=SECONDS)
        if reply["content"]["status"] != "ok":
            raise NotebookError(f"the notebooks' kernel must be emptied, got {reply['content'].get('evalue')}")
    except TimeoutError:
        raise NotebookError(f"the notebooks' kernel must answer within {SECONDS:.0f} s, got nothing") from None
    finally:
        client.stop_channels()
