"""Five captions of a scene: the same things told in different ways."""

from collections.abc import Callable
from random import Random

from optima_lab.data.synthetic.grammar import a, listed, name
from optima_lab.data.synthetic.scene import Object, Scene

_LONGEST_WORDS = 14
_OPENINGS = ("", "", "there is ", "a picture of ", "you can see ")


def caption(random: Random, scene: Scene) -> str:
    """One caption of at most fourteen words."""
    text = _caption(random, scene)
    while len(text.split()) > _LONGEST_WORDS:
        text = _caption(random, scene)
    return text


def _caption(random: Random, scene: Scene) -> str:
    """The things in any order, each told colour first or shape first, with where they are or as a list.

    So a model that learns to write them learns to find a thing by its colour and by its shape.
    """
    things = random.sample(scene.things, len(scene.things))
    phrases = [_phrase(random, thing) for thing in things]
    opening = random.choice(_OPENINGS)
    style = random.random()
    if len(things) == 1:
        return opening + phrases[0] + (f" {_place(things[0])}" if style < 0.5 else "")
    if style < 0.4:
        rest = f" and {phrases[2]}" if len(phrases) > 2 else ""
        return f"{opening}{phrases[0]} {_relation(things[0], things[1])} {phrases[1]}{rest}"
    if style < 0.6:
        return listed([f"{phrases[0]} {_place(things[0])}", *(a(name(thing)) for thing in things[1:])])
    return opening + listed(phrases)


def _phrase(random: Random, thing: Object) -> str:
    if random.random() < 0.5:
        return a(name(thing))
    return f"{a(thing.shape)} in {thing.colour}"


def _relation(one: Object, other: Object) -> str:
    rows, columns = one.cell // 3 - other.cell // 3, one.cell % 3 - other.cell % 3
    if rows:
        return "above" if rows < 0 else "below"
    return "left of" if columns < 0 else "right of"


def _place(thing: Object) -> str:
    row, column = divmod(thing.cell, 3)
    if row == 1:
        return ("on the left", "in the middle", "on the right")[column]
    return f"at the {'top' if row == 0 else 'bottom'}{(' left', '', ' right')[column]}"


def captions(
    random: Random, scene: Scene, count: int = 5, describe: Callable[[Random, Scene], str] = caption
) -> tuple[str, ...]:
    """`count` captions of a scene, no two of them alike."""
    texts: dict[str, None] = {}
    while len(texts) < count:
        texts[describe(random, scene)] = None
    return tuple(texts)
