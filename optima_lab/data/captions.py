"""Five captions of a scene: the same things told in different ways, some of them told incompletely."""

from collections.abc import Sequence
from random import Random

from optima_lab.data.sentences import a, name
from optima_lab.data.things import Scene, Thing

_OPENINGS = ("", "", "there is ", "a picture of ", "you can see ")


def captions(random: Random, scene: Scene, count: int = 5) -> tuple[str, ...]:
    """`count` captions of a scene of one to three things, no two of them alike."""
    told: dict[str, None] = {}
    while len(told) < count:
        told[caption(random, scene)] = None
    return tuple(told)


def caption(random: Random, scene: Scene) -> str:
    """One caption: mostly in reading order, with where things are or as a bare list; sometimes back to front."""
    things = list(scene.things)
    style = random.random()
    opening = random.choice(_OPENINGS)
    if len(things) == 1:
        return opening + a(name(things[0])) + (f" {_place(things[0])}" if style < 0.6 else "")
    if style < 0.40:
        return opening + _related(things)
    if style < 0.70:
        return opening + _listed([a(name(thing)) for thing in things])
    if style < 0.85:
        return opening + _listed([f"{a(name(things[0]))} {_place(things[0])}", *(a(name(t)) for t in things[1:])])
    return opening + _related(things[::-1])


def _related(things: Sequence[Thing]) -> str:
    first, second, *rest = things
    told = f"{a(name(first))} {_relation(first, second)} {a(name(second))}"
    return told + (f" and {a(name(rest[0]))}" if rest else "")


def _listed(parts: Sequence[str]) -> str:
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


def _relation(one: Thing, other: Thing) -> str:
    rows, columns = one.cell // 3 - other.cell // 3, one.cell % 3 - other.cell % 3
    if rows:
        return "above" if rows < 0 else "below"
    return "left of" if columns < 0 else "right of"


def _place(thing: Thing) -> str:
    row, column = divmod(thing.cell, 3)
    if row == 1:
        return ("on the left", "in the middle", "on the right")[column]
    return f"at the {'top' if row == 0 else 'bottom'}{(' left', '', ' right')[column]}"
