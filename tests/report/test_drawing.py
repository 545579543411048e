"""Drawing where others draw, and where the disk ends: both commands end well, and the table is printed all the same."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fuzz_targets import run_folder

from optima_lab import files as files
from optima_lab.errors import NotebookError
from optima_lab.experiments.run import open_experiments
from optima_lab.experiments.sweep import Sweep
from optima_lab.report import notebooks
from optima_lab.report.draw import draw, report
from optima_lab.report.notebooks import Job, execute, failed_name

ROOT = Path(__file__).parents[2]
DRAWN = "from matplotlib.figure import Figure\nfrom optima_lab.report.figures.style import save\n"
DRAWN += 'figure = Figure(label="one")'
CELLS = (('seeds: int = 1\nfigures: str = ""', ["parameters"]), (DRAWN, []), ('save(figure, figures, "one")', []))


def write(path: Path) -> Path:
    """A notebook that draws one figure."""
    cells = [
        {"cell_type": "code", "id": f"c{n}", "metadata": {"tags": tags}, "source": source}
        | {"outputs": [], "execution_count": None}
        for n, (source, tags) in enumerate(CELLS)
    ]
    path.write_text(json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells}))
    return path


def sweep() -> Sweep:
    return Sweep(("vqa",), "smoke", "", "runs", 1, "all", 1, {})


DRAW = """
import sys
from pathlib import Path
from optima_lab.report.draw import draw, report
from optima_lab.report.notebooks import Job
from optima_lab.experiments.sweep import Sweep
if __name__ == "__main__":
    notebook, figures, seeds = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    sweep = Sweep(("vqa",), "smoke", "", "runs", 1, "all", 1, {})
    room = figures / "vqa"
    draw(sweep, figures, (), [Job(notebook, room / "one.ipynb", {"figures": str(room), "seeds": seeds})])
    sys.exit(report(sweep))
"""


def test_two_commands_draw_into_one_folder(tmp_path: Path) -> None:
    """With one question the second finds what the first has drawn; with two the last one's is kept, whole."""
    notebook, figures = write(tmp_path / "one.ipynb"), tmp_path / "figures"
    (tmp_path / "draw.py").write_text(DRAW)
    both = [
        subprocess.Popen(
            [sys.executable, str(tmp_path / "draw.py"), str(notebook), str(figures), seeds],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for seeds in "12"
    ]
    said = [process.communicate(timeout=300) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert all(f"gallery: {figures / 'index.html'}" in out for out, _ in said)
    assert sum("another process is writing it; waiting" in err for _, err in said) <= 1
    drawn = json.loads((figures / "vqa" / "one.ipynb").read_text())["metadata"]["optima_lab"]
    assert drawn["figures"] == ["one"] and drawn["parameters"]["seeds"] in (1, 2)
    assert {path.suffix for path in (figures / "vqa").glob("one.*")} >= {".svg", ".png", ".pdf", ".ipynb", ".html"}
    assert not [path for path in figures.rglob("*") if path.suffix == ".part" or ".failed" in path.name]


def test_what_killed_commands_left_among_figures_is_removed(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from optima_lab.files import temporary_path as t;"
    code += "t(Path(sys.argv[1])).write_text('half')"
    (tmp_path / "vqa").mkdir()
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "vqa" / "one.svg")], cwd=ROOT, check=True)
    (tmp_path / "vqa" / "download.part").write_text("mine")
    assert len([*tmp_path.rglob("*.part")]) == 2
    draw(sweep(), tmp_path, ())
    assert [path.name for path in tmp_path.rglob("*.part")] == ["download.part"]


def full(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("place", ["os.replace", "Path.write_bytes", "Path.mkdir"])
def test_the_table_is_printed_when_the_disk_is_full(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_folder(tmp_path)
    asked = sweep()
    asked.experiments = open_experiments(tmp_path / "runs")
    with monkeypatch.context() as patch:
        patch.setattr(f"optima_lab.files.{place}", full)
        draw(asked, tmp_path / "figures", ())
    assert report(asked) == 1
    out, err = capsys.readouterr()
    assert "OPTIMA" in out and "Img+Txt+Multi" in out
    (line,) = [line for line in err.splitlines() if line.startswith("error: ")]
    assert line.startswith("error: figures: ") and "No space left on device" in line
    assert not [*tmp_path.rglob("*.part")]


def test_a_notebook_on_a_full_disk_says_so_and_keeps_its_older_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk ends while papermill writes, and when all is done; nothing half is left or kept."""
    notebook, output = write(tmp_path / "one.ipynb"), tmp_path / "out" / "one.ipynb"
    output.parent.mkdir()
    output.write_text("older")

    def half(source: Path, part: Path, *_: Any) -> None:
        part.write_text('{"cells": [')
        full()

    monkeypatch.setattr(notebooks, "_papermill", half)
    with pytest.raises(NotebookError, match=r"one\.ipynb \(seeds=2\): OSError: .*No space left on device"):
        execute(notebook, output, {"seeds": 2})
    monkeypatch.setattr(notebooks, "_papermill", lambda source, part, *_: part.write_bytes(source.read_bytes()))
    with monkeypatch.context() as patch:
        patch.setattr(files.os, "replace", full)
        with pytest.raises(NotebookError, match=r"one\.ipynb cannot be written: No space left on device; free some"):
            execute(notebook, output, {"seeds": 2})
    assert os.listdir(output.parent) == ["one.ipynb"] and output.read_text() == "older"
    assert execute(notebook, output, {"seeds": 2}) == output and not failed_name(output).exists()


def test_a_figure_on_a_full_disk_says_so(tmp_path: Path) -> None:
    """The system's own limit of a file's size, met while the figure is saved."""
    code = """
import resource, signal, sys
from matplotlib.figure import Figure
from optima_lab.errors import OptimaError
from optima_lab.report.figures.style import save
figure = Figure()
figure.subplots().plot([1, 2, 3])
save(figure, sys.argv[1], "first")
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    save(figure, sys.argv[1], "second")
except OptimaError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.splitlines() == [
        f"{tmp_path / 'second.svg'} cannot be written: File too large; free some space, then run the same command again"
    ], done.stderr
    assert sorted(os.listdir(tmp_path)) == ["first.csv", "first.pdf", "first.png", "first.svg"]


def test_paths_of_notebooks_are_below_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    job = Job(Path("~/one.ipynb"), Path("~/figures/one.ipynb"))
    assert (job.notebook, job.output) == (tmp_path / "one.ipynb", tmp_path / "figures" / "one.ipynb")
    from optima_lab.report import gallery
    from optima_lab.report.tables import results as tables
    from optima_lab.widgets import playground

    assert gallery.build("~/figures") == tmp_path / "figures" / "index.html"
    assert playground.write_page("~/figures/playground.html") == tmp_path / "figures" / "playground.html"
    assert tables.load("~/figures").empty
