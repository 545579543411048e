"""What claims are measured by, with numbers worked out by hand: each in the unit that its claim names."""

import numpy as np
import pandas as pd
import planted
import pytest

from optima_lab.bandits.arms import LABELS
from optima_lab.report.claims import evidence, evidence_bandit

FULL = "Img+Txt+Multi"


def wide(**tasks: list[list[float]]) -> pd.DataFrame:
    """Scores by task and seed; a list for each strategy."""
    parts = {task: pd.DataFrame(np.transpose(columns)) for task, columns in tasks.items()}
    return pd.concat(parts, names=["task", "seed"])


def test_scatter_is_the_median_over_strategies() -> None:
    """Deviations 1, 2 and 6 of three seeds: the median 2, by √(ln 2) = 0.83255, the median of χ²(2)/2 under a root."""
    scores = wide(vqa=[[0, 1, 2], [0, 2, 4], [0, 6, 12]], coco=[[0, 10, 20], [0, 20, 40], [0, 30, 60]])
    assert evidence.scatter(scores).to_dict() == pytest.approx({"vqa": 2 / 0.83255, "coco": 20 / 0.83255}, rel=1e-4)


def test_scatter_of_normal_scores_is_theirs() -> None:
    """Without the correction of 0.92 five seeds of scatter 3 would look like 2.75."""
    scores = np.random.default_rng(0).normal(0, 3, (4001, 5))
    assert evidence.scatter(wide(vqa=scores.tolist()))["vqa"] == pytest.approx(3, abs=0.05)


@pytest.mark.parametrize(
    ("strategies", "expected"),
    [
        ([[5, 5, 5], [7, 7, 7], [0, 1, 2]], np.sqrt(1 / 3) / np.sqrt(np.log(2))),
        ([[5, 5, 5], [7, 7, 7]], 0.0),
        ([[0.1, 0.1 + 1e-15, 0.1]], 0.0),
        ([[5.0]], np.nan),
    ],
)
def test_scatter_where_most_strategies_have_none(strategies: list[list[float]], expected: float) -> None:
    """One of three has deviation 1: the root mean square is √(1/3); none has: 0; one seed: unknown."""
    found = evidence.scatter(wide(nlvr2=[list(map(float, each)) for each in strategies]))
    assert found["nlvr2"] == pytest.approx(expected, nan_ok=True)


def test_means_of_arms_are_compared_by_the_average_over_arms() -> None:
    """Means .1, .2, … .7 (average .4): the arm of all leads Img by (.7 - .1)/.4 = 1.5, Txt+Multi by .25."""
    rounds = planted.rounds(seeds=1, tasks=("vqa",), length=16)
    rounds["mean_after"] = [np.arange(1, 8) / 10 for _ in range(len(rounds))]
    found = evidence_bandit.full_leads(planted.recorded({}, rounds=rounds))
    assert found["value"].astype(float).tolist() == pytest.approx([1.5, 1.25, 1.0, 0.75, 0.5, 0.25])
    assert found["comparison"].tolist() == [f"{FULL} − {arm}" for arm in LABELS[:-1]]
    ten = planted.recorded({}, rounds=rounds.assign(mean_after=[np.arange(1, 8) for _ in range(len(rounds))]))
    assert evidence_bandit.full_leads(ten)["value"].astype(float).tolist() == pytest.approx(found["value"].tolist())


def test_speedups_are_compared_with_nine_tenths_of_the_papers() -> None:
    """5.58 s by 1 s is 0.9 · 6.2: log 1 = 0; 3.4 s by 1 s is a tenth more than 0.9 · 3.4: log(1/0.9) = 0.10536."""
    models = {"Large": [5.58, 3.4], "Tiny6": [1.0, 1.0], "Tiny12": [1.0, 1.0]}
    found = evidence.speedups(planted.recorded({}, speed={"models": models}))
    tiny12, tiny6 = (found[found["comparison"].str.startswith(name)]["value"].tolist() for name in ("Tiny12", "Tiny6"))
    assert tiny6[0] == pytest.approx(0, abs=1e-12) and tiny12[1] == pytest.approx(0.10536, abs=1e-5)
