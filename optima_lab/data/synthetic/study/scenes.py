"""Scenes of the study world: more objects than in the glyph world, and few shapes and colours within one scene.

A scene draws its objects from a small palette of its own, so that objects share shapes and colours: there is something
to count, to compare, and to reach through a shared attribute.
"""

from collections.abc import Sequence
from random import Random

from optima_lab.data.synthetic.scene import CELLS, Object, Scene, hide

SHAPES = ("star", "heart", "sun", "horse", "anchor")  # few words, so that each has many examples in every role
COLOURS = ("red", "green", "blue", "yellow")
PALETTE = 3  # shapes, and colours, that most objects of a scene are drawn from
STRAY = 0.2  # chance that an object takes any shape (or colour) instead


def study_scene(random: Random, counts: Sequence[int], hidden: int = 0) -> Scene:
    """A scene of one of these `counts` of objects, each in a cell of its own, `hidden` of them partly hidden."""
    count = random.choice(counts)
    shapes, colours = random.sample(SHAPES, PALETTE), random.sample(COLOURS, PALETTE)
    cells = sorted(random.sample(range(CELLS), count))
    covered = set(random.sample(range(count), min(hidden, count)))
    things = [Object(_either(random, shapes, SHAPES), _either(random, colours, COLOURS), cell) for cell in cells]
    return Scene(
        tuple(hide(random, thing) if index in covered else thing for index, thing in enumerate(things)),
        random.getrandbits(32),
    )


def study_pair(random: Random, counts: Sequence[int]) -> tuple[Scene, Scene]:
    """Two scenes; in half of the pairs the right one keeps about half of the left one's objects, in other cells."""
    left, right = study_scene(random, counts), study_scene(random, counts)
    if random.random() < 0.5:
        return left, right
    kept = [thing for thing in left.things if random.random() < 0.5]
    looks = [(thing.shape, thing.colour) for thing in (*kept, *right.things)][: len(right.things)]
    random.shuffle(looks)
    things = [Object(*look, old.cell) for look, old in zip(looks, right.things, strict=True)]
    return left, Scene(tuple(things), right.look)


def _either(random: Random, few: Sequence[str], all: Sequence[str]) -> str:
    return random.choice(all if random.random() < STRAY else few)
