"""Pictures of scenes: same bytes, same composition at every size, colours and shapes that can be told apart."""

import numpy as np
import pytest

from optima_lab.data.synthetic.render import RGB, render
from optima_lab.data.synthetic.scene import BOX, COLOURS, GREY, SHAPES, Object, Scene
from optima_lab.errors import ConfigError


def alone(shape: str, colour: str, cell: int = 4, look: int = 0) -> Scene:
    return Scene((Object(shape, colour, cell),), look)


def inked(picture: np.ndarray, colour: str) -> np.ndarray:
    """Where the picture is nearer to the colour than to its own background."""
    shade, background = np.array(RGB[colour], float), np.median(picture.reshape(-1, 3), axis=0)
    values = picture.astype(float)
    return ((values - shade) ** 2).sum(-1) < ((values - background) ** 2).sum(-1)


def test_the_same_scene_gives_the_same_bytes() -> None:
    scene = alone("star", "red", look=7)
    picture = render(scene)
    assert picture.shape == (48, 48, 3) and picture.dtype == np.uint8
    np.testing.assert_array_equal(picture, render(scene))
    assert (picture != render(alone("star", "red", look=8))).any()


@pytest.mark.parametrize("picture_px", [24, 48, 240])
def test_a_thing_stands_in_its_cell(picture_px: int) -> None:
    for cell in range(9):
        rows, columns = np.nonzero(inked(render(alone("heart", "blue", cell, look=cell), picture_px), "blue"))
        assert (int(rows.mean() / picture_px * 3), int(columns.mean() / picture_px * 3)) == divmod(cell, 3)


def test_sizes_show_the_same_composition() -> None:
    scene = alone("star", "red", 2, look=3)
    centres = []
    for picture_px in (48, 240):
        rows, columns = np.nonzero(inked(render(scene, picture_px), "red"))
        centres.append(np.array([rows.mean(), columns.mean()]) / picture_px)
    np.testing.assert_allclose(centres[0], centres[1], atol=0.03)


def test_colours_differ_for_every_kind_of_eye() -> None:
    """Any two colours differ clearly, also where red and green cones see alike (deuteranopia, Viénot et al. 1999)."""
    linear = {name: (np.array(rgb) / 255) ** 2.2 for name, rgb in RGB.items()}
    eye = np.array([[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]])
    for see in (np.eye(3), eye):
        seen = {name: 255 * np.clip(see @ value, 0, 1) ** (1 / 2.2) for name, value in linear.items()}
        names = list(seen)
        for index, one in enumerate(names):
            for other in names[index + 1 :]:
                assert np.abs(seen[one] - seen[other]).max() > 40, (one, other)


def test_shapes_cover_different_pixels() -> None:
    masks = {shape: inked(render(alone(shape, "black"), 48), "black") for shape in (*SHAPES, BOX)}
    for one in masks:
        assert 25 < masks[one].sum() < 260
        for other in masks:
            if one < other:
                common, either = (masks[one] & masks[other]).sum(), (masks[one] | masks[other]).sum()
                assert common / either < 0.75, (one, other)


def test_everything_can_be_drawn_and_too_small_is_told() -> None:
    for shape in (*SHAPES, BOX):
        for colour in (*COLOURS, GREY):
            assert render(alone(shape, colour), 30).std() > 5
    with pytest.raises(ConfigError, match="picture_px must be at least 9"):
        render(alone("star", "red"), 8)
