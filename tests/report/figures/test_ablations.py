"""Figures of OPTIMA's design: what is drawn is what was planted, and what is missing is said."""

import numpy as np
import pandas as pd
import planted
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from optima_lab.report import statistics
from optima_lab.report.claims.evidence import scores
from optima_lab.report.figures import ablations

GAIN = {"optima": 4.0, "reward=kl": 2.0, "reward=layers": 1.0, "decay=0.5": 0.5, "optima_mean": -1.0}


@pytest.fixture(scope="module")
def runs() -> pd.DataFrame:
    """Two seeds of one task; without noise, so that every drawn number is known."""
    return planted.runs(GAIN, 2, ("vqa",), scatter=0)


def small_print(figure: Figure) -> str:
    return str(figure.get_supxlabel())


@pytest.mark.parametrize(("decay", "expected"), [(0.5, 1.0), (0.25, 0.5), (2**-0.1, 10.0), (0.98, 34.3), (0.99, 69.0)])
def test_half_life_by_hand(decay: float, expected: float) -> None:
    """γ to the power of the half-life is one half."""
    assert statistics.half_life(decay) == pytest.approx(expected, rel=1e-3)
    assert decay ** statistics.half_life(decay) == pytest.approx(0.5)


def test_halflife_draws_every_decay_in_order_on_a_log_axis(runs: pd.DataFrame) -> None:
    axes = ablations.halflife(runs).axes[0]
    assert axes.get_xscale() == "log"
    line = next(line for line in axes.lines if line.get_label() == "OPTIMA")
    x, y = (np.asarray(values, float) for values in line.get_data())
    assert x == pytest.approx([1.0, 3.106, 6.579, 13.513, 34.310, 68.968], abs=1e-3)
    assert y == pytest.approx([70.5, 70, 70, 70, 74, 70])
    last = [line for line in axes.lines if list(np.asarray(line.get_ydata(), float)) == [69.0]]
    assert last and float(np.asarray(last[0].get_xdata(), float)[0]) > x[-1], "the simple mean stands beyond all"
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert labels[0] == "1.0\nγ = 0.5" and "∞" in labels[-1]


def test_reward_design_draws_scores_and_differences(runs: pd.DataFrame) -> None:
    figure = ablations.reward_design(runs)
    left, right = figure.axes[:2]
    rows = [label.get_text() for label in left.get_yticklabels()]
    kl = rows.index("reward: KL only (r_KD)")
    texts = {round(text.get_position()[1]): text.get_text() for text in right.texts}
    assert texts[kl] == "−2.0" and texts[rows.index("reward: hidden and attention only (r_LWD)")] == "−3.0"
    assert {round(text.get_position()[1]): text.get_text() for text in left.texts}[kl] == "72.0"
    assert "not recorded: LWD, attention after softmax" in small_print(figure)


def test_every_seed_is_a_dot_around_its_row_and_the_mean_a_tick() -> None:
    """Three seeds: offsets of −0.8/3, 0 and 0.8/3 rows; the right panel subtracts OPTIMA of the same seed."""
    runs = planted.runs(GAIN, 3, ("vqa",))
    left, right = ablations.reward_design(runs).axes[:2]
    rows = [label.get_text() for label in left.get_yticklabels()]
    place = rows.index("reward: KL only (r_KD)")
    wide = scores(runs)["optima:reward=kl"], scores(runs)["optima"]
    for axes, expected in ((left, wide[0]), (right, wide[0] - wide[1])):
        drawn = np.concatenate([np.asarray(each.get_offsets()) for each in axes.collections])
        dots = drawn[np.round(drawn[:, 1]) == place]
        assert dots[dots[:, 1].argsort()] == pytest.approx(
            np.column_stack([expected, place + np.array([-0.8, 0, 0.8]) / 3])
        )
        tick = next(line for line in axes.lines if list(line.get_ydata()) == [place - 0.32, place + 0.32])
        assert tick.get_xdata() == pytest.approx([expected.mean()] * 2)


def test_a_band_is_one_deviation_to_each_side() -> None:
    runs = planted.runs(GAIN, 3, ("vqa",))
    axes = ablations.halflife(runs).axes[0]
    band = next(each for each in axes.collections if isinstance(each, PolyCollection)).get_paths()[0].vertices
    x = 1.0  # the half-life of γ = 0.5
    seeds = runs.loc[runs["decay"] == 0.5, "score_test"].to_numpy(float)
    ends = np.unique(np.round(band[np.isclose(band[:, 0], x)][:, 1], 9))
    assert ends == pytest.approx([seeds.mean() - seeds.std(ddof=1), seeds.mean() + seeds.std(ddof=1)])


def test_first_plays_and_round_length_have_a_panel_each(runs: pd.DataFrame) -> None:
    first, length = ablations.first_plays_and_round_length(runs).axes[:2]
    assert [label.get_text() for label in first.get_xticklabels()] == ["1", "2", "4"]
    assert [label.get_text() for label in length.get_xticklabels()] == ["4", "8"]
    line = next(line for line in first.lines if line.get_label() == "OPTIMA")
    assert np.asarray(line.get_ydata(), float) == pytest.approx([70, 74, 70])


@pytest.mark.parametrize("draw", [ablations.halflife, ablations.reward_design, ablations.first_plays_and_round_length])
def test_nothing_recorded_is_said_and_one_seed_has_no_spread(draw, runs: pd.DataFrame) -> None:
    empty = draw(runs[:0])
    assert "no seed has finished all" in " ".join(text.get_text() for axes in empty.axes for text in axes.texts)
    one = draw(runs[runs["seed"] == 0])
    assert "one seed: no spread" in small_print(one)
    assert not any(isinstance(each, PolyCollection) for axes in one.axes for each in axes.collections), "no band"


def test_runs_that_did_not_finish_are_not_drawn(runs: pd.DataFrame) -> None:
    stopped = runs.assign(done=runs["own"].map(lambda own: own != {"decay": 0.5}))
    line = next(line for line in ablations.halflife(stopped).axes[0].lines if line.get_label() == "OPTIMA")
    assert len(np.asarray(line.get_xdata(), float)) == 5


def test_stopped_runs_are_marked_by_their_settings(runs: pd.DataFrame) -> None:
    spoilt = runs.assign(stopped=np.where((runs["reward"] == "kl") & (runs["seed"] == 1), "round 3: train loss: x", ""))
    figure = ablations.reward_design(spoilt)
    names = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert [name for name in names if "†" in name] == ["reward: KL only (r_KD) †"]
    told = "† OPTIMA (reward=kl) stopped in round 3: train loss: x (seed 1)"
    assert told in small_print(figure)
    assert told in small_print(ablations.halflife(spoilt)) and "†" not in small_print(ablations.halflife(runs))


def test_means_are_never_of_different_seeds(runs: pd.DataFrame) -> None:
    """A second seed that has the preset's own γ alone, and is far better, lifts no single point."""
    only = runs["own"].map(lambda own: not own) & (runs["strategy"] != "optima_mean")
    short = runs[(runs["seed"] == 0) | only].assign(score_test=lambda r: r["score_test"] + 9.0 * r["seed"])
    for draw, name in ((ablations.halflife, "OPTIMA"), (ablations.first_plays_and_round_length, "OPTIMA")):
        figure = draw(short)
        line = next(line for line in figure.axes[0].lines if line.get_label() == name)
        assert np.asarray(line.get_ydata(), float).max() == 74
        assert "left out: 1 of 2 seeds" in small_print(figure)
        level = next(line for line in figure.axes[0].lines if line.get_label() == "Img+Txt+Multi (LWD)")
        assert set(np.asarray(level.get_ydata(), float)) == {70.0}
    left = ablations.reward_design(short).axes[0]
    assert {text.get_text() for text in left.texts} == {"74.0", "72.0", "71.0", "69.0", "70.0"}
