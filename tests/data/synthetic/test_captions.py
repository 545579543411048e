"""Captions: five different ways to say what is there."""

from random import Random

from optima_lab.data.synthetic.captions import captions
from optima_lab.data.synthetic.scene import Object, Scene, draw_scene


def test_five_captions_are_different_and_true() -> None:
    random = Random(0)
    for _ in range(100):
        scene = draw_scene(random, random.randint(1, 3), random.randint(0, 1))
        told = captions(random, scene)
        assert len(set(told)) == 5
        assert max(len(caption.split()) for caption in told) <= 14
        for thing in scene.things:
            named = (f"{thing.colour} {thing.shape}", f"{thing.shape} in {thing.colour}")
            assert all(any(name in caption for name in named) for caption in told)


def test_things_are_named_colour_first_and_shape_first_in_any_order() -> None:
    """Else nothing in captions asks for a colour given a shape, or for what was not told yet."""
    scene = Scene((Object("sun", "red", 0), Object("note", "blue", 5)), 0)
    told = " / ".join(captions(Random(0), scene, 30))
    for phrase in ("red sun", "sun in red", "blue note", "note in blue"):
        assert phrase in told
    assert any(c.index("sun") < c.index("note") for c in told.split(" / "))
    assert any(c.index("sun") > c.index("note") for c in told.split(" / "))


def test_relations_in_captions_hold() -> None:
    scene = Scene((Object("sun", "red", 0), Object("note", "blue", 5)), 0)
    told = [caption for caption in captions(Random(0), scene, 40) if "above" in caption or "below" in caption]
    assert len(told) > 5
    assert all(("above" in caption) == (caption.index("sun") < caption.index("note")) for caption in told)
    assert not any("left of" in caption for caption in told)
