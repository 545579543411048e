"""What the code that decides numbers is known by, so that records say by which code they were made.

Only what can change a number counts: docstrings, comments, annotations, imports for them, words of errors do not.
"""

import gc
import os
import sys
from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path

from optima_lab.source.essence import essence

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


@cache
def code_fingerprint() -> str:
    """16 hex digits of the code that decides numbers, as it lay on disk when first asked for."""
    paths = (path for name in DECIDING for path in (LIBRARY / name, *(LIBRARY / name).rglob("*.py")))
    files = sorted(path for path in paths if path.is_file())
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
