"""The package where it is installed: its notebooks, its command, what it says about itself."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import venv
from pathlib import Path
from site import getsitepackages

import pytest

import optima_lab
from optima_lab.cli import COMMANDS, main
from optima_lab.errors import NotebookError
from optima_lab.report import shipped
from optima_lab.report.claims.run import BY_TASK, OVER_TASKS
from optima_lab.report.draw import NOTEBOOKS
from optima_lab.report.shipped import HOME, lessons, require

ROOT = Path(__file__).parents[2]


def test_a_checkout_reads_the_folder_at_its_top() -> None:
    assert HOME == ROOT / "notebooks"
    require([*NOTEBOOKS, *BY_TASK, *OVER_TASKS, *(path.name for path in lessons())])
    assert [path.name[:2] for path in lessons()] == ["10", "11", "12", "13", "14", "15"]


@pytest.mark.parametrize(
    ("command", "first"),
    [("figures", NOTEBOOKS[0]), ("claims", BY_TASK[0]), ("lessons", "10_what_is_a_bandit.ipynb")],
)
def test_missing_notebooks_are_told_before_anything_is_trained(
    command: str, first: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(shipped, "HOME", tmp_path / "nowhere")
    assert main([command] if command == "lessons" else [command, "--preset", "smoke"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {tmp_path}/nowhere must hold our notebooks; it lacks {first}")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("lost", ["papermill", "ipykernel", "nbconvert", "matplotlib"])
def test_what_runs_them_is_looked_for_too(lost: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipped, "find_spec", lambda name: None if name == lost else name)
    with pytest.raises(NotebookError, match=rf"notebooks need {lost}: pip install 'optima-lab\[notebooks,figures\]'$"):
        require(NOTEBOOKS)


def test_lessons_are_executed_and_a_failure_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from optima_lab.report import notebooks

    def execute_all(jobs: list) -> list:
        assert [job.output for job in jobs] == [tmp_path / "lessons" / path.name for path in lessons()]
        return [notebooks.Result(job, 0.0, error="broken" * (job is jobs[1])) for job in jobs]

    monkeypatch.setattr(notebooks, "execute_all", execute_all)
    assert main(["lessons", "--figures", str(tmp_path)]) == 1
    said = capsys.readouterr()
    assert said.err == "error: broken\n" and said.out == f"gallery: {tmp_path / 'index.html'}\n"


def test_one_version_and_one_licence_everywhere() -> None:
    import yaml

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert project["version"] == citation["version"] == optima_lab.__version__
    assert project["license"] == citation["license"]
    assert f"\n## {project['version']}\n" in (ROOT / "CHANGELOG.md").read_text()
    assert len(citation["preferred-citation"]["authors"]) == 8


def test_the_hosted_workflow_calls_what_everybody_calls() -> None:
    import yaml

    (job,) = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"].values()
    assert job["strategy"]["matrix"]["python"] == ["3.11", "3.13"]
    assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The console command of a wheel that was built from a clean clone, in an environment that lacks nothing else."""
    pytest.importorskip("hatchling", reason="needs the extra 'dev'")
    folder = tmp_path_factory.mktemp("installed")
    run("git", "clone", "--quiet", str(ROOT), str(folder / "clone"))
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    run(*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(folder / "clone"))
    shutil.rmtree(folder / "clone")
    venv.create(folder / "venv", symlinks=True)
    (site,) = (folder / "venv" / "lib").glob("python*/site-packages")
    (wheel,) = folder.glob("*.whl")
    run(*pip, "--python", str(folder / "venv" / "bin" / "python"), "install", "--no-deps", str(wheel))
    (site / "all_else.pth").write_text(
        "".join(f"import site; site.addsitedir({each!r})\n" for each in getsitepackages())
    )
    return folder / "venv" / "bin" / "optima-lab"


def run(*command: str, **more: str) -> subprocess.CompletedProcess[str]:
    """A command that must end well, in an environment that does not know this checkout."""
    known = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | more
    done = subprocess.run(command, env=known, capture_output=True, text=True, cwd=more.get("PWD"))
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.mark.slow
def test_an_installed_wheel_draws_a_gallery_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    import nbconvert

    python = str(installed.parent / "python")
    shared = str(Path(nbconvert.__file__).parents[4] / "share" / "jupyter")  # installed with it
    where = run(python, "-c", "import optima_lab; print(optima_lab.__file__)", PWD=str(tmp_path)).stdout
    assert where.startswith(str(installed.parents[1]))
    done = run(str(installed), "figures", "--preset", "smoke", "--tasks", "vqa", PWD=str(tmp_path), JUPYTER_PATH=shared)
    assert done.stdout.endswith("gallery: figures/index.html\n")
    page = (tmp_path / "figures" / "index.html").read_text()
    assert "arms_compared" in page and (tmp_path / "figures" / "vqa" / "arms_compared.svg").exists()


@pytest.mark.slow
def test_an_installed_command_has_all_helps(installed: Path, tmp_path: Path) -> None:
    assert run(str(installed), "--help", PWD=str(tmp_path)).stdout.startswith("usage: optima-lab [-h]")
    for command in COMMANDS:
        said = run(str(installed), command, "--help", PWD=str(tmp_path)).stdout
        assert re.match(rf"usage: optima-lab {command} ", said)
    assert not list(tmp_path.iterdir())
