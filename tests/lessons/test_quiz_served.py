"""The fields in JupyterLab and under Voilà: what is typed stays the field's, and the kernel plays policies."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import browser
import lab
import nbformat
import pytest

pytestmark = pytest.mark.browser
SOURCE = 'from optima_lab.lessons.quiz import quiz\nexercises = quiz("10")\nexercises'


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser.chromium() as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a notebook of two cells: the exercises, and one that must be reached."""
    cells = [nbformat.v4.new_code_cell(SOURCE), nbformat.v4.new_code_cell("reached = True")]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), tmp_path / "quiz.ipynb")
    return tmp_path


def answered(page: Any) -> None:
    """A wrong number by Enter, and a policy that the kernel plays."""
    number = page.locator(".ol-exercise").first
    number.get_by_role("textbox").click()
    page.keyboard.type("2.2")
    page.keyboard.press("Enter")
    assert "Not yet: 2.2 it is not; that is the expected reward" in number.inner_text()
    policy = page.locator(".ol-exercise").nth(2)
    policy.get_by_label("answer to 10.3").click()
    page.keyboard.type("epsilon_greedy:epsilon=0.2,step=0.0")
    policy.get_by_role("button", name="Check").click()
    policy.get_by_text("wanted at most").wait_for()
    policy.get_by_label("answer to 10.3").fill("beta_ts")
    policy.get_by_role("button", name="Check").click()
    policy.get_by_text("It explores less than").wait_for()
    assert "1 of 3 right" in page.locator(".ol-head").inner_text()


def test_fields_in_jupyterlab(chromium: Any, folder: Path) -> None:
    with lab.server(folder) as address, browser.watched(chromium) as page:
        lab.run_all(page, address("quiz.ipynb"))
        answered(page)
        assert lab.ask(page, "print(reached)") == "True", "Run All goes on"
        assert lab.ask(page, "print(exercises.check('10.2', 0.2).state)") == "right"
        page.get_by_text("2 of 3 right").wait_for()
        browser.shot(page, "lab_exercises")


def test_fields_under_voila(chromium: Any, folder: Path) -> None:
    pytest.importorskip("voila", reason="needs the extra voila")
    with lab.app(folder, "quiz.ipynb") as address, browser.watched(chromium) as page:
        page.goto(address)
        page.locator(".ol-exercise").first.wait_for()
        answered(page)
        browser.shot(page, "voila_exercises")
