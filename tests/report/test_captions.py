"""Which cell draws which figure, and which text reads it aloud."""

from optima_lab.report.captions import FigureCaption, readings


def notebook(*cells: tuple[str, str]) -> dict:
    return {"cells": [{"cell_type": kind, "source": source} for kind, source in cells]}


def test_a_figure_belongs_to_the_next_reading() -> None:
    found = readings(
        notebook(
            ("markdown", "# Title\n\nReading this figure comes later: " + "x" * 99),
            (
                "code",
                "%matplotlib inline\npicture = draw(evals)\nstyle.show(style.save(picture, folder, 'one', known))",
            ),
            ("code", "save(picture, folder, name='two')"),
            ("markdown", "#### Reading this figure\n\nAxes **and** units."),
            ("code", "style.save(picture, folder, 'three')"),
        )
    )
    assert found == [
        FigureCaption("one", "Axes **and** units."),
        FigureCaption("two", "Axes **and** units."),
        FigureCaption("three", ""),
    ]


def test_code_that_is_no_python_or_saves_under_a_computed_name_is_passed_over() -> None:
    cells = [("code", "save(a, b, c)"), ("code", "save("), ("code", "tables.save(table, folder)"), ("code", "\0")]
    assert readings(notebook(*cells)) == []
