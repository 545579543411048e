"""Scenes: drawn as asked, and all that a hidden thing could be."""

from random import Random

from optima_lab.data.synthetic.scene import (
    BOX,
    CELLS,
    COLOURS,
    GREY,
    SHAPES,
    Object,
    Scene,
    completions,
    draw_pair,
    draw_scene,
)


def test_scenes_are_drawn_as_asked() -> None:
    random = Random(3)
    for count in (1, 2, 4):
        for hidden in (0, 1):
            scene = draw_scene(random, count, hidden)
            cells = [thing.cell for thing in scene.things]
            assert cells == sorted(set(cells)) and len(cells) == count and max(cells) < CELLS
            assert sum(thing.hidden for thing in scene.things) == hidden
            assert {t.shape for t in scene.things} <= {*SHAPES, BOX}
            assert {t.colour for t in scene.things} <= {*COLOURS, GREY}


def test_what_is_hidden_could_be_anything() -> None:
    plain, box, grey = Object("sun", "red", 0), Object(BOX, "red", 1), Object("sun", GREY, 2)
    assert list(completions(Scene((plain,), 0))) == [(plain,)]
    assert len(list(completions(Scene((plain, box, grey), 0)))) == len(SHAPES) * len(COLOURS)
    assert len(list(completions(Scene((Object(BOX, GREY, 4),), 0)))) == len(SHAPES) * len(COLOURS)


def test_pairs_often_share_things() -> None:
    random = Random(0)
    pairs = [draw_pair(random) for _ in range(400)]
    for scene in (scene for pair in pairs for scene in pair):
        cells = [thing.cell for thing in scene.things]
        assert 1 <= len(cells) <= 3 and cells == sorted(set(cells))
    looks = [[{(thing.shape, thing.colour) for thing in scene.things} for scene in pair] for pair in pairs]
    assert 0.3 < sum(bool(left & right) for left, right in looks) / len(pairs) < 0.6
