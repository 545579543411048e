"""The runner: parameters typed and refused, whole results or none, one line for a failure, nothing run twice."""

import ast
import json
from pathlib import Path

import nbformat
import pytest

from optima_lab.errors import ConfigError, NotebookError
from optima_lab.report import notebooks
from optima_lab.report.captions import code as tree
from optima_lab.report.captions import saved_names
from optima_lab.report.notebooks import Job, check_parameters, execute, execute_all, parameters

DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
PARAMETERS = 'task: str = "vqa"\nseeds: int = 1\nrate: float = 0.5\nfast: bool = False'


def write(path: Path, *cells: str, declared: str = PARAMETERS) -> Path:
    """A notebook with a title, a parameters cell and these code cells."""
    first = nbformat.v4.new_code_cell(declared, metadata={"tags": ["parameters"]})
    code = [nbformat.v4.new_code_cell(source) for source in cells]
    node = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# A notebook"), first, *code])
    for number, cell in enumerate(node.cells):
        cell["id"] = f"cell{number}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(nbformat.writes(node))
    return path


def printed(path: Path) -> str:
    """All that an executed notebook printed to its standard output."""
    cells = json.loads(path.read_text())["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    return "".join("".join(output["text"]) for output in outputs if output.get("name") == "stdout")


def test_parameters_are_read_as_syntax(tmp_path: Path) -> None:
    assert parameters(write(tmp_path / "a.ipynb")) == {
        "task": (str, "vqa"), "seeds": (int, 1), "rate": (float, 0.5), "fast": (bool, False),
    }  # fmt: skip


@pytest.mark.parametrize(
    "declared",
    ["seeds = 1", "seeds: list = []", "seeds: int = open('x')", "seeds: int = 'one'", "import os", "seeds: int = ("],
)
def test_parameters_that_are_no_plain_values_are_refused(tmp_path: Path, declared: str) -> None:
    with pytest.raises(NotebookError, match=r"a\.ipynb"):
        parameters(write(tmp_path / "a.ipynb", declared=declared))


def test_a_missing_or_broken_notebook_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotebookError, match="no such notebook"):
        parameters(tmp_path / "a.ipynb")
    for text in ("{", "[]", '{"nbformat": 4}', '{"nbformat": 3, "cells": []}'):
        (tmp_path / "a.ipynb").write_text(text)
        with pytest.raises(NotebookError, match=r"a\.ipynb"):
            parameters(tmp_path / "a.ipynb")


def test_parameters_are_cast_to_their_types(tmp_path: Path) -> None:
    path = write(tmp_path / "a.ipynb")
    given = {"task": "007", "seeds": "3", "rate": 1, "fast": "yes"}
    assert check_parameters(path, given) == {"task": "007", "seeds": 3, "rate": 1.0, "fast": True}
    assert check_parameters(path, {"task": tmp_path}) == {"task": str(tmp_path)}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sedes": 2}, "no parameter 'sedes'; did you mean 'seeds'"),
        ({"seeds": "two"}, "seeds must be a whole number, got 'two'"),
        ({"seeds": 2.5}, "seeds must be a whole number"),
        ({"seeds": True}, "seeds must be a whole number"),
        ({"task": 7}, "task must be text"),
        ({"rate": "__import__('os')"}, "rate must be a number"),
        ({"fast": "maybe"}, "fast must be true or false"),
    ],
)
def test_wrong_parameters_are_refused(tmp_path: Path, given: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_parameters(write(tmp_path / "a.ipynb"), given)


def test_a_notebook_runs_once_for_one_question(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hostile = "x\"; print('evaluated') #\\ {task.__class__} \n'''"
    (tmp_path / "optima_lab").mkdir()
    monkeypatch.setattr(notebooks, "ROOT", tmp_path)
    path = write(tmp_path / "{seeds}" / "a.ipynb", "print(repr(task))\nprint(type(seeds).__name__, seeds, rate)")
    output = execute(path, tmp_path / "out" / "{task}.ipynb", {"task": hostile, "seeds": "2"}, "records 1")
    assert printed(output) == f"{hostile!r}\nint 2 0.5\n"
    assert sorted(p.name for p in output.parent.iterdir()) == ["{task}.ipynb"]

    assert json.loads(output.read_text())["metadata"]["optima_lab"]["figures"] == []

    runs: list[int] = []
    monkeypatch.setattr(notebooks, "_papermill", lambda source, part, *_: runs.append(part.write_bytes(b"{}")))
    assert execute(path, output, {"seeds": 2, "task": hostile}, "records 1") == output
    assert not runs
    (tmp_path / "optima_lab" / "bandits.py").write_text("# an edited library")
    for change in ({}, {"values": {"seeds": 3}}, {"fingerprint": "records 2"}):
        question = {"values": {"seeds": 2, "task": hostile}, "fingerprint": "records 1"} | change
        with pytest.raises(NotebookError):  # it runs: the replaced runner leaves no notebook
            execute(path, output, **question)
    assert len(runs) == 3


def test_a_failure_is_one_line_and_keeps_the_earlier_result(tmp_path: Path) -> None:
    good = write(tmp_path / "a.ipynb", "print(1)")
    output = execute(good, tmp_path / "out" / "a.ipynb", {})
    before = output.read_bytes()
    write(tmp_path / "a.ipynb", "print(2)", "raise ValueError('broken\\nin two lines')", "print(3)")
    with pytest.raises(NotebookError) as raised:
        execute(tmp_path / "a.ipynb", output, {"seeds": 2})
    line = str(raised.value)
    assert line == "a.ipynb (seeds=2): cell In [4]: ValueError: broken in two lines"
    failed = tmp_path / "out" / "a.failed.ipynb"
    assert json.loads(failed.read_text())["metadata"]["optima_lab"]["error"] == line
    assert printed(failed) == "2\n"
    assert output.read_bytes() == before
    assert not list(output.parent.glob("*.part"))

    write(tmp_path / "a.ipynb", "print(4)")
    assert printed(execute(tmp_path / "a.ipynb", output, {})) == "4\n"
    assert not failed.exists()


def test_widgets_of_a_long_record_are_not_kept_in_the_notebook(tmp_path: Path) -> None:
    for name, size, kept in (("short", 1000, True), ("long", notebooks.STATE_BYTES, False)):
        part = write(tmp_path / f"{name}.part")
        node = json.loads(part.read_text())
        node["metadata"]["widgets"] = {"state": "x" * size}
        part.write_text(json.dumps(node))
        notebooks._finish(part, tmp_path / name, {"key": "1"})
        metadata = json.loads((tmp_path / name).read_text())["metadata"]
        assert ("widgets" in metadata, metadata["optima_lab"]) == (kept, {"key": "1"})


def test_a_kernel_that_died_before_replying_gets_a_second_chance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import papermill

    calls = []

    def dies(node: object, target: str, *_: object, **__: object) -> None:
        calls.append(target)
        raise RuntimeError("Kernel died before replying to kernel_info")

    monkeypatch.setattr(papermill, "execute_notebook", dies)
    with pytest.raises(NotebookError, match="Kernel died before replying"):
        execute(write(tmp_path / "a.ipynb"), tmp_path / "b.ipynb", {})
    assert len(calls) == 2


def test_many_notebooks_run_and_one_failure_ends_only_itself(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{n}.ipynb", f"print({n})\nassert {n} != 1, 'one is wrong'") for n in range(3)]
    jobs = [Job(path, tmp_path / "out" / path.name, {"seeds": 1}) for path in paths]
    results = execute_all(jobs)
    assert [result.job for result in results] == jobs
    assert [bool(result.error) for result in results] == [False, True, False]
    assert results[1].error == "1.ipynb (seeds=1): cell In [3]: AssertionError: one is wrong"
    assert not any(result.skipped for result in results)
    again = execute_all([jobs[0], jobs[2]])
    assert all(result.skipped for result in again)


def test_notebooks_of_one_process_share_a_kernel_and_find_it_empty(tmp_path: Path) -> None:
    """Also after one that failed; where the kernel was killed the next notebook has a new one."""
    leave = "import os, json, ipywidgets\nleft = ipywidgets.IntSlider()\nprint(os.getpid())\nos.chdir('/')"
    look = "import ipywidgets, os\nprint(os.getpid(), 'left' in globals(), os.getcwd(), len(In))"
    look += "\nprint(sorted(type(w).__name__ for w in ipywidgets.Widget.widgets.values()))"
    cells = [leave, look, "os", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", look]
    paths = [write(tmp_path / f"{n}.ipynb", cell) for n, cell in enumerate(cells)]
    results = execute_all([Job(path, tmp_path / "out" / path.name, {}) for path in paths], workers=1)
    assert [bool(result.error) for result in results] == [False, False, True, True, False]
    assert "NameError: name 'os' is not defined" in results[2].error
    first, second, last = (printed(results[n].job.output).split() for n in (0, 1, 4))
    assert second[:2] == [first[0], "False"] and second[2] == str(Path.cwd()) and second[3] == last[3]
    assert last[0] != first[0] and second[4:] == ["[]"]


def test_wrong_parameters_of_one_job_are_told_before_any_runs(tmp_path: Path) -> None:
    jobs = [
        Job(write(tmp_path / "a.ipynb"), tmp_path / "out.ipynb", {}),
        Job(tmp_path / "a.ipynb", tmp_path / "b", {"x": 1}),
    ]
    with pytest.raises(ConfigError, match="no parameter 'x'"):
        execute_all(jobs)
    assert not (tmp_path / "out.ipynb").exists()


NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_keep_the_rules_of_the_house(path: Path) -> None:
    cells = nbformat.read(str(path), as_version=4).cells
    code = [cell for cell in cells if cell.cell_type == "code"]
    assert cells[0].cell_type == "markdown" and cells[0].source.startswith("# ")
    assert "parameters" in cells[1].metadata.get("tags", [])
    assert parameters(path)
    assert len(code) <= 12
    assert not any(cell.outputs or cell.execution_count for cell in code), "outputs are stripped in git"
    for cell in code:
        defined = [node for node in ast.walk(tree(cell)) if isinstance(node, DEFINITIONS)]
        assert not defined, f"a notebook defines nothing: {ast.unparse(defined[0])[:60]}"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_figure_of_a_notebook_is_read_aloud(path: Path) -> None:
    cells = nbformat.read(str(path), as_version=4).cells
    for number, cell in enumerate(cells):
        if cell.cell_type == "code" and saved_names(cell):
            after = cells[number + 1]
            assert after.cell_type == "markdown" and "Reading this figure" in after.source[:60], saved_names(cell)


@pytest.mark.slow
def test_the_papers_notebooks_run_at_smoke_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trains one small population, draws all its figures, and finds both again without training."""
    monkeypatch.chdir(NOTEBOOKS[0].parents[2])
    places = {"runs": tmp_path / "runs", "figures": tmp_path / "figures"}
    given = {"task": "snli_ve", "preset": "smoke", "strategies": "none,img+txt+multi,optima", **places}
    for path in NOTEBOOKS[:4]:
        done = execute(path, tmp_path / "figures" / "snli_ve" / path.name, given)
        assert done.stat().st_size < 1_000_000, path.name
    assert len(list((tmp_path / "runs" / "snli_ve").iterdir())) == 1
    drawn = {name for path in NOTEBOOKS[:4] for cell in json.loads(path.read_text())["cells"] for name in names(cell)}
    assert drawn >= {
        "samples",
        "thompson_draw",
        "module_contribution",
        "arms_compared",
        "reward_means",
        "arm_frequency",
    }
    for name in drawn:
        assert (tmp_path / "figures" / "snli_ve" / f"{name}.svg").exists(), name
    results = execute_all([Job(path, tmp_path / "figures" / "snli_ve" / path.name, given) for path in NOTEBOOKS[:4]])
    assert all(result.skipped for result in results)


def names(cell: dict) -> list[str]:
    """The figures that a cell of a notebook's JSON saves."""
    return saved_names(cell | {"source": "".join(cell["source"])}) if cell["cell_type"] == "code" else []
