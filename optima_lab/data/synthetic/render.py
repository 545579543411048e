"""Pictures of scenes: glyphs of DejaVu Sans in six colours, drawn from masks that are made once."""

from functools import cache
from math import modf
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from optima_lab.data.synthetic.scene import BOX, GREY, Scene
from optima_lab.errors import ConfigError

_GLYPHS = {
    "star": "★",
    "heart": "♥",
    "sun": "☀",
    "umbrella": "☂",
    "horse": "♞",
    "note": "♫",
    "snowman": "☃",
    "anchor": "⚓",
}
RGB = {
    "red": (214, 30, 36),
    "green": (20, 150, 90),
    "blue": (36, 84, 220),
    "yellow": (240, 180, 0),
    "black": (20, 20, 24),
    "pink": (240, 120, 200),
    GREY: (140, 140, 140),
}
PAPER, GROUND = 240, 122  # white paper with light from the top left, or grey: pixels around 0 for a model
WHITE = (236, 236, 236)  # paint that hides a colour on the grey ground
_NOISE = 5.0  # standard deviation, of 255
_SHADE = 48.0  # how much red fades to the right and blue to the bottom, of 255
_SIZES = (0.86, 0.92, 0.98)  # of a cell


def render(scene: Scene, picture_px: int = 48, ground: int = PAPER) -> np.ndarray:
    """The scene as uint8 (picture_px, picture_px, 3): same scene, same bytes; another size, the same composition.

    `ground` is the background's least brightness: `PAPER`, or `GROUND`, which models see as zero.
    """
    if picture_px < 9:
        raise ConfigError(f"picture_px must be at least 9 (three pixels a cell); got {picture_px}")
    random = np.random.default_rng(scene.look)
    background = random.integers(ground, ground + 12, 3).astype(np.float32)
    if ground == PAPER:
        background = background - _shade(picture_px)
    places = random.random((len(scene.things), 4))
    values = 3 * picture_px**2
    noise = _noise(max(1 << 20, 2 * values))
    start = random.integers(len(noise) - values)
    canvas = background + noise[start : start + values].reshape(picture_px, picture_px, 3)
    for thing, (down, across, size, light) in zip(scene.things, places, strict=True):
        mask = _mask(thing.shape, round(_SIZES[int(size * len(_SIZES))] * picture_px / 3))
        row, column = divmod(thing.cell, 3)
        top, left = _edge(row + down, picture_px, len(mask)), _edge(column + across, picture_px, len(mask))
        patch = canvas[top : top + len(mask), left : left + len(mask)]
        patch += mask[..., None] * (
            np.asarray(_paint(thing.colour, ground), np.float32) + np.float32(24 * light - 12) - patch
        )
    return np.clip(canvas + np.float32(0.5), 0, 255).astype(np.uint8)


def _paint(colour: str, ground: int) -> tuple[int, int, int]:
    """Paint that hides a colour must differ from the background."""
    return WHITE if colour == GREY and ground == GROUND else RGB[colour]


def _edge(position: float, picture_px: int, side: int) -> int:
    """First pixel of a glyph of `side` pixels: cell 0, 1 or 2 is the whole part of `position`, where in it the rest."""
    shift, cell = modf(position)
    return min(round(cell * picture_px / 3 + shift * (picture_px / 3 - side)), picture_px - side)


@cache
def _shade(picture_px: int) -> np.ndarray:
    """Light from the top left, so that a place shows in the background: float32 (picture_px, picture_px, 3)."""
    ramp = np.linspace(0, _SHADE, picture_px, dtype=np.float32)
    down, across = np.meshgrid(ramp, ramp, indexing="ij")
    return np.stack([across, np.zeros_like(down), down], axis=-1)


@cache
def _noise(values: int) -> np.ndarray:
    """One long strip of pixel noise, float32 (values,), of which every picture shows some piece."""
    return np.random.default_rng(0).standard_normal(values, np.float32) * np.float32(_NOISE)


@cache
def _mask(shape: str, side: int) -> np.ndarray:
    """How much of each pixel the shape covers: float32 (side, side), from a large drawing with bolder lines."""
    large = Image.new("L", (512, 512))
    draw = ImageDraw.Draw(large)
    if shape == BOX:
        draw.rounded_rectangle((30, 30, 482, 482), radius=60, fill=255)
        draw.line((30, 256, 482, 256), fill=110, width=40)
        draw.line((256, 30, 256, 482), fill=110, width=40)
    else:
        draw.text((256, 256), _GLYPHS[shape], fill=255, font=_font(), anchor="mm", stroke_width=9, stroke_fill=255)
        bounds = large.getbbox()
        assert bounds is not None
        large = _squared(large.crop(bounds))
    small = large.resize((side, side), Image.Resampling.BOX)
    return np.asarray(small, np.float32) / 255


def _squared(glyph: Image.Image) -> Image.Image:
    side = max(glyph.size)
    square = Image.new("L", (side, side))
    square.paste(glyph, ((side - glyph.width) // 2, (side - glyph.height) // 2))
    return square


@cache
def _font() -> ImageFont.FreeTypeFont:
    from matplotlib import get_data_path

    return ImageFont.truetype(Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", 420)
