"""The shapes of Table 1, their parameters counted on the real modules, beside the numbers the paper prints.

Table 1 counts the backbone: the layers of the three modules and the poolers. Our model has three poolers (two over the
picture, one over the decoder's output), 12d² in all; the table's numbers need 16d², so that a fourth pooler is counted
here. An encoder layer has 12d² + 13d parameters. A decoder layer of the paper (self → cross → MLP) has 16d² + 19d, and
open_clip's blocks norm the picture's tokens in each cross-attention, 2d more: 16d² + 21d. Both fit the table.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch

from optima_lab.coca.model import CoCaConfig, Head, build, coca_config, parameter_counts
from optima_lab.config.fields import layers
from optima_lab.presets import preset

EMBEDDING_ROWS = 65_536  # a 64k vocabulary
CLASSES = 3_129  # VQA's


@dataclass(frozen=True)
class Reported:
    """One of the paper's models and its millions of parameters in Table 1 and Appendix A.3, where it gives them."""

    layers: str
    width: int
    backbone: float
    total: float | None = None


TABLE_1: Mapping[str, Reported] = {
    "Large": Reported("24/12/12", 1024, 672.1, 787.0),
    "Base": Reported("12/12/12", 768, 293.1),
    "Tiny12": Reported("6/3/3", 768, 101.8, 152.0),
    "Tiny6": Reported("3/1/2", 768, 54.5, 105.0),
    # The paper is silent: it writes 3/1/2, but only one decoder layer fits the number it gives.
    "Tiny6 as 3/2/1": Reported("3/2/1", 768, 54.5, 105.0),
}


@dataclass(frozen=True)
class Counts:
    """Parameters of a shape: the layers of each module, the poolers, and everything that is really built."""

    image: int
    text: int
    decoder: int
    poolers: int
    width: int
    built: int = 0

    @property
    def layers(self) -> int:
        """All three modules' layers, without poolers."""
        return self.image + self.text + self.decoder

    @property
    def backbone(self) -> int:
        """What Table 1 counts."""
        return self.layers + self.poolers

    @property
    def total(self) -> int:
        """The backbone and one embedding of 65,536 rows (Appendix A.3)."""
        return self.backbone + EMBEDDING_ROWS * self.width


def paper_size(name: str, decoder: str = "paper") -> CoCaConfig:
    """The shape of one of `TABLE_1`'s models: 576 px, patch 18, 64 tokens, a 64k vocabulary."""
    shape = coca_config(preset("vqa", "paper", decoder=decoder), "teacher", EMBEDDING_ROWS)
    row = TABLE_1[name]
    return replace(shape, layers=layers(row.layers), width=row.width)


def counted(shape: CoCaConfig) -> Counts:
    """The parameters of a model of this shape with VQA's head, built without memory (PyTorch's meta device)."""
    with torch.device("meta"):
        coca = build(shape, 0)
        head = Head(shape.width, shape.width // shape.head_width, 1, CLASSES)
    counts = parameter_counts(coca)
    pooler = sum(p.numel() for p in head.pooler.parameters())
    built = sum(p.numel() for module in (coca, head) for p in module.parameters())
    # The paper is silent about which: Table 1 has room for exactly one pooler more than our model has.
    return Counts(**{**counts, "poolers": counts["poolers"] + 2 * pooler}, width=shape.width, built=built)


def formula(shape: CoCaConfig) -> Counts:
    """The same by arithmetic: 12d² + 13d an encoder layer, 16d² + 19d a decoder layer, 16d² + 256d the poolers.

    open_clip's decoder layers have a second MLP with its norm: 8d² + 7d more.
    """
    d, (image, text, decoder) = shape.width, shape.layers
    encoder_layer = 12 * d**2 + 13 * d
    decoder_layer = 16 * d**2 + 19 * d + (8 * d**2 + 7 * d) * (shape.decoder == "open_clip")
    return Counts(image * encoder_layer, text * encoder_layer, decoder * decoder_layer, 16 * d**2 + 256 * d, d)


def table() -> str:
    """Every shape of Table 1 as text: millions of parameters counted, by formula, and as the paper has them."""
    head = "layers d image text decoder poolers backbone formula Table_1 total paper built"
    lines = [_line("", *(word.replace("_", " ") for word in head.split())), *map(_row, TABLE_1)]
    return "\n".join(["millions of parameters, the paper's decoder (self → cross → MLP)", *lines, "", *_notes()])


def _row(name: str) -> str:
    shape, reported = paper_size(name), TABLE_1[name]
    counts = counted(shape)
    parts = (counts.image, counts.text, counts.decoder, counts.poolers, counts.backbone, formula(shape).backbone)
    total = "–" if reported.total is None else f"{reported.total:.0f}"
    totals = (f"{reported.backbone}", _millions(counts.total), total, _millions(counts.built))
    return _line(name, reported.layers, str(reported.width), *map(_millions, parts), *totals)


def _notes() -> list[str]:
    blocks = {name: counted(paper_size(name, "open_clip")).layers for name in ("Large", "Base")}
    return [
        "backbone: layers and four poolers (our model has three; Table 1's numbers need one more).",
        "total: backbone and one embedding of 65,536 rows; this arithmetic does not give the 787 reported of Large.",
        "formula: 16d² + 19d a decoder layer; open_clip's blocks have 2d more (a norm of the picture's tokens).",
        "built: all of our model with VQA's head, its embedding and the decoder's output matrix apart.",
        f"open_clip's decoder layers have a second MLP: its blocks alone come to {_millions(blocks['Large'])} (Large) "
        f"and {_millions(blocks['Base'])} (Base).",
    ]


def _line(name: str, *cells: str) -> str:
    return f"{name:16}" + "".join(f"{cell:>10}" for cell in cells)


def _millions(count: int) -> str:
    return f"{count / 1e6:.1f}"
