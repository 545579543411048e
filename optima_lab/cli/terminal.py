"""What stands between a command and its terminal: exit codes, errors in one line, streams that lack something."""

import atexit
import os
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from getpass import getuser
from io import TextIOWrapper
from pathlib import Path
from tempfile import mkdtemp

from optima_lab.errors import ConfigError, OptimaError, one_line

CLOSED = 141  # as a shell tells of a process whose reader has gone: 128 + SIGPIPE
_NAME_BYTES = 100  # of what is written below a folder that the user names


def exit_code(call: Callable[[], int]) -> int:
    """Call a command; 0 on success, 1 if a part failed, 2 for wrong input, 130 after Ctrl-C, 141 if nobody reads.

    What its terminal's encoding lacks is printed as '?'.
    """
    _find_home()
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    try:
        code = _returned(call)
        if sys.stdout is not None:  # closed by the caller: nothing was to be said
            sys.stdout.flush()
        return code
    except OptimaError as error:
        return _say(str(error), 2)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] == "optima_lab":
            raise
        return _say(f"this needs the package {error.name!r}: pip install 'optima-lab[all]'", 2)
    except KeyboardInterrupt:
        return _say("\ninterrupted; what is finished is kept, run the same command to go on", 130, "")
    except BrokenPipeError:
        _let_go()
        return CLOSED
    except OSError as error:
        _let_go()
        where = f"{error.filename}: " if error.filename else ""
        return _say(one_line(f"{where}{error.strerror or error}"), 1)


def _find_home() -> None:
    """A home and a name for who has none (a container's user without an entry in passwd): libraries ask for both."""
    home = os.path.expanduser("~")  # "~" itself where nobody knows it
    if home == "~" or not os.path.isdir(home):
        home = mkdtemp(prefix="optima-lab-home-")
        os.environ["HOME"] = home
        atexit.register(shutil.rmtree, home, ignore_errors=True)
    try:
        getuser()
    except (KeyError, OSError):
        os.environ["LOGNAME"] = f"user-{os.getuid()}"


def _returned(call: Callable[[], int]) -> int:
    try:
        return call()
    except SystemExit as ended:  # argparse's, after --help
        return ended.code if isinstance(ended.code, int) else 0


def _say(line: str, code: int, kind: str = "error: ") -> int:
    with suppress(OSError):
        print(f"{kind}{line}", file=sys.stderr, flush=True)
    return code


def _let_go() -> None:
    """What standard output no longer takes goes nowhere: Python would try once more when it ends, and complain."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except OSError:
        with suppress(OSError):  # it has no number
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())
            os.close(nowhere)


def check_folder(name: str, text: str, to_write: bool = False) -> None:
    """Raise ConfigError where no folder can have this name, or one `to_write` into cannot be made there."""
    path = Path(text or ".")
    try:
        with suppress(FileNotFoundError, NotADirectoryError):
            os.lstat(path / ("x" * _NAME_BYTES))
        above = next((place for place in (path, *path.absolute().parents) if place.exists()), path)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(f"{name} must be a folder's path; got {one_line(text, 80)!r}: {why}") from None
    if to_write and not (above.is_dir() and os.access(above, os.W_OK)):
        raise ConfigError(f"{name} must be a folder that can be written; got {one_line(text, 80)!r}: see {above}")
