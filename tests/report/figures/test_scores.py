"""What is drawn is what was recorded: bars, dots and lines are read back from the figures."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PathCollection
from matplotlib.colors import to_rgba
from PIL import Image
from recorded_runs import ALL, ROUND_STEPS, ROUNDS, Records, score_at

from optima_lab.bandits.arms import LABELS
from optima_lab.display import colour
from optima_lab.errors import ConfigError
from optima_lab.report.figures import scores as figures
from optima_lab.report.figures.style import save

LAST = ROUNDS * ROUND_STEPS


def small_print(figure) -> str:
    """The note under a figure."""
    return figure.get_supxlabel()


def line_values(axes, label: str) -> np.ndarray:
    """The y values of the line whose label starts so."""
    return next(np.asarray(line.get_ydata()) for line in axes.lines if str(line.get_label()).startswith(label))


def dots_of(axes, position: int, upright: bool = True) -> np.ndarray:
    """(offset, value) of every dot in a row or column, in the order of their offsets."""
    drawn = [np.asarray(each.get_offsets()) for each in axes.collections if isinstance(each, PathCollection)]
    both = np.concatenate(drawn)[:, :: 1 if upright else -1]
    both = both[np.round(both[:, 0]) == position] - [position, 0]
    return both[both[:, 0].argsort()]


def test_module_contribution_draws_the_three_modules(one: Records) -> None:
    figure = figures.module_contribution(one.evals)
    (axes,) = figure.axes
    expected = [score_at(name, LAST, 0) for name in ("img", "txt", "multi")]
    assert [bar.get_height() for bar in axes.patches] == pytest.approx(expected)
    assert all(bar.get_y() == 0 for bar in axes.patches)
    assert [tick.get_text().split("\n")[0] for tick in axes.get_xticklabels()] == ["Img", "Txt", "Multi"]
    assert line_values(axes, "no distillation")[0] == pytest.approx(score_at("none", LAST, 0))
    assert axes.get_title(loc="left") == "VQA: students distilled in one module"
    assert axes.get_ylabel() == "accuracy (%), test"
    assert small_print(figure) == "one seed: no error bars"
    assert not axes.collections and len(axes.lines) == 1, "neither dots nor whiskers, but the line of no distillation"


def test_several_seeds_show_mean_deviation_and_each_seed(three: Records) -> None:
    figure = figures.module_contribution(three.evals)
    (axes,) = figure.axes
    bars = [patch for patch in axes.patches if patch.get_width() > 0.5]
    assert bars[0].get_height() == pytest.approx(np.mean([score_at("img", LAST, seed) for seed in range(3)]))
    for column, name in enumerate(("img", "txt", "multi")):
        dots = dots_of(axes, column)
        assert dots[:, 1] == pytest.approx([score_at(name, LAST, seed) for seed in range(3)])
        assert dots[:, 0] == pytest.approx([-0.8 / 3, 0, 0.8 / 3]), "each seed at one offset, inside of its bar"
    whisker = next(line for line in axes.lines if len(line.get_xdata()) > 2)
    low, high = np.nanmin(whisker.get_ydata()), np.nanmax(whisker.get_ydata())
    assert high - low == pytest.approx(2 * 0.5)  # seeds are half a point apart: sd 0.5
    assert (high + low) / 2 == pytest.approx(bars[0].get_height())
    assert small_print(figure) == "bars: mean ± standard deviation over 3 seeds; dots: single seeds"


def test_arms_compared_draws_every_strategy_and_its_references(three: Records) -> None:
    figure = figures.arms_compared(three.evals, [each.summary for each in three.experiments])
    left, right = figure.axes
    names = [tick.get_text() for tick in left.get_yticklabels()]
    assert names == ["KL only (logits)", *LABELS[:-1], "Img+Txt+Multi (LWD)", "Random", "OPTIMA", "OPTIMA calibrated"]
    widths = [bar.get_width() for bar in left.patches]
    mean = {name: np.mean([score_at(name, LAST, seed) for seed in range(3)]) for name in ALL}
    assert widths == pytest.approx([mean[name] for name in ALL[1:]])
    lines = {str(line.get_label()): line for line in left.lines if not str(line.get_label()).startswith("_")}
    assert set(lines) == {f"no distillation {mean['none']:.1f}", "teacher 91.0"}
    assert lines["teacher 91.0"].get_xdata()[0] == 91
    difference = score_at("optima", LAST, 0) - score_at("img+txt+multi", LAST, 0)
    dots = dots_of(right, 9, upright=False)
    assert dots[:, 1] == pytest.approx([difference] * 3) and np.unique(np.round(dots[:, 0], 6)).size == 3
    assert any((each.get_facecolor() == to_rgba(colour("optima"))).all() for each in right.collections)
    tick = next(line for line in right.lines if list(line.get_ydata()) == [9 - 0.32, 9 + 0.32])
    assert tick.get_xdata() == pytest.approx([difference] * 2), "the mean"
    assert f"{difference:+.1f}".replace("-", "−") in [text.get_text() for text in right.texts]
    assert "reported in the paper" in small_print(figure)
    assert "Img+Multi 81.1" in small_print(figure)


def test_generalization_draws_both_losses(one: Records) -> None:
    left, right = figures.generalization(one.evals).axes
    steps = np.arange(25, LAST + 1, 25)
    assert line_values(left, "OPTIMA") == pytest.approx(1.5 * np.exp(-steps / 90) + 0.2)
    assert line_values(right, "Img+Txt+Multi (LWD)") == pytest.approx((1.5 * np.exp(-steps / 90) + 0.25) / 2)
    assert left.get_xlabel() == "optimizer step"
    assert right.get_ylabel() == "KL(student ‖ teacher) (nats), dev split"
    assert left.get_yscale() == "linear"
    assert not left.collections


def test_generalization_has_bands_over_seeds_and_a_log_axis_when_wide(three: Records) -> None:
    figure = figures.generalization(three.evals)
    bands = figure.axes[0].collections
    assert len(bands) == 2
    loss = 1.5 * np.exp(-LAST / 90) + 0.2  # of OPTIMA, the same for all three seeds: a band without width
    ends = bands[1].get_paths()[0].vertices
    assert ends[ends[:, 0] == LAST][:, 1] == pytest.approx(loss)
    assert small_print(figure) == "bands: mean ± standard deviation over 3 seeds"
    wide = three.evals.assign(value=three.evals["value"] * np.exp(-three.evals["step"] / 20))
    assert figures.generalization(wide).axes[0].get_yscale() == "log"


def without(frame: pd.DataFrame, *strategies: str) -> pd.DataFrame:
    return frame[~frame["strategy"].isin(strategies)]


@pytest.mark.parametrize("draw", [figures.module_contribution, figures.arms_compared, figures.generalization])
def test_partial_records_are_drawn_and_told(one: Records, draw) -> None:
    evals = one.evals
    for empty in (evals[:0], pd.DataFrame()):
        assert draw(empty).axes[0].texts[0].get_text().startswith("no ")
    nothing = evals.assign(value=np.nan)
    assert draw(nothing).axes[0].texts[0].get_text().startswith("no ")
    first_step = evals[evals["step"] == 25]
    draw(first_step)
    absent = without(evals, "img", "optima", "none", "img+txt+multi")
    assert "not recorded" in small_print(draw(absent))
    draw(without(evals, *ALL[1:]))


def test_an_unfinished_run_is_named_and_not_drawn(three: Records) -> None:
    stopped = (three.evals["strategy"] == "txt") & (three.evals["seed"] == 1) & (three.evals["step"] > 50)
    figure = figures.module_contribution(three.evals[~stopped])
    assert "not finished, not drawn: Txt (seed 1, step 50)" in small_print(figure)
    assert [len(dots_of(figure.axes[0], column)) for column in range(3)] == [3, 2, 3]
    assert dots_of(figure.axes[0], 1)[:, 0] == pytest.approx([-0.8 / 3, 0.8 / 3]), "the others keep their seeds' places"


WHY = "round 12: gradient of head.classifier.weight: overflow of bfloat16"


def test_a_student_that_was_stopped_is_marked_where_it_is_shown(one: Records) -> None:
    evals = one.evals.assign(stopped=np.where(one.evals["strategy"] == "img+txt+multi", WHY, ""))
    told = f"† Img+Txt+Multi (LWD) stopped in {WHY} (seed 0)"
    figure = figures.arms_compared(evals)
    names = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert [name for name in names if "†" in name] == ["Img+Txt+Multi (LWD) †"]
    assert told in " ".join(small_print(figure).split())
    figure = figures.generalization(evals)
    assert figure.axes[0].get_legend_handles_labels()[1] == ["Img+Txt+Multi (LWD) †", "OPTIMA"]
    assert told in " ".join(small_print(figure).split())
    assert "†" not in small_print(figures.module_contribution(evals)), "it is not shown there"
    figure = figures.module_contribution(evals.assign(stopped=WHY))
    assert [tick.get_text().split("\n")[0] for tick in figure.axes[0].get_xticklabels()] == [
        "Img †",
        "Txt †",
        "Multi †",
    ]
    assert max(map(len, small_print(figure).splitlines())) <= 90, "long lines are wrapped"


def test_two_tasks_in_one_figure_are_refused(one: Records, three: Records) -> None:
    with pytest.raises(ConfigError, match="a figure shows one task"):
        figures.module_contribution(pd.concat([one.evals, three.evals]))


@dataclass(frozen=True)
class Example:
    """A record as the readers give it."""

    images: tuple[Path, ...]
    text: str
    answers: tuple[str, ...]


def test_samples_show_pictures_and_sentences(tmp_path: Path) -> None:
    for name, size in (("a.png", (8, 6)), ("b.png", (4, 12))):
        Image.new("RGB", size, "red").save(tmp_path / name)
    pair = (tmp_path / "a.png", tmp_path / "b.png")
    figure = figures.samples([Example(pair, "is <b> $5 red?", ("yes", "no")), Example(pair[:1], "", ())], "nlvr2")
    assert figure.get_suptitle() == "NLVR2: some of its records"
    assert figure.axes[0].get_title(loc="left") == "is <b> $5 red?\n→ yes"
    assert figure.axes[0].images[0].get_array().shape == (12, 16 + 1 + 4, 3)
    assert figures.samples([]).axes[0].texts[0].get_text() == "no records"


def test_same_records_same_bytes(three: Records, tmp_path: Path) -> None:
    for folder in ("first", "second"):
        figure = figures.arms_compared(three.evals, [each.summary for each in three.experiments])
        save(figure, tmp_path / folder, "arms_compared", three.experiments)
    for path in (tmp_path / "first").iterdir():
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes(), path.name


@pytest.mark.parametrize("draw", [figures.module_contribution, figures.arms_compared])
@pytest.mark.parametrize("nothing", [57.5, 58.5, 70.5, 79.0])
def test_numbers_touch_no_line(three: Records, draw, nothing: float) -> None:
    evals = three.evals.copy()
    evals.loc[(evals["strategy"] == "none") & (evals["metric"] == "score"), "value"] = nothing
    figure = draw(evals)
    figure.draw_without_rendering()
    axes = figure.axes[0]
    lines = [line for line in axes.lines if line.get_label().startswith(("no distillation", "teacher"))]
    assert lines and axes.texts
    for text in axes.texts:
        box = text.get_window_extent()
        for line in lines:
            (x0, y0), (x1, _) = line.get_transform().transform(line.get_xydata())
            touched = box.x0 <= x0 <= box.x1 if x0 == x1 else box.y0 <= y0 <= box.y1
            assert not touched, f"{text.get_text()} on {line.get_label()}"
