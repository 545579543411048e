"""A stranger's first hour in a real JupyterLab: an own folder, an own policy and reward, two students, Ctrl-C, compare.

Nothing is used but README and what it names; no cell ever shows a traceback.
"""

import json
import time
from pathlib import Path
from typing import Any

import browser
import lab
import pytest

from optima_lab.experiments.records import read_json, read_lines

pytestmark = pytest.mark.browser

# The policy is that of docs/own_ideas.md, named in README.
PAGE = Path(__file__).parents[2] / "docs" / "own_ideas.md"
POLICY = PAGE.read_text().split("```python\n")[1].split("```")[0]
REWARD = "def kl_drop(before, after):\n    return max(0.0, (before.kl - after.kl) / before.kl)"
RUN = """import optima_lab
mine = [Greedy(step=0.2), "optima"]
experiments = optima_lab.run("vqa", {preset!r}, strategies=mine, reward=kl_drop{size})
experiments"""
LOOK = "optima_lab.replay('runs')"
COMPARE = """names = ("optima:reward=kl_drop", "Greedy:step=0.2:reward=kl_drop")
optima_lab.compare(experiments, experiments, strategies=names)"""
EXPORT = """from optima_lab.experiments.export import export
run = experiments[0].folder / experiments[0].only[0]
export(run, run.parent.parent.parent.parent / "student")"""
CHANGED = """class Slower(Greedy):
    def learn(self, state, arm, reward):
        super().learn(state, arm, reward / 2)
mine = [Slower(step=0.2), "optima"]
optima_lab.run("vqa", {preset!r}, strategies=mine, reward=kl_drop{size})"""


def notebook(folder: Path, cells: list[str]) -> str:
    """A new notebook of these cells; its name."""
    listed = [
        {"cell_type": "code", "id": f"c{n}", "metadata": {}, "source": text, "outputs": [], "execution_count": None}
        for n, text in enumerate(cells)
    ]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    content = {"cells": listed, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}
    (folder / "my_idea.ipynb").write_text(json.dumps(content))
    return "my_idea.ipynb"


def start(page: Any, number: int) -> None:
    """Select a cell and begin to run it."""
    page.evaluate(
        """(number) => {
            window.jupyterapp.shell.currentWidget.content.activeCellIndex = number;
            window.ran = false;
            window.jupyterapp.commands.execute("notebook:run-cell").then(() => { window.ran = true; });
        }""",
        number,
    )


def finish(page: Any, seconds: float) -> None:
    """Wait for the cell that was begun."""
    page.wait_for_function("() => window.ran", timeout=1000 * seconds)


def shown(page: Any, number: int) -> str:
    """All that a cell's output says."""
    return page.evaluate(
        """(number) => {
            const cell = window.jupyterapp.shell.currentWidget.content.widgets[number];
            const plain = (text) => [].concat(text ?? "").join("");
            const said = (o) => o.output_type === "stream" ? plain(o.text)
                : o.output_type === "error" ? `ERROR ${o.traceback.join("\\n")}` : plain(o.data["text/plain"]);
            return cell.model.outputs.toJSON().map(said).join("\\n");
        }""",
        number,
    )


@pytest.mark.parametrize(
    ("preset", "size", "patience"),
    [
        ("smoke", ", steps=320", 300.0),
        pytest.param("laptop", "", 1800.0, marks=pytest.mark.slow),
    ],
)
def test_a_strangers_first_hour(tmp_path: Path, preset: str, size: str, patience: float) -> None:
    texts = [POLICY, REWARD, RUN, LOOK, COMPARE, EXPORT, CHANGED]
    cells = [text.replace("{preset!r}", repr(preset)).replace("{size}", size) for text in texts]
    name = notebook(tmp_path, cells)
    with browser.chromium() as chromium, lab.server(tmp_path) as address, browser.watched(chromium) as page:
        lab.open_notebook(page, address(name))
        for number in (0, 1):
            start(page, number)
            finish(page, 60)
        start(page, 2)
        rounds, until = tmp_path / "runs" / "vqa", time.monotonic() + patience
        while not any(path.stat().st_size for path in rounds.glob("*/greedy-*/rounds.jsonl")):
            assert time.monotonic() < until and "ERROR" not in shown(page, 2), shown(page, 2)
            time.sleep(0.2)
        page.evaluate("() => window.jupyterapp.commands.execute('notebook:interrupt-kernel')")
        finish(page, 60)
        stopped = shown(page, 2)
        assert "to be trained: VQA seed 0, at" in stopped and "2 students and what teaches them, about" in stopped
        assert stopped.rstrip().endswith("ERROR Interrupted: what is finished is kept; run the cell again to go on")
        (run,) = rounds.glob("*/greedy-*")
        assert not (run / "done.json").exists()
        start(page, 3)  # look at what is recorded so far
        finish(page, 60)
        assert "Replay of 2 recorded runs" in shown(page, 3)
        start(page, 2)
        finish(page, patience)
        assert (
            shown(page, 2).rstrip().endswith("2 runs in runs/" + str(run.parent.relative_to(tmp_path / "runs")) + ")]")
        )
        told = read_json(run / "run.json")
        assert told["own"]["source"]["Greedy"] == "\n".join(POLICY.splitlines()[4:]).strip()
        assert len(read_lines(run / "steps.jsonl")) == told["config"]["steps"]
        for number in (3, 4, 5):
            start(page, number)
            finish(page, 120)
            assert "ERROR" not in shown(page, number), shown(page, number)
        page.locator(".ol canvas").first.wait_for()
        assert "VQA, OPTIMA (reward=kl_drop) → Greedy" in shown(page, 4) and "one seed: no interval" in shown(page, 4)
        assert (tmp_path / "student" / "model.safetensors").exists()
        browser.shot(page, f"first_hour_{preset}")
        start(page, 6)
        finish(page, patience)
        assert "Slower" not in {path.name for path in run.parent.iterdir()} and any(run.parent.glob("slower-*"))
        everything = "\n".join(shown(page, number) for number in range(7))
        assert "Traceback" not in everything and "ERROR" not in everything, everything
