"""Pictures of the laboratory: the numbers that went in are read back from the drawing."""

import subprocess
import sys

import numpy as np
import pytest
from matplotlib.collections import PathCollection

from optima_lab.bandits.arms import LABELS
from optima_lab.bandits.regret import Interval
from optima_lab.report.figures import bandits

POINTS = np.array([10, 20, 30])
BAND = (np.array([1.0, 2.0, 3.0]), np.array([0.5, 1.5, 2.5]), np.array([1.5, 2.5, 3.5]))


def lines(axes) -> dict:
    """Label → data of the lines drawn."""
    return {line.get_label(): line.get_xydata() for line in axes.lines}


def test_curves_hold_their_bands_and_changes() -> None:
    figure = bandits.curves(POINTS, {"optima": BAND, "mine": BAND}, changes=(15, 25), title="T", ylabel="regret")
    (axes,) = figure.axes
    drawn = lines(axes)
    assert drawn["optima"].tolist() == [[10, 1], [20, 2], [30, 3]] and "mine" in drawn
    dotted = [line.get_xdata()[0] for line in axes.lines if line.get_linestyle() == ":" and len(line.get_xdata()) == 2]
    assert dotted == [15, 25]
    vertices = axes.collections[0].get_paths()[0].vertices
    assert vertices[:, 1].min() == 0.5 and vertices[:, 1].max() == 3.5
    assert axes.get_title(loc="left") == "T" and axes.get_ylabel() == "regret"


def test_world_means_hold_the_table() -> None:
    table = np.arange(14.0).reshape(2, 7)
    figure = bandits.world_means(table, names=LABELS)
    assert {name: data[:, 1].tolist() for name, data in lines(figure.axes[0]).items()}["Txt"] == [1.0, 8.0]


def test_plays_tell_the_best_arm_from_others() -> None:
    arm, best = np.array([0, 1, 1, 2]), np.array([1, 1, 1, 1])
    figure = bandits.plays({"optima": (arm, np.ones(4))}, best)
    wrong, right = (it for it in figure.axes[0].collections if isinstance(it, PathCollection))
    assert wrong.get_offsets().tolist() == [[0, 0], [3, 2]] and right.get_offsets().tolist() == [[1, 1], [2, 1]]
    assert figure.axes[0].get_title(loc="left") == "optima: best arm in 50 % of rounds, reward 4"


def test_ridges_stand_on_their_means_and_show_the_truth() -> None:
    mean, deviation = np.array([[0.2, 0.6], [0.3, 0.5]]), np.full((2, 2), 0.05)
    figure = bandits.ridges([10, 20], mean, deviation, truth=np.array([[0.1, 0.7], [0.1, 0.7]]))
    assert len(figure.axes) == 2
    dots = [line.get_xydata()[0].tolist() for line in figure.axes[1].lines if line.get_marker() == "o"]
    assert dots == [[0.1, 0], [0.7, 1]]
    ridge = next(line for line in figure.axes[1].lines if len(line.get_xdata()) == 400)
    x, height = ridge.get_xdata(), 0 - ridge.get_ydata()
    assert x[height.argmax()] == pytest.approx(0.3, abs=0.002)
    inside = x[height > height.max() * np.exp(-1 / 2)]  # a normal density is e^(-1/2) of its top at one deviation
    assert np.ptp(inside) / 2 == pytest.approx(0.05, abs=0.003)
    assert height.max() == pytest.approx(0.85, abs=0.001), "and does not reach the next arm's base line"


def test_heatmaps_hold_shares_in_per_cent() -> None:
    share = np.array([[1.0, 0.0], [0.25, 0.75], [0.5, 0.5]])
    figure = bandits.heatmap(POINTS, {"a": share, "b": share}, best=np.array([0, 1, 1]))
    mesh = figure.axes[0].collections[0]
    assert np.asarray(mesh.get_array()).tolist() == (100 * share.T).tolist()
    assert lines(figure.axes[1])["best arm of the round"][-1].tolist() == [30, 1]


def test_delays_show_the_median_and_who_never_did() -> None:
    figure = bandits.delays({"optima": np.array([10.0, 20.0, 30.0, np.inf, np.inf])}, limit=100)
    axes = figure.axes[0]
    assert axes.patches[0].get_width() == 30 and axes.texts[0].get_text() == "40 % never"
    assert axes.lines[0].get_xdata().tolist() == [20, 100]


def test_intervals_hold_mean_and_ends() -> None:
    figure = bandits.intervals({"optima": Interval(1.0, 0.5, 2.0)}, "regret", zero=True)
    ends, dot, zero = figure.axes[0].lines
    assert list(ends.get_xdata()) == [0.5, 2.0] and list(dot.get_xdata()) == [1.0] and list(zero.get_xdata()) == [0, 0]


def test_bars_and_matrix_hold_their_numbers() -> None:
    figure = bandits.bars({"x": {"optima": 1.0, "random": 2.0}, "y": {"optima": 3.0, "random": 4.0}}, "share")
    assert [patch.get_height() for patch in figure.axes[0].patches] == [1.0, 3.0, 2.0, 4.0]
    square = np.array([[1.0, 0.25], [0.25, 1.0]])
    figure = bandits.matrix(square, ["a", "b"], "correlation")
    assert [text.get_text() for text in figure.axes[0].texts] == ["1.00", "0.25", "0.25", "1.00"]


def test_importing_it_needs_neither_torch_nor_matplotlib() -> None:
    code = "import sys, optima_lab.report.figures.bandits; print({'torch', 'matplotlib', 'pandas'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"
