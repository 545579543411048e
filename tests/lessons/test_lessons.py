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


def called(path: Path, name: str) -> list[ast.Call]:
    """The calls of a function in a lesson."""
    nodes = [node for tree in trees(load(path)) for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [node for node in nodes if getattr(node.func, "id", "") == name]


def test_every_lesson_shows_its_exercises_in_fields() -> None:
    shown = {path.stem[:2]: [ast.literal_eval(call.args[0]) for call in called(path, "quiz")] for path in LESSONS}
    assert shown == {lesson: [lesson] for lesson in shown}
    assert {number[:2] for number in EXERCISES} == set(shown)
    assert "answer = ..." not in "".join(path.read_text() for path in LESSONS), "questions are no comments of code"


@pytest.mark.parametrize("path", LESSONS, ids=NAMES)
def test_every_lesson_has_a_picture_that_moves_and_a_page_of_it(path: Path) -> None:
    films = called(path, "rollouts")
    assert len(films) == 1 and "page" in {keyword.arg for keyword in films[0].keywords}


@pytest.mark.parametrize("path", LESSONS, ids=NAMES)
def test_no_lesson_contradicts(path: Path) -> None:
    """What would count against a reading is said in these words, as in the notebooks on the paper's figures."""
    text = " ".join(" ".join(cell["source"].split()) for cell in load(path)["cells"])
    assert "contradict" not in text and "would count against" in text


@pytest.mark.slow
@pytest.mark.parametrize("path", LESSONS, ids=NAMES)
def test_a_lesson_runs_in_under_a_minute(path: Path, tmp_path: Path) -> None:
    start = time.perf_counter()
    done = notebooks.execute(path, tmp_path / path.name, {"figures": str(tmp_path)})
    seconds = time.perf_counter() - start
    print(f"{path.stem}: {seconds:.0f} s")
    assert seconds < 60 and done.stat().st_size < 1_000_000
    assert all(f"Exercise {number}:" in done.read_text() for number in EXERCISES if number.startswith(path.stem[:2]))
    films = list((tmp_path / "lessons").glob("*_film.html"))
    assert len(films) == 1 and films[0].stat().st_size < 2_000_000
    drawn = {picture.stem for picture in (tmp_path / "lessons").glob("*.png")}
    assert drawn == {reading.name for reading in readings(load(path))}
