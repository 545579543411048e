"""Another question has its own gallery, and tasks of different questions never share a table of results."""

from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import pytest

from optima_lab import cli
from optima_lab.report import draw, gallery, questions
from optima_lab.report.tables import results as tables

USUAL: dict[str, Any] = {"changes": {}, "data": "", "strategies": "all"}


@pytest.mark.parametrize(
    ("plan", "place"),
    [
        ({}, "."),
        ({"changes": {"round_steps": "8", "decay": "0.9"}}, "questions/decay=0.9,round_steps=8"),
        ({"strategies": "img, optima"}, "questions/strategies=img,optima"),
    ],
)
def test_a_question_has_its_own_folder(plan: dict[str, Any], place: str, tmp_path: Path) -> None:
    assert questions.gallery(tmp_path, USUAL | plan) == tmp_path / place


def test_folders_are_names_and_differ() -> None:
    names = [questions.folder_name(text) for text in ("data=/a/b", "data=-a-b", "data=a/b", "data=../..", "x" * 300)]
    assert len(set(names)) == 5 and all(Path(name).name == name and len(name) <= 80 for name in names)


def test_make_figures_leaves_the_usual_figures_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    drawn: list[Path] = []
    monkeypatch.setattr("optima_lab.experiments.sweep.Sweep.train", lambda sweep: None)
    monkeypatch.setattr(draw, "draw", lambda sweep, figures: drawn.append(figures))
    known = ["--preset", "smoke", "--tasks", "vqa", "--runs", str(tmp_path / "runs"), "--figures", str(tmp_path / "f")]
    cli.main(["figures", *known])
    cli.main(["figures", *known, "--decay", "0.5"])
    assert drawn == [tmp_path / "f", tmp_path / "f" / "questions" / "decay=0.5"]


def executed(folder: Path, mean: float, **parameters: Any) -> None:
    folder.mkdir(parents=True)
    node = nbformat.v4.new_notebook(metadata={"optima_lab": {"parameters": parameters}})
    (folder / "00_quickstart.ipynb").write_text(nbformat.writes(node))
    row = {"task": folder.name, "mean": mean, "sd": None, "n": 1, "stopped": ""}
    kinds = ({"kind": "teacher", "name": "teacher"}, {"kind": "strategy", "name": "optima"})
    tables.save(pd.DataFrame([row | kind for kind in kinds]), folder)


def test_galleries_link_each_other_and_say_their_question(tmp_path: Path) -> None:
    executed(tmp_path / "vqa", 30.0, preset="laptop")
    executed(tmp_path / "questions" / "decay=0.5" / "vqa", 40.0, preset="laptop", changes="decay=0.5")
    gallery.build(tmp_path)
    other = gallery.build(tmp_path / "questions" / "decay=0.5").read_text()
    assert "another question than the presets&#39;: decay=0.5" in other and 'href="../../index.html"' in other
    usual = (tmp_path / "index.html").read_text()
    assert 'href="questions/decay=0.5/index.html"' in usual and "40.0" not in usual


def test_tasks_of_other_presets_have_a_table_of_their_own(tmp_path: Path) -> None:
    executed(tmp_path / "vqa", 30.0, preset="laptop")
    executed(tmp_path / "nlvr2", 40.0, preset="smoke")
    page = gallery.build(tmp_path).read_text()
    assert page.count("Measured here.") == 2 and "preset = laptop" in page and "preset = smoke" in page
