"""Captions: five different ways to say what is there."""

from random import Random

from optima_lab.data.captions import captions
from optima_lab.data.things import Scene, Thing, draw_scene


def test_five_captions_are_different_and_true() -> None:
    random = Random(0)
    for _ in range(100):
        scene = draw_scene(random, random.randint(1, 3), random.randint(0, 1))
        told = captions(random, scene)
        assert len(set(told)) == 5
        for thing in scene.things:
            assert all(f"{thing.colour} {thing.shape}" in caption for caption in told)


def test_relations_in_captions_hold() -> None:
    scene = Scene((Thing("sun", "red", 0), Thing("note", "blue", 5)), 0)
    told = " / ".join(captions(Random(0), scene, 12))
    assert "a red sun above a blue note" in told and "a blue note below a red sun" in told
    assert "left of" not in told and "a red sun below" not in told
