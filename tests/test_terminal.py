"""Odd terminals, users and names: one line at most, the right exit code, and what was computed is shown."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from optima_lab import cli
from optima_lab.cli import main, terminal
from optima_lab.cli.arguments import SET_BY_OPTION
from optima_lab.cli.terminal import check_folder, exit_code
from optima_lab.config.parameters import parameters
from optima_lab.errors import NotebookError

ROOT = Path(__file__).parents[1]
LOOK = ["parameters", "--preset", "smoke"]
# A user of whom the machine knows neither home nor name, as in a container.
NOBODY = """
import pwd
def unknown(_): raise KeyError("no entry")
pwd.getpwuid = pwd.getpwnam = unknown
"""


def shell(line: str, **more: str) -> subprocess.CompletedProcess[str]:
    """A line of bash in which `lab` is the command; exit codes of all of a pipe with pipefail."""
    known = os.environ | {"PYTHONPATH": str(ROOT), "LAB": f"{sys.executable} -m optima_lab"} | more
    script = f'set -o pipefail; lab() {{ $LAB "$@"; }}; {line}'
    return subprocess.run(["bash", "-c", script], env=known, capture_output=True, text=True, errors="replace")


@pytest.mark.parametrize("command", ["status --runs nowhere", "parameters", "sizes", "figures --help"])
def test_a_reader_that_has_gone_is_no_error(command: str) -> None:
    """`true` reads nothing: whatever is written comes too late."""
    done = shell(f"lab {command} | true")
    assert (done.returncode in (0, terminal.CLOSED), done.stderr) == (True, "")


def test_what_cannot_be_written_is_told_once() -> None:
    done = shell("lab parameters > /dev/full")
    assert (done.returncode, done.stderr) == (1, "error: No space left on device\n")


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_may_be_closed(closed: str) -> None:
    done = shell(f"lab parameters {closed}")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("encoding", "said"),
    [
        ({"PYTHONIOENCODING": "ascii"}, "?1 of Eq. 5"),
        ({"PYTHONIOENCODING": "ascii:strict"}, "?1 of Eq. 5"),
        ({"PYTHONIOENCODING": "latin-1"}, "?1 of Eq. 5"),
        ({"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}, "1 of Eq. 5"),
        ({"PYTHONIOENCODING": "utf-8"}, "α1 of Eq. 5"),
    ],
    ids=lambda value: "-".join(value.values()) if isinstance(value, dict) else "",
)
def test_what_the_terminal_lacks_is_replaced(encoding: dict[str, str], said: str) -> None:
    done = shell("lab parameters", **encoding)
    assert (done.returncode, done.stderr) == (0, "")
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("alpha_kl"))
    assert line.endswith(said)


@pytest.mark.parametrize("home", ["", "HOME=/no/such/home", "HOME=relative", "HOME="])
def test_a_user_whom_the_machine_does_not_know(home: str, tmp_path: Path) -> None:
    """Libraries find a home and a name, in this process and those that it starts; nothing of it stays."""
    (tmp_path / "sitecustomize.py").write_text(NOBODY)
    ask = (
        "import getpass, os, subprocess, sys, torch._inductor.runtime.cache_dir_utils as c; from pathlib import Path; "
    )
    ask += "from optima_lab.cli.terminal import exit_code; exit_code(lambda: print(Path.home().is_dir(), "
    ask += "bool(getpass.getuser()), bool(c.default_cache_dir()), os.environ.get('HOME'), flush=True) or 0)"
    found = [f"PYTHONPATH={tmp_path}:{ROOT}", f"TMPDIR={tmp_path}", *([home] if home else [])]
    command = ["env", "-u", "HOME", "-u", "LOGNAME", "-u", "USER", "-u", "LNAME", "-u", "USERNAME", *found]
    done = subprocess.run([*command, sys.executable, "-c", ask], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.split()[:3] == ["True"] * 3, done.stdout + done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["sitecustomize.py"]


def test_a_home_that_is_there_is_left_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LOGNAME", "me")
    assert exit_code(lambda: 0) == 0
    assert (os.environ["HOME"], os.environ["LOGNAME"]) == (str(tmp_path), "me")


LOOP = "loop/a"


@pytest.mark.parametrize("option", ["--runs", "--figures", "--data"])
@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("x" * 300, "File name too long"),
        ("ü" * 150, "File name too long"),  # 300 bytes of UTF-8
        ("a/" * 2500, "File name too long"),
        ("a\0b", "embedded null byte"),
        (LOOP, "Too many levels of symbolic links"),
    ],
)
def test_a_folder_that_cannot_be_is_told_before_anything_is_done(
    option: str,
    name: str,
    why: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop").symlink_to("loop")
    assert main(["figures", "--preset", "smoke", option, name]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"error: {option[2:]} must be a folder's path; got '") and told.endswith(f"': {why}\n")
    assert len(told) < 200 and [path.name for path in tmp_path.iterdir()] == ["loop"]


def test_a_name_that_fits_is_taken(tmp_path: Path) -> None:
    check_folder("runs", str(tmp_path / ("x" * 255)))
    check_folder("figures", str(tmp_path / "new" / "newer"), to_write=True)


def test_figures_that_cannot_be_written_are_told_before_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("mine")
    for name in ("file", "file/below"):
        assert main(["figures", "--preset", "smoke", "--figures", str(tmp_path / name)]) == 2
        assert "figures must be a folder that can be written" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (PermissionError(13, "Permission denied", "/some/file"), 1, "error: /some/file: Permission denied"),
        (OSError("no reason\nin two lines"), 1, r"error: no reason\nin two lines"),
        (NotebookError("a line"), 2, "error: a line"),
        (
            ModuleNotFoundError("No module", name="open_clip.model"),
            2,
            "error: this needs the package 'open_clip.model'",
        ),
        (KeyboardInterrupt(), 130, "\ninterrupted; what is finished is kept"),
        (BrokenPipeError(32, "Broken pipe"), terminal.CLOSED, ""),
    ],
)
def test_whatever_ends_a_command_is_one_line(
    error: BaseException, code: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def call() -> int:
        print("what was computed")
        raise error

    assert exit_code(call) == code
    said = capsys.readouterr()
    assert said.out == "what was computed\n"
    assert said.err.startswith(told) and bool(said.err) == bool(told)


def test_a_mistake_of_our_own_is_not_hidden() -> None:
    with pytest.raises(ModuleNotFoundError):
        exit_code(lambda: __import__("optima_lab.nowhere"))
    with pytest.raises(ZeroDivisionError):
        exit_code(lambda: 1 // 0)


@pytest.mark.parametrize(
    ("error", "ends"), [(OSError(28, "No space left on device"), 1), (NotebookError("drawn badly"), 1)]
)
def test_the_table_is_printed_though_nothing_could_be_drawn(
    error: Exception, ends: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from optima_lab.experiments import sweep
    from optima_lab.report import draw

    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr(sweep.Sweep, "train", lambda self: print("trained"))
    monkeypatch.setattr(draw, "_draw", fails)
    monkeypatch.chdir(tmp_path)
    assert main(["figures", "--preset", "smoke"]) == ends
    said = capsys.readouterr()
    assert said.out.startswith("trained\n") and " s in all" in said.out
    assert said.err.startswith("error: figures: ") and str(error) in said.err


def commands() -> dict[str, Callable]:
    return cli.COMMANDS


@pytest.mark.parametrize("command", commands())
def test_every_command_has_a_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"usage: python -m optima_lab {command}")


def test_the_help_of_train_lists_every_parameter(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    missing = [name for name in parameters() if name not in SET_BY_OPTION and f"--{name} " not in text]
    assert missing == [] and "γ of the moving averages (Eq. 7)" in text


def test_the_console_command_says_its_own_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["/usr/local/bin/optima-lab", "--help"])
    assert main() == 0
    assert capsys.readouterr().out.startswith("usage: optima-lab [-h]")
