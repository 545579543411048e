"""What the code that decides numbers is known by, so that records say by which code they were made.

Only what can change a number counts: docstrings, comments, annotations, imports for them, words of errors do not.
"""

import ast
import gc
import os
import sys
from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path

LIBRARY = Path(__file__).parents[1]
# Rooms and files, and what of them teaches, measures or says, and decides no student's number. The configuration is
# recorded itself; views, notebooks, the command line and progress only show what was recorded.
DECIDING = ("bandits", "data", "distill", "coca", "tasks", "experiments/population.py", "experiments/teachers.py")
ASIDE = (
    *("bandits/environments.py", "bandits/rollout.py", "bandits/recorded.py", "bandits/regret.py"),
    *("bandits/simulate.py", "coca/parameter_counts.py"),
    *("distill/attention.py", "distill/capture.py", "distill/hf.py"),  # models of one's own
    *("distill/optima.py", "distill/options.py", "distill/pairs.py", "distill/terms.py"),
)
TOLD = "OPTIMA_LAB_CODE_TOLD"  # of the environment, so that the processes of a command say it once
_WORDS = {"typing", "collections.abc", "jaxtyping", "__future__"}  # modules that annotations need
_PLACES = {"lineno", "col_offset", "end_lineno", "end_col_offset"}
_NO_NUMBERS = _PLACES | {"annotation", "returns", "type_comment", "type_params", "type_ignores", "kind", "ctx"}


@cache
def code_fingerprint() -> str:
    """16 hex digits of the code that decides numbers, as it lay on disk when first asked for."""
    found = (path for name in DECIDING for path in (LIBRARY / name, *(LIBRARY / name).rglob("*.py")))
    files = sorted(path for path in found if path.is_file())
    collects = gc.isenabled()
    gc.disable()  # trees of thousands of nodes, all alive: looking through them takes as long as making them
    try:
        digest = sha256()
        for path in files:
            name = path.relative_to(LIBRARY).as_posix()
            if name not in ASIDE:
                digest.update(f"{name}\n{essence(path.read_bytes())}\n".encode())
        return digest.hexdigest()[:16]
    finally:
        if collects:
            gc.enable()


def essence(source: str | bytes) -> str:
    """All of a module that can decide a number, as one text that is the same in every version of Python."""
    words: list[str] = []
    _put(ast.parse(source), words)
    return " ".join(words)


def _put(node: ast.AST, words: list[str]) -> None:
    if isinstance(node, ast.stmt) and _says_nothing(node):
        return
    words.append(type(node).__name__)
    if isinstance(node, ast.Raise):  # that it is raised, not in which words
        return
    for name, value in vars(node).items():
        if name in _NO_NUMBERS or value is None:
            continue
        if isinstance(value, ast.AST):
            _put(value, words)
        elif isinstance(value, list):
            words.append("[")
            for each in value:
                _put(each, words) if isinstance(each, ast.AST) else words.append(repr(each))
            words.append("]")
        else:
            words.append(repr(value))


def _says_nothing(node: ast.AST) -> bool:
    """Whether a statement is a text (a docstring), a gap, or there for annotations alone."""
    match node:
        case ast.Expr(ast.Constant()) | ast.Pass() | ast.If(ast.Name("TYPE_CHECKING")):
            return True
        case ast.ImportFrom(module):
            return module in _WORDS
    return False


def tell_other_code(made_elsewhere: Sequence[Path]) -> None:
    """Say once per command that these runs, by folder, were made by other code, and what to do about it."""
    if not made_elsewhere:
        return
    runs, folders = len(made_elsewhere), [*dict.fromkeys(run.parent for run in made_elsewhere)]
    more = f" and {len(folders) - 1} more folders" if len(folders) > 1 else ""
    made = f"{runs} finished runs were" if runs > 1 else "a finished run was"
    tell_once(
        f"note: {made} made by other code than this, in {folders[0]}{more}: numbers may differ from this code's; "
        f"keep them, or train anew after: python -m optima_lab clean {'/'.join(folders[0].parts[-2:])}"
    )


def tell_once(line: str) -> None:
    """Say on stderr what concerns other code, unless this command, or the one that started it, has said so before."""
    if not os.environ.get(TOLD):
        os.environ[TOLD] = "1"
        print(line, file=sys.stderr, flush=True)
