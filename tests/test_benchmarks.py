"""What benchmarks say: ratios turn by turn, goals met or not, and one line for a name that is none."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import __main__ as all_of_them
from benchmarks._laptop import in_turns, line, ratios


def test_runs_take_turns_after_warming_up() -> None:
    order: list[str] = []
    took = in_turns({name: lambda name=name: order.append(name) for name in "ab"}, repeats=3, warm=1)
    assert order == ["a", "b"] * 4
    assert [len(seconds) for seconds in took.values()] == [3, 3]
    assert ratios([2.0, 9.0], [1.0, 3.0]) == [2.0, 3.0]


@pytest.mark.parametrize(("most", "said"), [(1.10, "wanted <= 1.10: yes"), (1.09, "wanted <= 1.09: NO")])
def test_a_goal_is_judged_as_it_is_printed(capsys: pytest.CaptureFixture[str], most: float, said: str) -> None:
    line("ours / theirs", [1.0, 1.104, 3.0], most)
    printed = capsys.readouterr().out
    assert printed.startswith("ours / theirs") and "1.10" in printed and printed.endswith(f"{said}\n")


def test_what_is_printed_is_kept(tmp_path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(all_of_them, "RESULTS", tmp_path / "RESULTS.md")
    monkeypatch.setattr("sys.argv", ["benchmarks", "gpu"])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # else it would really measure
    assert all_of_them.main() == 0
    kept = (tmp_path / "RESULTS.md").read_text()
    assert "`python -m benchmarks.gpu`" in kept and "torch " in kept.split("`python")[0]


def test_an_unknown_benchmark_is_told_before_any_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["benchmarks", "steps", "nothing"])
    assert all_of_them.main() == 2
    assert capsys.readouterr().err.startswith("error: a benchmark must be one of attempts, bandits, ")


def test_every_benchmark_can_be_started_outside_of_the_tests() -> None:
    """Where nothing has put the tests' folder on the path."""
    wanted = "; ".join(f"import benchmarks.{name}" for name in all_of_them.names())
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", wanted], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
