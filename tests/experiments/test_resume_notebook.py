"""A notebook that is killed while it trains is run again, and ends with the records and figures of one left alone."""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import pytest
from test_resume import SMALL, moments, outcome, server, write_of

from optima_lab.errors import NotebookError
from optima_lab.report.notebooks import execute

ROOT = Path(__file__).parents[2]
NAME = "00_quickstart.ipynb"
ALWAYS = {"everything": 2}
# What Python runs first in a new kernel: keep after every step, count writes in a file, and die in one if so asked.
STARTUP = f"""
import os, sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parent)!r})
import test_resume

class Left:
    def __init__(self, most, told):
        self.most, self.told, self.count = most, told, 0
    @property
    def value(self):
        return self.most - self.count
    @value.setter
    def value(self, left):
        self.count = self.most - left
        self.told.write_text(f"{{os.getpid()}} {{self.count}}")

if "ipykernel_launcher" in sys.orig_argv:
    import test_resume
    test_resume.prepare(Left(int(os.environ["KILLED_IN_WRITE"]), Path(os.environ["WRITES_TOLD"])))
"""


def perform(folder: Path, killed_in: int) -> None:
    """Execute the notebook in this process and a kernel; its last write before it dies is `killed_in` (0: never)."""
    os.chdir(ROOT)
    startup = folder / "first" / "sitecustomize.py"
    startup.parent.mkdir(parents=True, exist_ok=True)
    startup.write_text(STARTUP)
    (folder / "told").unlink(missing_ok=True)
    os.environ |= {"PYTHONPATH": f"{startup.parent}{os.pathsep}{ROOT}", "KILLED_IN_WRITE": str(killed_in)}
    os.environ |= {"WRITES_TOLD": str(folder / "told"), "OMP_NUM_THREADS": "1"}
    given = {"preset": "smoke", "runs": folder / "runs", "figures": folder / "figures", "strategies": "none,optima"}
    changes = ",".join(f"{name}={value}" for name, value in SMALL.items())
    try:
        execute(ROOT / "notebooks" / NAME, folder / "figures" / "vqa" / NAME, {**given, "changes": changes})
    except NotebookError:
        sys.exit(3)


def told(folder: Path) -> tuple[int, int]:
    """(the kernel's process, how often it has written); zeros before it has."""
    try:
        process, count = (folder / "told").read_text().split()
    except (OSError, ValueError):
        return 0, 0
    return int(process), int(count)


def drawn(folder: Path) -> dict[str, bytes]:
    """The figures, and the notebook's outputs but for what its progress bars said."""
    found = {path.name: path.read_bytes() for path in sorted((folder / "figures" / "vqa").iterdir())}
    cells = json.loads(found.pop(NAME))["cells"]
    assert all(cell["execution_count"] for cell in cells if cell["cell_type"] == "code"), "whole"
    return found


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, dict, int]:
    """(records and weights, figures, writes) of the notebook when nobody disturbs it."""
    folder = tmp_path_factory.mktemp("undisturbed")
    child = server.Process(target=perform, args=(folder, 0))
    child.start()
    child.join()
    assert child.exitcode == 0
    return outcome(folder / "runs"), drawn(folder), told(folder)[1]


@pytest.mark.parametrize(("_", "number"), moments(ALWAYS))
def test_a_notebook_killed_while_it_trains_ends_as_if_undisturbed(_, number: int, undisturbed, tmp_path: Path):
    """Every other time all its processes are killed at once, else its kernel dies in the middle of a write."""
    records, figures, writes = undisturbed
    write = write_of(2 * number, writes)
    child = server.Process(target=perform, args=(tmp_path, write if number % 2 else 0))
    child.start()
    if number % 2 == 0:
        kernel = written = 0
        while child.is_alive() and written < write:
            time.sleep(0.005)
            kernel, written = told(tmp_path)
        assert kernel, "it writes before it ends"  # and process 0 would be the tests themselves
        time.sleep(random.Random(number).uniform(0, 0.05))
        child.kill()
        os.kill(kernel, signal.SIGKILL)
    child.join()
    assert child.exitcode == (3 if number % 2 else -signal.SIGKILL)
    assert not (tmp_path / "figures" / "vqa" / NAME).exists(), "whole or not at all"
    again = server.Process(target=perform, args=(tmp_path, 0))
    again.start()
    again.join()
    assert again.exitcode == 0
    found = outcome(tmp_path / "runs")
    assert found.keys() == records.keys()
    assert [name for name in found if found[name] != records[name]] == []
    assert drawn(tmp_path) == figures
