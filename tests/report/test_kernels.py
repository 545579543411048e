"""Notebooks run in this interpreter, whatever kernels, profiles and start-up files this machine's user has."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from test_notebooks import printed, write

from optima_lab.report.kernels import environment

ROOT = Path(__file__).parents[2]
LOOK = "import sys, os\nprint(sys.executable, os.environ.get('PYTHONSTARTUP'), 'spoiled' in globals(), len(In))"
RUN = "import sys; from optima_lab.report.notebooks import Job, execute_all; "
RUN += "print(*(r.error for r in execute_all([Job(*map("
RUN += "__import__('pathlib').Path, pair), {}) for pair in [sys.argv[1:3], sys.argv[3:5]]])))"


def other_kernel(folder: Path, content: str) -> dict[str, str]:
    """A kernel `python3` that Jupyter finds before ours."""
    path = folder / "jupyter" / "kernels" / "python3" / "kernel.json"
    path.parent.mkdir(parents=True)
    path.write_text(content)
    return {"JUPYTER_PATH": str(folder / "jupyter")}


def spec(*argv: str) -> str:
    return json.dumps({"argv": [*argv, "-f", "{connection_file}"], "display_name": "Python 3", "language": "python"})


def profile(folder: Path) -> dict[str, str]:
    """An IPython profile whose configuration is broken and whose start-up file ends the kernel."""
    place = folder / "ipython" / "profile_default"
    (place / "startup").mkdir(parents=True)
    (place / "ipython_kernel_config.py").write_text("c.IPKernelApp.connection_file = '/nowhere'\nraise SystemExit(3)\n")
    (place / "startup" / "00.py").write_text("spoiled = True\nimport os\nos._exit(3)\n")
    return {"IPYTHONDIR": str(folder / "ipython")}


def startup(folder: Path) -> dict[str, str]:
    (folder / "startup.py").write_text("spoiled = True\nimport os\nos._exit(3)\n")
    return {"PYTHONSTARTUP": str(folder / "startup.py")}


def settings(folder: Path) -> dict[str, str]:
    """Jupyter's own settings, broken, with a provisioner that nobody has."""
    (folder / "config").mkdir()
    for name in ("jupyter_config", "jupyter_nbconvert_config", "ipython_kernel_config"):
        (folder / "config" / f"{name}.py").write_text("raise SystemExit(3)\n")
        (folder / "config" / f"{name}.json").write_text("{")
    return {"JUPYTER_CONFIG_DIR": str(folder / "config"), "JUPYTER_DEFAULT_PROVISIONER_NAME": "another"}


def launched(_: Path) -> dict[str, str]:
    """torchrun's first process draws: its kernels train with nobody."""
    return {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29599"}


@pytest.mark.parametrize(
    "hostile",
    [
        lambda folder: other_kernel(folder, spec("/bin/false")),
        lambda folder: other_kernel(folder, spec("/no/such/python", "-m", "ipykernel_launcher")),
        lambda folder: other_kernel(folder, '{"argv": ['),
        lambda folder: other_kernel(folder, "[]"),
        lambda folder: profile(folder) | startup(folder) | settings(folder) | {"MPLBACKEND": "module://nobody"},
    ],
    ids=["another's", "missing interpreter", "damaged", "of another kind", "profile, start-up file, settings"],
)
def test_what_the_user_has_does_not_matter(hostile: Callable[[Path], dict[str, str]], tmp_path: Path) -> None:
    """Two notebooks, so that the second finds a kernel that runs already; both have only what is ours."""
    paths = [write(tmp_path / f"{n}.ipynb", LOOK, "print(os.environ.get('RANK'))") for n in range(2)]
    words = [str(place) for path in paths for place in (path, tmp_path / "out" / path.name)]
    known = os.environ | {"PYTHONPATH": str(ROOT)} | hostile(tmp_path) | launched(tmp_path)
    known |= {"PYTHONWARNINGS": "ignore"}
    done = subprocess.run([sys.executable, "-c", RUN, *words], env=known, capture_output=True, text=True, timeout=300)
    assert done.stdout.strip() == "" and done.returncode == 0, done.stdout + done.stderr
    for path in paths:
        assert printed(tmp_path / "out" / path.name) == f"{sys.executable} None False 3\nNone\n"


def test_a_kernel_is_told_nothing_of_the_users_and_of_torchruns() -> None:
    known = {"HOME": "/h", "PYTHONPATH": "/p", "PYTHONSTARTUP": "/s", "RANK": "0", "ROLE_RANK": "0", "GROUP_ID": "7"}
    known |= {"TORCHELASTIC_RUN_ID": "1", "IPYTHONDIR": "/i", "MPLBACKEND": "TkAgg"}
    places = {"IPYTHONDIR": "/t/ipython", "JUPYTER_CONFIG_DIR": "/t/config", "JUPYTER_RUNTIME_DIR": "/t/runtime"}
    assert environment(known, Path("/t")) == {"HOME": "/h", "PYTHONPATH": "/p", "GROUP_ID": "7", **places}
