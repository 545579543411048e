"""One kernel for all the notebooks that a process executes: it starts and imports once, and each one finds it empty."""

import os
from functools import cache
from typing import TYPE_CHECKING

from optima_lab.errors import NotebookError

if TYPE_CHECKING:
    from jupyter_client.manager import AsyncKernelManager

ARGUMENTS = ("--log-level=50",)
SECONDS = 60.0
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

    known = _started.cache_info().currsize
    manager = _started()
    if known and not run_sync(manager.is_alive)():
        _started.cache_clear()
        return _started()
    if known:
        _clear(manager)
    return manager


@cache
def _started() -> "AsyncKernelManager":
    from jupyter_client.manager import AsyncKernelManager
    from jupyter_core.utils import run_sync

    manager = AsyncKernelManager(kernel_name="python3")
    run_sync(manager.start_kernel)(extra_arguments=[*ARGUMENTS, "--HistoryManager.hist_file=:memory:"])
    return manager


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
