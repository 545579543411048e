"""One colour per strategy, nothing global, and the same figure gives the same bytes."""

import subprocess
import sys
from itertools import combinations
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from optima_lab.bandits.arms import LABELS
from optima_lab.errors import ConfigError, RecordError
from optima_lab.views import style

# Machado, Oliveira and Fernandes (2009), severity 1: linear RGB as seen with one kind of cone missing.
VISION = {
    "normal": np.eye(3),
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}


def cielab(colour: str, vision: str) -> np.ndarray:
    """CIELAB (D65) of a colour as seen with this vision."""
    rgb = np.asarray(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(np.asarray(VISION[vision]) @ linear, 0, 1)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = to_xyz @ linear / np.array([0.9505, 1, 1.089])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("vision", VISION)
def test_colours_of_arms_stay_apart_for_colour_blind_readers(vision: str) -> None:
    for one, other in combinations([*LABELS, "OPTIMA", "Random"], 2):
        distance = np.linalg.norm(cielab(style.colour(one), vision) - cielab(style.colour(other), vision))
        assert distance > 20, (one, other, distance)


def test_strategies_of_one_colour_differ_in_hatch_and_dashes() -> None:
    assert style.HATCHES["OPTIMA calibrated"] and "OPTIMA" not in style.HATCHES
    assert style.DASHES["OPTIMA calibrated"] and "OPTIMA" not in style.DASHES
    assert len(set(style.MARKERS.values())) == len(LABELS)


def test_order_puts_unknown_strategies_last() -> None:
    assert style.in_order(["new", "OPTIMA", "Txt", "None", "OPTIMA"]) == ["None", "Txt", "OPTIMA", "new"]


def small_figure():
    """A figure with what tends to differ between two drawings: hatches, clip paths, a legend, Greek."""
    with style.style():
        figure, (axes,) = style.canvas()
        axes.bar([0, 1], [1, 2], hatch="//", label="μ")
        axes.set_title("a title")
        axes.legend()
    return figure


def test_style_changes_nothing_outside() -> None:
    before = dict(mpl.rcParams)
    with style.style():
        assert mpl.rcParams["svg.fonttype"] == "none"
    small_figure()
    assert dict(mpl.rcParams) == before


def test_style_is_the_same_whatever_was_set_outside() -> None:
    with mpl.rc_context({"lines.linewidth": 9, "axes.facecolor": "red"}), style.style():
        assert mpl.rcParams["lines.linewidth"] == 2
        assert mpl.rcParams["axes.facecolor"] == "white"


def test_same_figure_same_bytes_in_another_process(tmp_path: Path) -> None:
    here = style.save(small_figure(), tmp_path / "here", "one")
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from test_style import small_figure; "
        "from optima_lab.views import style; style.save(small_figure(), sys.argv[2], 'one')"
    )
    subprocess.run([sys.executable, "-c", code, str(Path(__file__).parent), str(tmp_path / "there")], check=True)
    assert [path.name for path in here] == ["one.svg", "one.png", "one.pdf"]
    for path in here:
        assert path.read_bytes() == (tmp_path / "there" / path.name).read_bytes(), path.name
    assert "a title</text>" in here[0].read_text()  # text stays text


def test_a_saved_figure_names_its_runs(tmp_path: Path, one) -> None:
    paths = style.save(small_figure(), tmp_path, "one", one.experiments)
    known = style.origin(paths[1])
    assert known["title"] == "a title"
    assert known["runs"] == ["vqa/fake0"]
    assert known["seeds"] == [0]
    assert len(known["config"]) == 12
    assert "vqa/fake0" in paths[0].read_text()
    assert style.origin(tmp_path / "missing.png") == {}


def test_a_pyplot_figure_is_closed(tmp_path: Path) -> None:
    from matplotlib import pyplot

    style.save(pyplot.figure(), tmp_path, "one")
    assert not pyplot.get_fignums()


def test_a_wrong_name_or_place_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'\.\./one'"):
        style.save(small_figure(), tmp_path, "../one")
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordError, match="cannot write figure one"):
        style.save(small_figure(), tmp_path / "file", "one")


def test_show_gives_the_saved_png(tmp_path: Path) -> None:
    paths = style.save(small_figure(), tmp_path, "one")
    image = style.show(paths)
    assert image.data == paths[1].read_bytes()
    assert image.alt == "a title"
    assert image.width == 640


def test_show_gives_large_pictures_as_jpeg(tmp_path: Path) -> None:
    with style.style():
        figure, (axes,) = style.canvas()
        axes.imshow(np.random.default_rng(0).random((300, 400, 3)))
    paths = style.save(figure, tmp_path, "photo")
    image = style.show(paths)
    assert image.format == "jpeg"
    assert len(image.data) < paths[1].stat().st_size
    assert image.width == 640


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("optima_lab.views", ["torch", "matplotlib", "pandas", "numpy", "scipy"]),
        ("optima_lab.views.style", ["torch", "matplotlib", "pandas", "scipy"]),
        (
            "optima_lab.views.figures, optima_lab.views.dynamics, optima_lab.views.tables",
            ["torch", "matplotlib", "scipy"],
        ),
        ("optima_lab.views.gallery", ["torch", "matplotlib", "scipy", "nbconvert"]),
        ("optima_lab.notebooks", ["torch", "matplotlib", "papermill", "pandas"]),
    ],
)
def test_importing_a_view_is_light(module: str, absent: list[str]) -> None:
    code = f"import {module}, sys; print([name for name in {absent} if name in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )
