"""The sampler's figures: means, correlation, frequencies and one draw, read back from what was drawn."""

import numpy as np
import pandas as pd
import pytest
from recorded_runs import INITIAL, Records
from test_posteriors import drawn_deviations

from optima_lab.bandits.arms import KEYS, LABELS
from optima_lab.display import colour, name_of
from optima_lab.report import statistics
from optima_lab.report.correlation import mean_against_score
from optima_lab.report.figures import dynamics


def test_reward_means_are_the_recorded_ones(one: Records) -> None:
    figure = dynamics.reward_means(one.rounds)
    top, bottom = figure.axes
    assert [line.get_label() for line in top.lines] == [*LABELS[:-1], "Img+Txt+Multi (LWD)"]
    assert [line.get_color() for line in top.lines] == [colour(arm) for arm in KEYS]
    last = one.rounds[(one.rounds["strategy"] == "optima")].sort_values("round")["mean_after"].iloc[-1]
    assert [line.get_ydata()[-1] for line in top.lines] == pytest.approx(last)
    shade = top.patches[0]
    assert (shade.get_x(), shade.get_x() + shade.get_width()) == (0.5, INITIAL + 0.5)
    assert top.get_xlabel() == "round" and top.get_ylabel() == "posterior mean μ (no unit)"
    assert "OPTIMA calibrated" in bottom.get_title(loc="left")


def test_reward_means_of_several_seeds_are_averages(three: Records) -> None:
    figure = dynamics.reward_means(three.rounds, ["optima"])
    ends = three.rounds[(three.rounds["strategy"] == "optima") & (three.rounds["round"] == 40)]["mean_after"]
    assert [line.get_ydata()[-1] for line in figure.axes[0].lines] == pytest.approx(np.mean(list(ends), axis=0))
    assert "lines are means over 3 seeds" in figure.get_supxlabel()


def test_correlation_draws_all_pairs_and_says_n(three: Records) -> None:
    figure = dynamics.mean_accuracy_correlation(three.rounds, three.evals)
    result = mean_against_score(three.rounds, three.evals)
    drawn = np.concatenate([np.asarray(each.get_offsets()) for each in figure.axes[0].collections])
    expected = np.array(sorted(zip(result.pairs["mean"], result.pairs["score"], strict=True)))
    assert np.array(sorted(map(tuple, drawn))) == pytest.approx(expected)
    assert result.n == 3 * 6 * 7  # seeds, checkpoints after the initial plays, arms
    assert f"n = {result.n} pairs" in figure.get_supxlabel()
    assert f"Pearson r = {result.pearson.value:+.2f} (95 % interval" in figure.get_supxlabel()
    assert figure.axes[0].get_ylabel() == "accuracy (%) of the fixed arm, dev"


def test_arm_frequency_draws_shares_and_marks_uniform_play(one: Records) -> None:
    figure = dynamics.arm_frequency(one.rounds)
    top, _, bar, _ = figure.axes
    share, _ = statistics.frequency(one.rounds, "optima")
    assert np.asarray(top.collections[0].get_array()) == pytest.approx(100 * share)
    assert [tick.get_text() for tick in top.get_yticklabels()] == list(LABELS)
    assert bar.lines[-1].get_ydata()[0] == pytest.approx(100 / 7)
    light, deep = (top.collections[0].cmap(value)[:3] for value in (0.0, 1.0))
    assert sum(deep) < sum(light)  # deeper is more often
    assert top.lines[0].get_xdata()[0] == INITIAL + 0.5


def test_a_draw_shows_posteriors_and_the_winner(one: Records) -> None:
    figure = dynamics.thompson_draw(one.rounds)
    row = one.rounds[(one.rounds["strategy"] == "optima") & (one.rounds["round"] == INITIAL + 1)].iloc[0]
    (axes,) = figure.axes
    dots = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "o"]
    assert dots == pytest.approx(row["draws"])
    assert f"{name_of(row['arm'])} drew the highest" in figure.get_supxlabel()
    names = [tick.get_text() for tick in axes.get_yticklabels()]
    assert names[0] == f"Img  (n = {row['plays_before'][0]:.0f})"
    assert drawn_deviations(figure) == pytest.approx(1 / np.sqrt(row["plays_before"] + 1))  # 1/(n + 1) is a variance
    assert "round 20" in dynamics.thompson_draw(one.rounds, number=20).axes[0].get_title(loc="left")


def one_round(rounds: pd.DataFrame) -> pd.DataFrame:
    return rounds[rounds["round"] == 1]


def broken(rounds: pd.DataFrame) -> pd.DataFrame:
    """NaN rewards and means, as a student leaves them whose loss was not finite."""
    vectors = pd.Series([np.full(7, np.nan)] * len(rounds), index=rounds.index, dtype=object)
    return rounds.assign(reward=np.nan, mean_after=vectors, mean_before=vectors)


def undrawn(rounds: pd.DataFrame) -> pd.DataFrame:
    """Rounds of strategies that keep no posterior."""
    return rounds.assign(**{key: None for key in ("draws", "mean_before", "mean_after", "plays_before", "plays_after")})


@pytest.mark.parametrize("change", [one_round, broken, undrawn, lambda rounds: rounds[:0], lambda _: pd.DataFrame()])
def test_partial_records_are_drawn_or_told(one: Records, change) -> None:
    rounds = change(one.rounds)
    for figure in (
        dynamics.reward_means(rounds),
        dynamics.mean_accuracy_correlation(rounds, one.evals),
        dynamics.arm_frequency(rounds),
        dynamics.thompson_draw(rounds),
    ):
        figure.draw_without_rendering()
    assert "no checkpoint" in dynamics.mean_accuracy_correlation(rounds[:0], one.evals[:0]).axes[0].texts[0].get_text()


def test_missing_samplers_are_named(one: Records) -> None:
    rounds = one.rounds[one.rounds["strategy"] != "optima_calibrated"]
    assert "not recorded: OPTIMA calibrated" in dynamics.reward_means(rounds).get_supxlabel()
    assert len(dynamics.arm_frequency(rounds).axes) == 2  # one panel and its colour bar


def test_random_arms_draw_and_have_no_means(one: Records) -> None:
    """As real records are: nothing of Random is drawn where there are means, and it does not stand for OPTIMA."""
    rounds = one.rounds.copy()
    random = rounds["strategy"] == "random"
    rounds.loc[random, "draws"] = rounds.loc[random, "draws"].map(lambda _: [0.5] * 7)
    assert statistics.samplers(rounds)[0] == "random"
    assert statistics.samplers(rounds, "mean_after") == ["optima", "optima_calibrated"]
    assert "Random" in " ".join(axes.get_title("left") for axes in dynamics.arm_frequency(rounds).axes)
    assert "μ of OPTIMA tell" in dynamics.mean_accuracy_correlation(rounds, one.evals).axes[0].get_title("left")
    assert "draw of OPTIMA," in dynamics.thompson_draw(rounds).axes[0].get_title("left")
    means = dynamics.reward_means(rounds)
    assert not any("Random" in axes.get_title("left") for axes in means.axes)
    assert not any("recorded" in text.get_text() for axes in means.axes for text in axes.texts)


def test_every_strategy_that_draws_or_has_means_is_drawn(one: Records) -> None:
    rounds = one.rounds.replace({"strategy": {"optima": "optima:decay=0.9", "optima_calibrated": "gaussian_dts"}})
    evals = one.evals.replace({"strategy": {"optima": "optima:decay=0.9"}})
    assert statistics.samplers(rounds) == ["optima:decay=0.9", "gaussian_dts"]
    drawn = [dynamics.reward_means(rounds), dynamics.arm_frequency(rounds)]
    for figure in drawn:
        titles = " ".join(axes.get_title("left") for axes in figure.axes)
        assert "OPTIMA (decay=0.9)" in titles and "gaussian_dts" in titles
        assert not any("recorded" in text.get_text() for axes in figure.axes for text in axes.texts)
    alone = [dynamics.thompson_draw(rounds), dynamics.mean_accuracy_correlation(rounds, evals)]
    for figure in alone:
        assert "OPTIMA (decay=0.9)" in figure.axes[0].get_title("left")
        assert not any("recorded" in text.get_text() for text in figure.axes[0].texts)
