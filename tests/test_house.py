"""The house keeps its shape: one direction of imports, light doors, small files, tables and commands that resolve."""

import ast
import importlib
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from optima_lab.bandits.arms import COCA
from optima_lab.display import STRATEGIES

ROOT = Path(__file__).parents[1]
LIBRARY = ROOT / "optima_lab"
MODULES = sorted(LIBRARY.rglob("*.py"))
# Who may import whom: a room imports itself and the rooms before it (DESIGN, The house).
ORDER = (
    ("errors", "progress"),
    ("files", "source"),
    ("config",),
    ("presets",),
    ("bandits",),
    ("display",),
    ("distill",),
    ("coca",),
    ("data",),
    ("tasks",),
    ("experiments",),
    ("widgets", "report"),
    ("lessons",),
    ("cli",),
    ("__main__",),
)
RANK = {room: rank for rank, rooms in enumerate(ORDER) for room in rooms}


def imported(path: Path) -> Iterator[str]:
    """Every module named by an import of a file, also inside functions; `from a import b` names a and a.b."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}:{node.lineno}: imports are absolute"
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room(name: str) -> str:
    """'report' of 'optima_lab.report.figures.scores'."""
    return [*name.split("."), ""][1]


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_imports_flow_one_way(path: Path) -> None:
    here = room(module_name(path))
    if not here:  # optima_lab/__init__.py: lazy, tested below
        return
    assert here in RANK, f"say in ORDER where {here} stands"
    rooms = {room(name) for name in imported(path) if name.startswith("optima_lab.")} & set(RANK)
    above = {name for name in rooms if RANK[name] > RANK[here]}
    assert not above, f"{here} stands below {', '.join(sorted(above))} and must not import it"


def graph() -> dict[str, set[str]]:
    """Module → the modules of ours that it imports, wherever in it the import stands."""
    names = {module_name(path): path for path in MODULES}
    return {name: {other for other in imported(path) if other in names} - {name} for name, path in names.items()}


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Strongly connected components: imports inside functions and for type checkers count."""
    edges = graph()
    del edges["optima_lab"]  # its names are lazy: the door to all rooms

    def reach(start: str) -> set[str]:
        seen, left = set[str](), [start]
        while left:
            for other in edges.get(left.pop(), ()):
                if other not in seen:
                    seen.add(other)
                    left.append(other)
        return seen

    far = {name: reach(name) for name in edges}
    circles = {
        frozenset(other for other in far[name] if name in far.get(other, ())) for name in edges if name in far[name]
    }
    assert not circles, [sorted(circle) for circle in circles]


def test_what_strategies_are_called_is_no_key() -> None:
    """They are looked up by their texts; names stand in display.py, the short ones of modules in arms.py."""
    names = {look.name for key, look in STRATEGIES.items() if look.name != key}
    found = []
    for path in [path for path in MODULES if path.name != "display.py"]:
        known = names - {*COCA.shorts} if path.name == "arms.py" else names
        texts = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)]
        found += [f"{module_name(path)}:{node.lineno}: {node.value!r}" for node in texts if node.value in known]
    assert not found, "a key must be the strategy's text ('optima'); display.name_of is for readers"


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_files_are_small(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 300


def test_insides_of_open_clip_are_touched_where_they_are_known() -> None:
    inner = re.compile(r"open_clip\.[a-z]")
    inside = {str(p.relative_to(LIBRARY)) for p in MODULES if any(inner.match(name) for name in imported(p))}
    rooms = {path for path in inside if not path.startswith("coca/")}
    assert rooms == {"data/tokenizers.py"}, "open_clip's tokenizer, for released weights"


def test_the_core_of_distillation_knows_no_model_and_no_data() -> None:
    core = [path for path in (LIBRARY / "distill").rglob("*.py") if path.name != "hf.py"]  # for those who have it
    names = {name for path in core for name in imported(path)}
    outside = {name.split(".")[0] for name in names} - sys.stdlib_module_names
    assert outside <= {"numpy", "torch", "jaxtyping", "timm", "optima_lab"}
    assert not {room(name) for name in names if name.startswith("optima_lab.")} & {"coca", "data", "tasks"}


def test_the_equations_load_neither_open_clip_nor_timm() -> None:
    code = (
        "import sys, optima_lab.distill.losses; print(*sorted({'open_clip', 'timm', 'torchvision'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_bandits_need_numpy_and_scipy_alone() -> None:
    names = {name.split(".")[0] for path in (LIBRARY / "bandits").rglob("*.py") for name in imported(path)}
    assert names - sys.stdlib_module_names <= {"numpy", "scipy", "optima_lab"}


def all_modules(package: str) -> list[str]:
    return [module_name(path) for path in MODULES if module_name(path).split(".")[:2] == ["optima_lab", package]]


@pytest.mark.parametrize(
    ("modules", "heavy"),
    [
        (["optima_lab"], {"torch", "matplotlib", "numpy", "pandas"}),
        (["optima_lab.bandits"], {"torch", "matplotlib", "pandas"}),
        (["optima_lab.report"], {"torch"}),
        (all_modules("bandits"), {"torch", "matplotlib", "pandas"}),
        (all_modules("report") + all_modules("widgets"), {"torch", "open_clip", "torchvision"}),
        (
            ["optima_lab.config", "optima_lab.experiments.records", "optima_lab.experiments.run", "optima_lab.cli"],
            {"torch"},
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_doors_are_light(modules: list[str], heavy: set[str]) -> None:
    code = f"import sys, {', '.join(modules)}; print(*sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


# --- pyproject.toml, requirements.lock, environment.yml ---------------------------------------------------------------


TESTED = ("all", "dev", "cluster", "hf", "onnx", "tensorboard", "wandb", "mlflow", "voila")  # extras in the lock


def requirements() -> list[str]:
    """What pyproject.toml asks for, with the tools of development and all that tests run."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return sorted({*project["dependencies"], *(each for name in TESTED for each in extra(name))})


def extra(name: str) -> list[str]:
    """The requirements of an extra of ours, and of those that it names."""
    found = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"][name]
    ours = [re.fullmatch(r"optima-lab\[([a-z,]+)\]", each) for each in found]
    named = [each for match in ours if match for other in match[1].split(",") for each in extra(other)]
    return [*named, *(each for each, match in zip(found, ours, strict=True) if not match)]


def locked() -> dict[str, tuple[str, str]]:
    """Version and asking packages of every line of requirements.lock."""
    text = (ROOT / "requirements.lock").read_text()
    found = re.findall(r"^([a-z0-9-]+)==([^ ;\\]+)[^\n]*\n((?:    .*\n)+)", text, re.MULTILINE)
    assert all("--hash=sha256:" in lines for _, _, lines in found), "every requirement has its hashes"
    return {name: (version, lines) for name, version, lines in found}


def plain(requirement: str) -> str:
    """'open-clip-torch' of 'open_clip_torch>=3.3,<4'."""
    return re.split(r"[^A-Za-z0-9_.-]", requirement)[0].lower().replace("_", "-").replace(".", "-")


@pytest.mark.parametrize("requirement", requirements())
def test_every_requirement_is_locked_within_its_range(requirement: str) -> None:
    from packaging.requirements import Requirement

    version, asked_by = locked()[plain(requirement)]
    assert Requirement(requirement).specifier.contains(version)
    assert "optima-lab (pyproject.toml)" in asked_by, "run: make lock"


def test_nothing_is_locked_that_pyproject_no_longer_asks_for() -> None:
    asked = {name for name, (_, lines) in locked().items() if "optima-lab (pyproject.toml)" in lines}
    assert asked == {plain(requirement) for requirement in requirements()}


OPTIONAL = {
    "distributed",
    "mlflow",
    "tensorboard",
    "transformers",
    "wandb",
}  # looked for before they are used, or extras of one file


def test_what_the_library_imports_is_declared() -> None:
    """By its own name in pyproject.toml, not only by being what another requirement needs."""
    from importlib.metadata import packages_distributions

    known = packages_distributions()
    names = {name.split(".")[0] for path in MODULES for name in imported(path)} - sys.stdlib_module_names - OPTIONAL
    needed = {plain(known[name][0]) for name in names - {"optima_lab"}}
    core = {plain(each) for each in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]}
    assert needed - core <= {plain(each) for each in extra("all")}


def test_the_core_needs_no_jupyter_and_no_coca() -> None:
    """`pip install optima-lab` alone: bandits, and the losses and rewards of distillation."""
    core = {plain(each) for each in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]}
    files = [
        *(LIBRARY / "bandits").rglob("*.py"),
        LIBRARY / "distill" / "losses.py",
        LIBRARY / "distill" / "rewards.py",
    ]
    names = {name.split(".")[0] for path in files for name in imported(path)} - sys.stdlib_module_names
    assert names - {"optima_lab"} <= core
    assert core <= {"filelock", "jaxtyping", "numpy", "scipy", "torch", "tqdm"}


def test_the_lock_names_no_index() -> None:
    options = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if line.startswith("-")]
    assert options == []


def test_conda_takes_the_requirements_from_pyproject() -> None:
    import yaml

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert f"python{project['requires-python']}" in environment["dependencies"]
    assert {"pip": [f"--editable .[{','.join(TESTED)}]"]} in environment["dependencies"], (
        "pip must read pyproject.toml, not a copy"
    )
    assert environment["name"] == project["name"]


# --- commands and tables ----------------------------------------------------------------------------------------------


def targets() -> dict[str, str]:
    """The targets of the Makefile that a user calls, each with its line of help."""
    text = (ROOT / "Makefile").read_text()
    names = re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    assert names
    lines = dict(re.findall(r"^([a-z]+):[^#\n]*## (.+)$", text, re.MULTILINE))
    return {name: lines.get(name, "") for name in names[1].split() if name != "active"}


def variables() -> list[str]:
    """The variables of the Makefile that a user may set."""
    return ["PYTHON", *re.findall(r"^([A-Z]+) +\?=", (ROOT / "Makefile").read_text(), re.MULTILINE)]


def test_make_prints_every_target_with_a_line() -> None:
    printed = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    habits = "setup lab figures notebooks test check format bench docs clean help"
    assert set(habits.split()) <= set(targets())
    for name, line in targets().items():
        assert line, f"target {name} needs a line of help"
        assert re.search(rf"^  make {name} +{re.escape(line)}$", printed, re.MULTILINE)


def test_the_help_of_make_fits_a_terminal() -> None:
    printed = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert max(map(len, printed.splitlines())) <= 80


@pytest.mark.parametrize("wrong", ["TASK=vqa", "SEED=3", "PRESETS=smoke"])
def test_make_refuses_a_variable_that_it_would_ignore(wrong: str) -> None:
    done = subprocess.run(
        ["make", "--no-print-directory", "-n", "figures", wrong], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 2 and done.stdout == ""
    assert f"the variable is {'PRESET' if 'PRESETS' in wrong else wrong.partition('=')[0] + 'S'}, not" in done.stderr
    named = {"env": os.environ | {"TASK": "vqa"}, "capture_output": True, "text": True}
    assert subprocess.run(["make", "-n", "figures"], cwd=ROOT, **named).returncode == 2


def test_continuous_integration_calls_make_check() -> None:
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111, ".ci/run must be executable"
    assert script.read_text().rstrip().endswith("\nmake check")


TEXTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def commands(path: Path) -> list[str]:
    """Every command that a text shows: lines of its code blocks, and code within sentences."""
    text = path.read_text()
    blocks = re.findall(r"^```[a-z]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    lines = [line.split(" #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in (*lines, *inline) if re.search(r"(^|[ =])(make|python -m optima_lab)( |$)", line)]


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_every_command_that_is_shown_exists(path: Path) -> None:
    for line in commands(path):
        words = [word for word in shlex.split(line.split(" make ")[-1].split(" && ")[-1]) if word != "…"]
        if words[:3] == ["python", "-m", "optima_lab"]:
            assert _is_read(words[3:]), line
        else:
            given = dict(word.split("=", 1) for word in words if "=" in word)
            assert set(given) <= set(variables()), line
            assert {word for word in words if "=" not in word} <= {"make", *targets()}, line
            if "figures" in words:
                assert _is_read(["figures", *shlex.split(given.get("ARGS", ""))]), line


def _is_read(words: list[str]) -> bool:
    """Whether the command line knows these words; --help ends it after it has read what stands before."""
    from optima_lab.cli import main

    try:
        return main([*words, "--help"]) == 0
    except SystemExit as ended:
        return ended.code == 0


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_every_file_and_function_that_is_named_exists(path: Path) -> None:
    text = path.read_text()
    missing = [name for name in re.findall(r"`([^`\n]+)`", text) if not resolves(name)]
    missing += [link for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text) if not (path.parent / link).exists()]
    assert not missing, f"{path.name} names what does not exist: {', '.join(missing)}"


def resolves(name: str) -> bool:
    """Whether a name that looks like one of our files or functions is one; other code is not looked at."""
    name = name.strip().removesuffix("()")
    made = ("figures/", "runs/", "../", "/", "~", ".venv")  # what commands make, and what lies outside
    if re.fullmatch(r"[\w./-]+\.(py|ipynb|md|yml|toml|lock|js|csv)", name):
        return name.startswith(made) or any((folder / name).exists() for folder in (ROOT, LIBRARY, ROOT / "notebooks"))
    rooms = [path.stem for path in LIBRARY.iterdir() if path.suffix == ".py" or path.is_dir()]
    if not re.fullmatch(rf"(optima_lab|{'|'.join(rooms)})(\.\w+)+", name):
        return True
    return _attribute(name if name.startswith("optima_lab.") else f"optima_lab.{name}")


def _attribute(name: str) -> bool:
    try:
        importlib.import_module(name)
        return True
    except ImportError:
        parent, _, last = name.rpartition(".")
        if parent in ("", "optima_lab"):
            return False
        try:
            return hasattr(importlib.import_module(parent), last)
        except ImportError:
            return False


def test_there_is_a_readme_with_a_table_of_figures() -> None:
    readme = ROOT / "README.md"
    if not readme.exists():
        pytest.skip("README.md is not written yet")
    rows = [line for line in readme.read_text().splitlines() if line.startswith("|") and ".ipynb" in line]
    drawn = {path.stem for path in (ROOT / "notebooks").glob("0[1-9]_*.ipynb")}
    in_table = {name for row in rows for name in re.findall(r"(\w+)\.ipynb", row)}
    assert drawn <= in_table, f"the table of figures lacks {', '.join(sorted(drawn - in_table))}"


# --- what must not be in the repository -------------------------------------------------------------------------------


def tracked() -> list[Path]:
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("not a git repository")
    return [path for path in (ROOT / name for name in done.stdout.split("\0") if name) if path.is_file()]


def test_no_file_knows_this_machine_or_a_registry() -> None:
    secret = re.compile(
        r"/(?:root|home|work|Users)/\w|files\.pythonhosted|pypi\.org/simple|registry\.npmjs|[-]-index-url"
    )
    texts = ((path, path.read_text(errors="replace")) for path in tracked())
    found = [f"{path.relative_to(ROOT)}: {match[0]}" for path, text in texts if (match := secret.search(text))]
    assert not found


def test_nothing_large_is_committed() -> None:
    large = [str(path.relative_to(ROOT)) for path in tracked() if path.stat().st_size > 1_000_000]
    assert not large


def test_library_and_tests_mirror_each_other() -> None:
    """tests/<room>/test_<file>.py tests optima_lab/<room>/<file>.py, where there is such a folder."""
    for folder in (path for path in (ROOT / "tests").iterdir() if path.is_dir() and any(path.glob("test_*.py"))):
        assert (LIBRARY / folder.name).is_dir(), f"tests/{folder.name} mirrors no room of the library"
