"""Nothing global, and the same figure gives the same bytes."""

import os
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest

from optima_lab.errors import ConfigError, RecordError
from optima_lab.report.figures import style


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


HOSTILE = """
font.size: 31
font.family: monospace
font.monospace: DejaVu Sans Mono
figure.dpi: 33
savefig.dpi: 44
savefig.bbox: tight
savefig.facecolor: red
axes.facecolor: black
axes.grid: True
axes.prop_cycle: cycler('color', ['red'])
axes.unicode_minus: False
hatch.linewidth: 9
lines.linewidth: 9
legend.loc: center
legend.frameon: False
path.sketch: 3, 100, 2
pdf.fonttype: 42
pdf.compression: 0
svg.fonttype: path
svg.hashsalt: another
text.color: red
text.antialiased: False
figure.constrained_layout.w_pad: 1
"""


@pytest.mark.parametrize("settings", ["", HOSTILE], ids=["plain", "hostile matplotlibrc"])
def test_same_figure_same_bytes_in_another_process(settings: str, tmp_path: Path) -> None:
    here = style.save(small_figure(), tmp_path / "here", "one")
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from test_style import small_figure; "
        "from optima_lab.report.figures import style; style.save(small_figure(), sys.argv[2], 'one')"
    )
    (tmp_path / "matplotlibrc").write_text(settings)
    known = {**os.environ, **({"MATPLOTLIBRC": str(tmp_path / "matplotlibrc")} if settings else {})}
    command = [sys.executable, "-c", code, str(Path(__file__).parent), str(tmp_path / "there")]
    subprocess.run(command, check=True, env=known)
    assert [path.name for path in here] == ["one.svg", "one.png", "one.pdf", "one.csv"]
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
    with pytest.raises(RecordError, match=r"one\.svg cannot be written: "):
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
        ("optima_lab.report", ["torch", "matplotlib", "pandas", "numpy", "scipy"]),
        ("optima_lab.report.figures.style", ["torch", "matplotlib", "pandas", "scipy"]),
        (
            "optima_lab.report.figures.scores, optima_lab.report.figures.dynamics, optima_lab.report.tables.results",
            ["torch", "matplotlib", "scipy"],
        ),
        ("optima_lab.report.gallery", ["torch", "matplotlib", "scipy", "nbconvert"]),
        ("optima_lab.report.notebooks", ["torch", "matplotlib", "papermill", "pandas"]),
    ],
)
def test_importing_a_view_is_light(module: str, absent: list[str]) -> None:
    code = f"import {module}, sys; print([name for name in {absent} if name in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )
