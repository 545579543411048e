"""Two questions side by side: the parameters that differ, and the difference of scores paired by seed."""

from pathlib import Path

import pytest
from asked_runs import record
from scipy import stats

import optima_lab
from optima_lab.errors import ConfigError


def test_parameters_and_paired_scores(tmp_path: Path) -> None:
    a = [record(tmp_path, 30.0 + 5 * seed, steps=32, seed=seed) for seed in range(3)]
    b = [record(tmp_path, 31.0 + 6 * seed, steps=64, seed=seed) for seed in range(3)]
    found = optima_lab.compare(a, b)
    assert found.parameters.values.tolist() == [["steps", "32", "64"]]
    row = found.scores.set_index("strategy").loc["optima"]
    half = stats.t.ppf(0.975, 2) * 1 / 3**0.5  # differences 1, 2, 3
    assert (row["n"], row["a"], row["b"], row["difference"]) == (3, 35.0, 37.0, 2.0)
    assert [row["low"], row["high"]] == pytest.approx([2 - half, 2 + half])
    assert "VQA, OPTIMA: 35.0 → 37.0, difference +2.0" in repr(found) and "steps: 32 → 64" in repr(found)
    assert "steps" in found._repr_html_()


def test_one_seed_has_no_interval_and_what_has_no_partner_is_named(tmp_path: Path) -> None:
    a = record(tmp_path, 30.0)
    found = optima_lab.compare(a, [record(tmp_path, 29.0, decay=0.5), record(tmp_path, 50.0, seed=1)][1])
    assert found.scores.empty and "OPTIMA (vqa, seed 0)" in found.unpaired
    one = optima_lab.compare(a, record(tmp_path, 29.0, steps=64))
    assert "difference −1.0 (one seed: no interval)" in repr(one)


def test_two_strategies_of_one_experiment(tmp_path: Path) -> None:
    a = record(tmp_path, 30.0)
    found = optima_lab.compare(a, a, ("img", "optima"))
    assert found.scores["strategy"].tolist() == ["Img → OPTIMA"]
    assert found.parameters.set_index("name").loc["decay"].tolist() == ["–", "0.98"]
    with pytest.raises(ConfigError, match="a must have a run of 'Imgs'; it has img, optima"):
        optima_lab.compare(a, a, ("Imgs", "optima"))


def test_a_side_of_several_questions_is_refused(tmp_path: Path) -> None:
    a, b = record(tmp_path, 30.0), record(tmp_path, 40.0, steps=64)
    with pytest.raises(ConfigError, match="a must be one question, got two runs of img"):
        optima_lab.compare([a, b], b)
