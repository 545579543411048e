"""The lessons: short, typed, read aloud, with exercises that wait for an answer; and each runs in a minute."""

import ast
import json
import time
from pathlib import Path

import pytest

from optima_lab.lessons.exercises import EXERCISES
from optima_lab.report import notebooks
from optima_lab.report.captions import readings

LESSONS = sorted((Path(__file__).parents[2] / "notebooks").glob("1[0-4]_*.ipynb"))
NAMES = [path.stem for path in LESSONS]


def load(path: Path) -> dict:
    """A notebook's JSON with every source as one string."""
    notebook = json.loads(path.read_text())
    for cell in notebook["cells"]:
        cell["source"] = "".join(cell["source"])
    return notebook


def trees(notebook: dict) -> list[ast.Module]:
    return [ast.parse(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]


def test_there_are_five() -> None:
    assert [name[:2] for name in NAMES] == ["10", "11", "12", "13", "14"]


@pytest.mark.parametrize("path", LESSONS, ids=NAMES)
def test_a_lesson_is_short_stripped_and_defines_nothing(path: Path) -> None:
    notebook = load(path)
    cells = notebook["cells"]
    assert len(trees(notebook)) <= 12
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)
    kinds = ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef
    assert not any(isinstance(node, kinds) for tree in trees(notebook) for node in ast.walk(tree))
    assert "After this lesson you will be able to" in cells[0]["source"]
    assert cells[1]["metadata"]["tags"] == ["parameters"]
    assert "figures" in notebooks.parameters(path)


@pytest.mark.parametrize("path", LESSONS, ids=NAMES)
def test_every_figure_is_read_aloud(path: Path) -> None:
    found = readings(load(path))
    assert len(found) >= 3
    assert [reading.name for reading in found if not reading.markdown] == []


def test_figures_of_all_lessons_have_names_of_their_own() -> None:
    names = [reading.name for path in LESSONS for reading in readings(load(path))]
    assert len(names) == len(set(names))


def exercises(path: Path) -> list[str]:
    """Numbers of the exercises that a lesson checks, all of them unanswered as shipped."""
    found = []
    for tree in trees(load(path)):
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "check":
                number = ast.literal_eval(node.args[0])
                assert isinstance(tree.body[0], ast.Assign) and ast.literal_eval(tree.body[0].value) is ...
                found.append(number)
    return found


def test_every_exercise_is_asked_once_in_its_own_lesson() -> None:
    asked = {path.stem[:2]: exercises(path) for path in LESSONS}
    assert [number for numbers in asked.values() for number in numbers] == list(EXERCISES)
    assert all(number.startswith(lesson) for lesson, numbers in asked.items() for number in numbers)


@pytest.mark.slow
@pytest.mark.parametrize("path", LESSONS, ids=NAMES)
def test_a_lesson_runs_in_under_a_minute(path: Path, tmp_path: Path) -> None:
    start = time.perf_counter()
    done = notebooks.execute(path, tmp_path / path.name, {"figures": str(tmp_path)})
    seconds = time.perf_counter() - start
    print(f"{path.stem}: {seconds:.0f} s")
    assert seconds < 60 and done.stat().st_size < 1_000_000
    assert done.read_text().count("not answered yet") >= len(exercises(path))
    drawn = {picture.stem for picture in (tmp_path / "lessons").glob("*.png")}
    assert drawn == {reading.name for reading in readings(load(path))}


@pytest.mark.slow
def test_a_wrong_answer_fails_the_lesson_with_its_hint(tmp_path: Path) -> None:
    notebook = load(LESSONS[0])
    for cell in notebook["cells"]:
        if '"10.1"' in cell["source"]:
            cell["source"] = cell["source"].replace("answer = ...", "answer = 2.2")
    path = tmp_path / "10_answered.ipynb"
    path.write_text(json.dumps(notebook))
    with pytest.raises(notebooks.NotebookError, match="regret is what the best arm would have brought more"):
        notebooks.execute(path, tmp_path / "out.ipynb", {"figures": str(tmp_path), "replications": 5})
