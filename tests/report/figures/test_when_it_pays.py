"""Differences through training: by hand, read back from the figures."""

import numpy as np
import pandas as pd
import pytest
from recorded_runs import ROUND_STEPS, ROUNDS, Records, score_at

from optima_lab.report.figures import when_it_pays as figures

LAST = ROUNDS * ROUND_STEPS


def evals_of(values: dict[str, list[list[float]]], task: str = "vqa") -> pd.DataFrame:
    """Dev scores: strategy → seed → one for each of steps 10, 20, …"""
    rows = [
        {"task": task, "experiment": f"e{seed}", "seed": seed, "strategy": name, "split": "dev", "metric": "score"}
        | {"step": 10 * (place + 1), "round": place + 1, "value": value}
        for name, seeds in values.items()
        for seed, curve in enumerate(seeds)
        for place, value in enumerate(curve)
    ]
    return pd.DataFrame(rows)


def test_differences_are_paired_by_seed_and_step():
    # Seeds differ by 20 points, pairs do not: +1, +2 and +3 at step 10, mean 2; t(2; .975) = 4.303, sd = 1, /√3.
    ours, full = [[51.0, 60.0], [72.0, 80.0], [93.0, 90.0]], [[50.0, 60.0], [70.0, 80.0], [90.0, 90.0]]
    evals = evals_of({"optima": ours, "img+txt+multi": full})
    curve = figures.difference_curve(evals, "optima")
    assert curve["step"].tolist() == [10, 20] and curve["n"].tolist() == [3, 3]
    assert curve["mean"].tolist() == [2.0, 0.0]
    assert curve["half"].tolist() == pytest.approx([4.3027 / 3**0.5, 0.0], rel=1e-4)
    assert np.isnan(figures.difference_curve(evals[evals["seed"] < 2], "optima")["half"]).all(), "two say nothing"


def test_a_seed_without_its_partner_is_not_paired_with_another():
    evals = evals_of({"optima": [[51.0], [99.0]], "img+txt+multi": [[50.0]]})
    curve = figures.difference_curve(evals, "optima")
    assert curve["mean"].tolist() == [1.0] and curve["n"].tolist() == [1] and np.isnan(curve["half"][0])
    assert figures.difference_curve(evals, "random").empty


def test_curves_of_recorded_runs(three: Records) -> None:
    figure = figures.difference_curves(three.evals, epoch=50.0)
    (axes,) = figure.axes
    (line,) = [line for line in axes.lines if line.get_label() == "Multi"]
    expected = np.mean([score_at("multi", LAST, s) - score_at("img+txt+multi", LAST, s) for s in range(3)])
    assert line.get_ydata()[-1] == pytest.approx(expected) and line.get_xdata()[-1] == LAST / 50
    assert axes.get_xlabel() == "epochs of training" and "over 3 seeds" in figure.get_supxlabel()


def test_one_seed_has_no_bands_and_no_partner_is_said(one: Records) -> None:
    assert "fewer than 3 seeds: no bands" in figures.difference_curves(one.evals).get_supxlabel()
    alone = figures.difference_curves(one.evals[one.evals["strategy"] == "optima"])
    assert alone.axes[0].texts[0].get_text() == "no seed has both LWD and another strategy"


def test_the_samplers_spread_by_hand():
    # Means reach from 0.01 to 0.05; after 8 plays each draws spread by 1/3: 0.04 · 3 = 0.12.
    rounds = pd.DataFrame(
        {
            "task": "vqa",
            "experiment": "e0",
            "round": [1, 2],
            "step": [4, 8],
            "strategy": "optima",
            "initial": [True, False],
            "mean_before": [[0.0] * 7, [0.01, 0.05, 0.02, 0.02, 0.02, 0.02, 0.02]],
            "plays_before": [[0.0] * 7, [8.0] * 7],
        }
    )
    assert figures.sampler_spread(rounds)["ratio"].tolist() == pytest.approx([0.12])
    assert figures.sampler_spread(rounds[:1]).empty


def test_three_axes_of_one_evaluation():
    evals = evals_of({"optima": [[51.0], [73.0]], "img+txt+multi": [[50.0], [70.0]]})
    summary = {"counts": {"train": 100}, "config": {"batch_size": 20}, "teacher": {"score_dev": 90.0}}
    rounds = pd.DataFrame(columns=["task", "experiment", "round", "step", "strategy", "initial", "mean_before"])
    table = figures.against_three(evals, rounds.assign(plays_before=None), {"vqa": summary}, "optima")
    (row,) = table.to_dict("records")
    assert (row["epochs"], row["gap"], row["difference"], row["n"]) == (2.0, 30.0, 2.0, 2)
    figure = figures.when_it_pays(evals, rounds.assign(plays_before=None), {"vqa": summary})
    assert [axes.lines[-1].get_ydata().tolist() for axes in figure.axes[:2]] == [[2.0], [2.0]]
    assert figure.axes[2].texts[0].get_text() == "nothing recorded"
