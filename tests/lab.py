"""A real JupyterLab on loopback with a token, its settings in a folder of its own, and what a test does in it."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from uuid import uuid4

from browser import PATIENCE, until, wait

ROOT = Path(__file__).parents[1]
SETTINGS = {
    "notebook-extension/tracker": {"windowingMode": "none"},
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}


@contextmanager
def server(folder: Path) -> Iterator[Callable[[str], str]]:
    """JupyterLab serving `folder`; yields what gives the address of a notebook.

    Each notebook has a workspace of its own: in a common one JupyterLab opens again what was open before.
    """
    home, token = folder / "home", uuid4().hex
    for name, content in SETTINGS.items():
        path = home / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
    port = _free_port()
    options = (
        f"--no-browser --ip=127.0.0.1 --port={port} --ServerApp.port_retries=0 --expose-app-in-browser "
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate --LabApp.news_url="
    ).split()
    options += [f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={folder}"]
    options += ["--allow-root"] * (os.getuid() == 0)
    with _running(["jupyterlab", *options], folder, port, f"/api/status?token={token}"):
        yield lambda name: f"http://127.0.0.1:{port}/lab/workspaces/{Path(name).stem}/tree/{name}?token={token}"


@contextmanager
def app(folder: Path, notebook: str) -> Iterator[str]:
    """A notebook as an app of voila, with the settings of our notebooks' folder; yields its address."""
    port = _free_port()
    shutil.copy(ROOT / "notebooks" / "voila.json", folder)
    with _running(["voila", notebook, "--no-browser", f"--port={port}"], folder, port, "/voila/static/"):
        yield f"http://127.0.0.1:{port}/"


@contextmanager
def _running(module: list[str], folder: Path, port: int, path: str) -> Iterator[None]:
    """`python -m module …`, from its first answer on; ended on leaving."""
    log = folder / f"{module[0]}.log"
    with log.open("wb") as file:
        environment = _environment(folder / "home")
        process = subprocess.Popen(
            [sys.executable, "-m", *module], cwd=folder, env=environment, stdout=file, stderr=file
        )
        try:
            _wait(port, path, process, log)
            yield
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _environment(home: Path) -> dict[str, str]:
    places = {
        "JUPYTER_CONFIG_DIR": home / "config",
        "JUPYTER_RUNTIME_DIR": home / "runtime",
        "JUPYTERLAB_SETTINGS_DIR": home / "settings",
        "JUPYTERLAB_WORKSPACES_DIR": home / "workspaces",
        "IPYTHONDIR": home / "ipython",
        "PYTHONPATH": ROOT,
    }
    return os.environ | {name: str(place) for name, place in places.items()}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait(port: int, path: str, process: subprocess.Popen, log: Path) -> None:
    """Until the server answers; if it ends instead, raise with what it said."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        connection = HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("GET", path)
            if connection.getresponse().status < 500:
                return
        except (OSError, HTTPException):
            time.sleep(0.3)
        finally:
            connection.close()
    raise AssertionError(f"no answer from {path}: {log.read_text(errors='replace')[-1000:]}")


def copy(notebook: str, folder: Path, parameters: Mapping[str, Any], extra: str = "") -> str:
    """A notebook of ours with other parameters, and perhaps one more cell, in a server's folder; its name."""
    content = json.loads((ROOT / "notebooks" / notebook).read_text())
    cells = [cell for cell in content["cells"] if cell["cell_type"] == "code"]
    lines = "".join(cells[0]["source"]).splitlines()
    cells[0]["source"] = "\n".join(
        f"{name}: {type(parameters[name]).__name__} = {parameters[name]!r}" if name in parameters else line
        for line in lines
        for name in [line.split(":")[0]]
    )
    more = {"cell_type": "code", "id": "more", "metadata": {}, "source": extra, "outputs": [], "execution_count": None}
    content["cells"] += [more] if extra else []
    (folder / notebook).write_text(json.dumps(content))
    return notebook


def open_notebook(page: Any, address: str) -> None:
    """Open a notebook and wait for its kernel."""
    page.goto(address)
    until(page, "JupyterLab shows the notebook", "() => window.jupyterapp?.shell.currentWidget?.sessionContext")
    wait(page, "JupyterLab is restored", "() => window.jupyterapp.restored.then(() => true)")
    status = "window.jupyterapp.shell.currentWidget.sessionContext.session?.kernel?.status"
    until(page, "the kernel is idle", f"() => {status} === 'idle'")


def run_all(page: Any, address: str) -> None:
    """Open a notebook, run all its cells, and see that none failed."""
    open_notebook(page, address)
    wait(page, "all cells have run", "() => window.jupyterapp.commands.execute('notebook:run-all-cells')")
    errors = page.locator('[data-mime-type="application/vnd.jupyter.error"]')
    assert errors.count() == 0, errors.first.inner_text()


def ask(page: Any, code: str) -> str:
    """What the notebook's kernel prints for this code."""
    return wait(
        page,
        f"the kernel has answered {code!r}",
        """async (code) => {
            const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
            const future = kernel.requestExecute({ code });
            let text = "";
            future.onIOPub = (message) => { text += message.content.text ?? message.content.evalue ?? ""; };
            await future.done;
            return text.trim();
        }""",
        code,
    )
