"""Seaborn's plots: nothing by chance, nothing left behind in matplotlib, a place kept for what is not recorded."""

from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import planted
import pytest
from matplotlib.figure import Figure
from recorded_runs import Records

from optima_lab.report.figures import ablations, bandits, dynamics, statistical
from optima_lab.report.figures import scores as figures
from optima_lab.report.figures.style import canvas, save, style

DELAYS = {"optima": np.array([10.0, 20.0, 30.0, np.inf]), "random": np.array([5.0, 6.0, 9.0, 12.0])}
DRAWN: dict[str, Callable[[Records], Figure]] = {
    "bars_and_dots": lambda it: figures.module_contribution(it.evals),
    "lines_and_bands": lambda it: figures.generalization(it.evals),
    "rows_of_dots": lambda _: ablations.reward_design(planted.runs({}, 3, ("vqa",))),
    "scatter": lambda it: dynamics.mean_accuracy_correlation(it.rounds, it.evals),
    "medians": lambda _: bandits.delays(DELAYS, 100),
    "matrix": lambda _: bandits.matrix(np.eye(3), ["a", "b", "c"], "r"),
}


@pytest.mark.parametrize("name", DRAWN)
def test_same_records_same_bytes_whatever_luck_stands_around(name: str, three: Records, tmp_path: Path) -> None:
    before = dict(mpl.rcParams)
    for seed in (1, 2):
        np.random.seed(seed)  # what seaborn would jitter with  # noqa: NPY002
        save(DRAWN[name](three), tmp_path / str(seed), name)
    for path in (tmp_path / "1").iterdir():
        assert path.read_bytes() == (tmp_path / "2" / path.name).read_bytes(), path.name
    assert {key: value for key, value in mpl.rcParams.items() if value != before[key]} == {}


def scores(**values: list[float]) -> pd.DataFrame:
    return pd.DataFrame([(name, n, v) for name, many in values.items() for n, v in enumerate(many)]).set_axis(
        ["strategy", "seed", "value"], axis=1
    )


def test_a_strategy_without_scores_keeps_its_place() -> None:
    with style():
        _, (axes,) = canvas()
        statistical.bars(axes, scores(Img=[1.0, 3.0], Multi=[5.0, 5.0]), ["Img", "Txt", "Multi"], upright=True)
    assert [(round(bar.get_x() + bar.get_width() / 2, 9), bar.get_height()) for bar in axes.patches] == [(0, 2), (2, 5)]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["Img", "Txt", "Multi"]
    ends = [(np.nanmin(line.get_ydata()), np.nanmax(line.get_ydata())) for line in axes.lines]
    expected = [(2 - np.sqrt(2), 2 + np.sqrt(2)), (5, 5)]  # n − 1 in the divisor
    assert np.array(ends) == pytest.approx(np.array(expected))


def test_a_seed_that_one_strategy_lacks_leaves_the_others_where_they_are() -> None:
    frame = scores(Img=[1.0, 2.0], Txt=[3.0, 4.0])
    with style():
        _, (axes,) = canvas()
        statistical.dots(axes, frame[1:], ["Img", "Txt"], {"Img": "red", "Txt": "blue"})
    drawn = np.concatenate([np.asarray(each.get_offsets()) for each in axes.collections])
    assert drawn[drawn[:, 0].argsort()] == pytest.approx(np.array([[2, 0.2], [3, 0.8], [4, 1.2]]))


def test_means_of_one_run_have_no_tick() -> None:
    with style():
        _, (axes,) = canvas()
        statistical.means(axes, scores(Img=[1.0, 2.0], Txt=[-3.0]), ["Img", "Txt", "Multi"], "{:+.1f}")
    assert [text.get_text() for text in axes.texts] == ["+1.5", "−3.0"]
    assert [line.get_xdata()[0] for line in axes.lines] == [1.5]
