"""The lessons for a class: every exercise as a question, a cell to answer in and a locked cell that grades it.

The cells carry nbgrader's metadata (schema 3): `nbgrader generate_assignment` and `nbgrader autograde` take them, and
whoever runs a notebook by hand sees the same hints as in our lessons.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from optima_lab.files import expand, json_text, write_text
from optima_lab.lessons.exercises import EXERCISES
from optima_lab.report.shipped import lessons

QUIZ_CELL = "exercises = quiz("  # how the cell begins that shows a lesson's exercises
Cell = dict[str, Any]


def write(folder: Path | str) -> list[Path]:
    """Write every lesson with exercises below `folder`, as `<lesson>/<lesson>.ipynb`; the notebooks.

    Raises RecordError where they cannot be written.
    """
    written = []
    for path in lessons():
        notebook = json.loads(path.read_text(encoding="utf-8"))
        cells = [replacement for cell in notebook["cells"] for replacement in _cells(path.stem[:2], cell)]
        if len(cells) > len(notebook["cells"]):
            target = expand(folder) / path.stem / path.name
            text = json_text(notebook | {"cells": cells}, ensure_ascii=False, indent=1) + "\n"
            written.append(write_text(target, text))
    return written


def _cells(lesson: str, cell: Cell) -> list[Cell]:
    """The cell itself; in place of the one with fields, three for each exercise of the lesson."""
    if not "".join(cell["source"]).startswith(QUIZ_CELL):
        return [cell]
    numbers = [number for number in EXERCISES if number.startswith(lesson)]
    return [part for number in numbers for part in _exercise(number)]


def _exercise(number: str) -> list[Cell]:
    exercise, name = EXERCISES[number], f"answer_{number.replace('.', '_')}"
    schema = {"schema_version": 3, "task": False}
    answer = {"solution": True, "locked": False, "grade": False, "grade_id": name}
    test = {"solution": False, "locked": True, "grade": True, "grade_id": name.replace("answer", "test"), "points": 1}
    solution = f'"{exercise.solution}"' if exercise.judge.kind == "policy" else exercise.solution
    source = f"### BEGIN SOLUTION\n{name} = {solution}\n### END SOLUTION"
    judged = f"verdict_{name} = check({number!r}, {name})\nassert verdict_{name}.right, verdict_{name}"
    imported = "from optima_lab.lessons.exercises import check\n\n"
    return [
        _cell("markdown", f"question-{number}", f"**Exercise {number}.** {exercise.question}", {}),
        _cell("code", name, source, schema | answer),
        _cell("code", name.replace("answer", "test"), imported + judged, schema | test),
    ]


def _cell(kind: str, name: str, source: str, nbgrader: Mapping[str, Any]) -> Cell:
    cell: Cell = {"cell_type": kind, "id": name.replace("_", "-").replace(".", "-"), "source": source}
    cell["metadata"] = {"nbgrader": dict(nbgrader)} if nbgrader else {}
    return cell | ({"outputs": [], "execution_count": None} if kind == "code" else {})
