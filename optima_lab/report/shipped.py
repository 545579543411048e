"""The notebooks that travel with the library: where they lie, whether they can be run, and the lessons among them."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import optima_lab
from optima_lab.errors import NotebookError

_PACKAGE = Path(optima_lab.__file__).parent
_IN_WHEEL = _PACKAGE / "_notebooks"  # pyproject.toml puts the folder `notebooks` there
HOME = _IN_WHEEL if _IN_WHEEL.is_dir() else _PACKAGE.parent / "notebooks"
RUNNERS = ("papermill", "ipykernel", "ipywidgets", "nbconvert", "anywidget", "matplotlib")


def require(names: Sequence[str]) -> None:
    """Raise NotebookError, in one line, where notebooks of these names or what runs them are not there."""
    missing = [name for name in names if not (HOME / name).is_file()]
    if missing:
        raise NotebookError(f"{HOME} must hold our notebooks; it lacks {', '.join(missing)}: install optima-lab anew")
    lacking = [name for name in RUNNERS if find_spec(name) is None]
    if lacking:
        raise NotebookError(f"notebooks need {', '.join(lacking)}: pip install 'optima-lab[notebooks,figures]'")


def lessons() -> list[Path]:
    """The notebooks on bandits, which need no records: 10 and above."""
    return sorted(HOME.glob("1*.ipynb"))


def require_lessons() -> None:
    """Raise NotebookError where the lessons or what runs them are not there."""
    require([path.name for path in lessons()] or ["10_what_is_a_bandit.ipynb"])


def execute_lessons(figures: Path) -> tuple[list[str], Path]:
    """Execute the lessons into `figures/lessons` and build the gallery; what failed, a line each, and the gallery."""
    from optima_lab.report.gallery import build
    from optima_lab.report.notebooks import Job, execute_all

    jobs = [Job(path, figures / "lessons" / path.name, {"figures": figures}) for path in lessons()]
    failed = [result.error for result in execute_all(jobs) if result.error]
    return failed, build(figures)
