"""The paper's shapes: parameters counted on real modules, by formula, and as Table 1 has them."""

from dataclasses import replace

import pytest
from small import shape

from optima_lab.cli import main
from optima_lab.coca.model import build
from optima_lab.coca.parameter_counts import TABLE_1, counted, formula, paper_size, table

# NOTES' numbers, in millions: the formula with 16d² + 256d for the poolers.
NOTES = {"Large": 672.06, "Base": 293.16, "Tiny12": 101.78, "Tiny6 as 3/2/1": 54.52, "Tiny6": 56.89}


@pytest.mark.parametrize("name", TABLE_1)
def test_the_backbones_of_table_1(name: str):
    found = counted(paper_size(name))
    assert formula(paper_size(name)).backbone / 1e6 == pytest.approx(NOTES[name], abs=0.005)
    assert found.backbone / 1e6 == pytest.approx(NOTES[name], abs=0.1)
    fits = abs(found.backbone / 1e6 - TABLE_1[name].backbone) < 0.15
    assert fits == (name != "Tiny6")  # as the text writes it, 3/1/2, Tiny6 is 2.4M larger than the table says


@pytest.mark.parametrize(
    ("name", "total", "reported"),
    [("Tiny12", 152.1, 152), ("Tiny6 as 3/2/1", 104.9, 105), ("Large", 739.2, 787)],
)
def test_totals_with_one_embedding(name: str, total: float, reported: float):
    """Large's reported total is not what the arithmetic gives that gives the students'."""
    assert counted(paper_size(name)).total / 1e6 == pytest.approx(total, abs=0.06)
    assert TABLE_1[name].total == reported


@pytest.mark.parametrize(("name", "blocks"), [("Large", 755.8), ("Base", 340.2)])
def test_open_clips_decoder_has_a_second_mlp(name: str, blocks: float):
    shape = paper_size(name, "open_clip")
    assert counted(shape).layers / 1e6 == pytest.approx(blocks, abs=0.05)
    assert formula(shape).layers / 1e6 == pytest.approx(blocks, abs=0.05)


@pytest.mark.parametrize("decoder", ["paper", "open_clip"])
@pytest.mark.parametrize("layers", [(1, 1, 1), (3, 2, 4)])
def test_counted_and_formula_differ_by_what_is_said(decoder: str, layers: tuple[int, int, int]):
    """2d a decoder layer (a norm of the picture's tokens); poolers 16d² + 32d and their queries: here 5 and 3."""
    small = shape(layers, decoder=decoder, image_queries=5)
    found, by_hand, d = counted(small), formula(small), small.width
    assert (found.image, found.text) == (by_hand.image, by_hand.text)
    assert found.decoder == by_hand.decoder + layers[2] * 2 * d
    assert found.poolers == 16 * d**2 + 32 * d + (5 + 3) * d


def test_what_is_built_on_paper_is_what_is_built():
    small = shape(image_queries=5)
    bigger = replace(small, vocabulary=small.vocabulary + 10)
    assert counted(bigger).built - counted(small).built == 2 * 10 * small.width  # an embedding and an output matrix
    head = 3129 * small.width + 3129 + 4 * small.width**2 + 9 * small.width
    assert counted(small).built == sum(p.numel() for p in build(small, 0).parameters()) + head


def test_the_table_prints_every_shape(capsys: pytest.CaptureFixture[str]):
    assert main(["sizes"]) == 0
    printed = capsys.readouterr().out
    assert printed.strip() == table().strip()
    rows = {line[:16].strip(): line[16:].split() for line in printed.splitlines()}
    assert " ".join(rows["Large"]) == "24/12/12 1024 302.3 151.2 201.6 17.1 672.1 672.1 672.1 739.2 787 809.6"
    assert rows["Tiny6 as 3/2/1"][6:11] == ["54.6", "54.5", "54.5", "104.9", "105"]
    assert "755.8 (Large) and 340.2 (Base)" in printed
