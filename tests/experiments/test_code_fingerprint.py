"""Records say by which code they were made: what can change a number counts, words and views do not."""

import os
import shutil
from pathlib import Path

import pytest
from fuzz_targets import run_folder

from optima_lab.experiments import code_fingerprint as module
from optima_lab.experiments.code_fingerprint import (
    ASIDE,
    DECIDING,
    LIBRARY,
    TOLD,
    code_fingerprint,
    essence,
    tell_other_code,
)
from optima_lab.experiments.records import of_other_code, read_json, write_json
from optima_lab.experiments.run import open_experiments

SOURCE = '''"""What it does."""
from collections.abc import Sequence
from typing import TYPE_CHECKING

from optima_lab.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor


def hidden_loss(student: "Tensor", teacher: "Tensor", weight: float = 0.5) -> "Tensor":
    """Eq. 3."""
    # the mean over tokens
    total: float = 0.0
    if weight > 1:
        raise ConfigError(f"weight must be at most 1, got {weight}")
    return weight * (student - teacher).square().mean() + total
'''


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"""Eq. 3."""', '"""Eq. 3 of the paper,\n\n    with more words."""'),
        ('    """Eq. 3."""\n', ""),
        ('"""What it does."""', ""),
        ("# the mean over tokens", "# another comment"),
        ("weight: float = 0.5", "weight: float | int = 0.5"),
        ('-> "Tensor"', ""),
        ("from collections.abc import Sequence", "from collections.abc import Mapping, Sequence"),
        ("    from torch import Tensor", "    from torch import Tensor, nn"),
        ("at most 1, got", "1 or less, got"),
        ("weight * (student", "weight * ((student"),
    ],
)
def test_words_do_not_count(old: str, new: str) -> None:
    edited = SOURCE.replace(old, new)
    edited = edited.replace(".square()", ").square()") if new.endswith("((student") else edited
    assert edited != SOURCE and essence(edited) == essence(SOURCE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("= 0.5", "= 0.6"),
        ("student - teacher", "teacher - student"),
        ("student - teacher", "student + teacher"),
        (".mean()", ".sum()"),
        ("weight > 1", "weight >= 1"),
        ("weight > 1", "weight > 1.0"),
        ("    return", "    total += 1\n    return"),
        ("from optima_lab.errors", "from optima_lab.others"),
        ('        raise ConfigError(f"weight must be at most 1, got {weight}")', "        weight = 1"),
        ("total: float = 0.0", "total: float"),
        ("def hidden", "@twice\ndef hidden"),
    ],
)
def test_what_can_change_a_number_counts(old: str, new: str) -> None:
    edited = SOURCE.replace(old, new)
    assert edited != SOURCE and essence(edited) != essence(SOURCE)


def fingerprint_of(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(module, "LIBRARY", folder)
    return code_fingerprint.__wrapped__()


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("distill/losses.py", True),
        ("bandits/policies/ema.py", True),
        ("data/synthetic/grammar.py", True),
        ("experiments/population.py", True),
        ("experiments/teachers.py", True),
        ("report/figures/scores.py", False),
        ("__main__.py", False),
        ("progress.py", False),
        ("bandits/regret.py", False),
    ],
)
def test_rooms_that_decide_numbers_are_looked_at(
    name: str, counts: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = shutil.copytree(LIBRARY, tmp_path / "optima_lab", ignore=shutil.ignore_patterns("__pycache__", "*.js"))
    assert fingerprint_of(copy, monkeypatch) == code_fingerprint()
    text = (copy / name).read_text()
    (copy / name).write_text(f"{text}\n# a comment\n")
    assert fingerprint_of(copy, monkeypatch) == code_fingerprint()
    (copy / name).write_text(f"{text}\nMORE = 1\n")
    assert (fingerprint_of(copy, monkeypatch) != code_fingerprint()) == counts


def test_what_is_named_is_there() -> None:
    assert all((LIBRARY / name).exists() for name in (*DECIDING, *ASIDE))


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three finished runs of this code, and nothing said yet."""
    monkeypatch.setenv(TOLD, "")
    run_folder(tmp_path)
    for path in tmp_path.glob("runs/*/*/s*/run.json"):
        write_json(path, {**read_json(path), "code": code_fingerprint()})
    return tmp_path / "runs"


@pytest.mark.parametrize("code", ["0" * 16, "", None])
def test_runs_of_other_code_are_said_once_with_what_to_do(
    code: str | None, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    open_experiments(runs)
    assert capsys.readouterr().err == ""
    (folder,) = runs.glob("*/*")
    for name in ("s0", "s1"):
        about = {k: v for k, v in read_json(folder / name / "run.json").items() if k != "code"}
        write_json(folder / name / "run.json", about if code is None else {**about, "code": code})
    assert of_other_code(folder.glob("s*")) and len(of_other_code(folder.glob("s*"))) == 2
    assert len(open_experiments(runs)) == 1, "not refused"
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"note: 2 finished runs were made by other code than this, in {folder}: numbers may differ")
    assert line.endswith("train anew after: python -m optima_lab clean vqa/smoke-s0-12345678")
    assert os.environ[TOLD]
    open_experiments(runs)
    assert capsys.readouterr().err == "", "once per command, its processes included"


def test_other_folders_are_counted(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOLD, "")
    tell_other_code([Path(f"runs/{task}/laptop-s0-1a2b3c4d/img") for task in ("vqa", "coco", "nlvr2")])
    assert "3 finished runs were" in (said := capsys.readouterr().err) and " and 2 more folders: " in said
