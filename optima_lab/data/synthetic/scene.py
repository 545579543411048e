"""What a scene of the embedded world holds: coloured things on a 3 x 3 grid, some of them partly hidden."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

SHAPES = ("star", "heart", "sun", "umbrella", "horse", "note", "snowman", "anchor")
COLOURS = ("red", "green", "blue", "yellow", "black", "pink")
BOX, GREY = "box", "grey"  # a box hides its shape, grey paint its colour, a grey box both
CELLS = 9


@dataclass(frozen=True)
class Object:
    """A shape (or box) of a colour (or grey) in a cell, numbered row by row from the top left."""

    shape: str
    colour: str
    cell: int

    @property
    def hidden(self) -> bool:
        return self.shape == BOX or self.colour == GREY


@dataclass(frozen=True)
class Scene:
    """Things in reading order, and the seed of what says nothing: position in the cell, size, background, noise."""

    things: tuple[Object, ...]
    look: int


def draw_scene(random: Random, count: int, hidden: int = 0) -> Scene:
    """`count` things in cells of their own, `hidden` of them partly hidden.

    In two scenes of five, things like to share a shape or a colour, so that there is something to count.
    """
    shape, colour = random.choice(SHAPES), random.choice(COLOURS)
    alike = random.random() < 0.4
    cells = sorted(random.sample(range(CELLS), count))
    covered = set(random.sample(range(count), hidden))
    things = []
    for index, cell in enumerate(cells):
        thing = Object(
            shape if alike and random.random() < 0.6 else random.choice(SHAPES),
            colour if alike and random.random() < 0.4 else random.choice(COLOURS),
            cell,
        )
        things.append(hide(random, thing) if index in covered else thing)
    return Scene(tuple(things), random.getrandbits(32))


def draw_pair(random: Random) -> tuple[Scene, Scene]:
    """Two scenes of 1 to 3, mostly 1 or 2 things; in half of the pairs the right one keeps most of the left one."""
    left, right = (draw_scene(random, random.choice((1, 1, 2, 2, 3))) for _ in range(2))
    if random.random() < 0.5:
        return left, right
    kept = [thing for thing in left.things if random.random() < 0.7]
    cells = random.sample(range(CELLS), CELLS)
    looks = [(thing.shape, thing.colour) for thing in kept] + [(thing.shape, thing.colour) for thing in right.things]
    things = [Object(shape, colour, cells.pop()) for shape, colour in looks[: max(1, len(right.things))]]
    return left, Scene(tuple(sorted(things, key=lambda thing: thing.cell)), right.look)


def completions(scene: Scene) -> Iterator[tuple[Object, ...]]:
    """Every way the scene could be under its boxes and grey paint."""
    ways: list[tuple[Object, ...]] = [()]
    for thing in scene.things:
        shapes = SHAPES if thing.shape == BOX else (thing.shape,)
        colours = COLOURS if thing.colour == GREY else (thing.colour,)
        ways = [(*way, Object(shape, colour, thing.cell)) for way in ways for shape in shapes for colour in colours]
    return iter(ways)


def hide(random: Random, thing: Object) -> Object:
    """The object as a box (shape unknown), under grey paint (colour unknown), or both."""
    how = random.randrange(3)
    return Object(BOX if how != 0 else thing.shape, GREY if how != 1 else thing.colour, thing.cell)
