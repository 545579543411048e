"""What a decoded picture looks like: 8-bit RGB, upright, transparent parts on white, whatever the file's mode.

`PIL.Image.convert("RGB")` alone clips 16-bit values to 255, drops alpha with whatever colour lies below it, and leaves
the orientation of a camera's EXIF aside.
"""

from collections.abc import Callable

import numpy as np
from PIL import Image

_ORIENTATION, _PHOTOMETRIC = 0x0112, 262  # tags of EXIF and of TIFF
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_KEYED = ("1", "L", "I", "RGB")  # modes in which one value of a pixel may stand for "transparent"
# PNG's key is in the samples of the file, the pixels are in 8 bits already.
_KEY_TO_PIXEL: dict[str, Callable[[int], int]] = {
    "L;2": lambda key: 85 * key,
    "L;4": lambda key: 17 * key,
    "RGB;16B": lambda key: key >> 8,
}


def upright_rgb(image: Image.Image) -> Image.Image:
    """The picture in mode RGB as a viewer shows it: turned by its EXIF orientation, composed on white.

    16-bit samples are scaled (30000 → 117). Raises ValueError where a mode's numbers lie outside their range; whatever
    Pillow raises for damaged data passes through.
    """
    raw_mode = _raw_mode(image)
    image.load()  # TIFF is turned by this, and then says so
    rgb = to_rgb(image, raw_mode)
    turn = _TURNS.get(_orientation(image))
    return rgb if turn is None else rgb.transpose(turn)


def to_rgb(image: Image.Image, raw_mode: str = "") -> Image.Image:
    """Any of Pillow's modes as RGB, transparent parts composed on white; `raw_mode` is how the file holds its samples.

    Whole numbers (I;16, I) are read as 16 bits, floats (F) as 0 to 1, or as 0 to 255 where one exceeds 1.
    """
    if image.mode in ("RGBa", "LA", "La", "RGBA", "PA"):
        return _with_alpha(image)
    if image.mode == "P":
        return _with_alpha(image.convert("RGBA")) if image.has_transparency_data else image.convert("RGB")
    rgb = _grey(image, raw_mode) if image.mode[0] in "IF" else image.convert("RGB")
    key = image.info.get("transparency")
    if key is None or image.mode[:4] not in (*_KEYED, "I;16"):
        return rgb
    return _without_key(rgb, np.asarray(image), key, raw_mode)


def _with_alpha(image: Image.Image) -> Image.Image:
    """α c + (1 − α) white, rounded; premultiplied modes (small a) hold α c already."""
    if image.mode.endswith("a"):
        values = np.asarray(image).astype(np.int16)
        colour, alpha = values[..., :-1], values[..., -1:]
        composed = np.minimum(colour + 255 - alpha, 255).astype(np.uint8)
        return Image.fromarray(np.broadcast_to(composed, (*composed.shape[:2], 3)).copy())
    white = Image.new("RGB", image.size, "white")
    full = image.convert("RGBA")
    white.paste(full.convert("RGB"), mask=full.getchannel("A"))
    return white


def _without_key(rgb: Image.Image, values: np.ndarray, key: object, raw_mode: str) -> Image.Image:
    """`rgb` with white where the file's `values` are those of the transparent colour `key`."""
    to_pixel = _KEY_TO_PIXEL.get(raw_mode, int)
    wanted = np.array([to_pixel(part) for part in key] if isinstance(key, tuple) else to_pixel(int(str(key))))
    same = values * 255 == wanted if values.dtype == bool else values == wanted
    there = same.all(-1) if same.ndim == 3 else same
    return Image.composite(Image.new("RGB", rgb.size, "white"), rgb, Image.fromarray(there))


def _grey(image: Image.Image, raw_mode: str) -> Image.Image:
    """Numbers of more than 8 bits as RGB."""
    values = np.asarray(image)
    low, high = float(values.min()), float(values.max())
    top = _top(image.mode, raw_mode, high)
    if not 0 <= low <= high <= top:  # also where there is a NaN
        raise ValueError(f"numbers from {low:g} to {high:g} where 0 to {top:g} are read")
    scaled = np.rint(values * (255 / top)).astype(np.uint8)
    if getattr(image, "tag_v2", {}).get(_PHOTOMETRIC) == 0:  # TIFF's "white is zero", which Pillow leaves so
        scaled = 255 - scaled
    return Image.fromarray(scaled).convert("RGB")


def _top(mode: str, raw_mode: str, high: float) -> int:
    """The number that stands for white."""
    if mode == "F":
        return 1 if high <= 1 else 255
    return 4095 if raw_mode.startswith("I;12") else 65535


def _raw_mode(image: Image.Image) -> str:
    """How the samples lie in the file, 'RGB;16B'; empty where a format does not say."""
    tiles = getattr(image, "tile", None)
    if not tiles:
        return ""
    arguments = tiles[0][3]
    return str(arguments[0] if isinstance(arguments, tuple) and arguments else arguments)


def _orientation(image: Image.Image) -> int:
    """1 to 8 of EXIF; anything else, and EXIF that cannot be read, counts as 1."""
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # damaged metadata spoils no picture
        return 1
    return orientation if isinstance(orientation, int) else 1
