"""NLVR2 of the study world: statements that count, compare and quantify over both pictures.

Each can be told from one number a picture, added up: the paper's head is linear over both pictures' features, so
"exactly one of the pictures" would be out of its reach whatever the encoders learn (as in `synthetic.statements`).
"""

from collections.abc import Iterator
from itertools import permutations

from optima_lab.data.synthetic.grammar import Form, Sentence, statement
from optima_lab.data.synthetic.scene import Scene
from optima_lab.data.synthetic.study.hypotheses import NUMBERS, something
from optima_lab.data.synthetic.study.questions import ATTRIBUTES, count, named
from optima_lab.data.synthetic.study.scenes import COLOURS


def _shown(left: Scene, right: Scene, attribute: str) -> list[str]:
    return list(dict.fromkeys(getattr(thing, attribute) for thing in (*left.things, *right.things)))


def present_statements(left: Scene, right: Scene) -> Iterator[Sentence]:
    """A star (or something red) on one side, in both pictures, or in either."""
    for attribute, values in ATTRIBUTES.items():
        for value in values:
            shown = [count(scene.things, attribute, value) > 0 for scene in (left, right)]
            what = something(attribute, value)
            yield statement(f"{what} on the left", shown[0])
            yield statement(f"{what} on the right", shown[1])
            yield statement(f"{what} in both pictures", all(shown))
            yield statement(f"{what} in either picture", any(shown))


def total_statements(left: Scene, right: Scene) -> Iterator[Sentence]:
    """At least three stars in both pictures together."""
    things = (*left.things, *right.things)
    for attribute in ATTRIBUTES:
        for value in _shown(left, right, attribute):
            total = count(things, attribute, value)
            for number in (2, 3, 4):
                yield statement(f"at least {NUMBERS[number]} {named(attribute, value)} in all", total >= number)


def side_statements(left: Scene, right: Scene) -> Iterator[Sentence]:
    """More stars in one picture than in the other."""
    for attribute in ATTRIBUTES:
        for value in _shown(left, right, attribute):
            counts = count(left.things, attribute, value), count(right.things, attribute, value)
            what = named(attribute, value)
            yield statement(f"more {what} on the left", counts[0] > counts[1])
            yield statement(f"more {what} on the right", counts[0] < counts[1])


def across_statements(left: Scene, right: Scene) -> Iterator[Sentence]:
    """More stars in both pictures together than hearts."""
    things = (*left.things, *right.things)
    for attribute in ATTRIBUTES:
        for first, second in permutations(_shown(left, right, attribute), 2):
            more = count(things, attribute, first) > count(things, attribute, second)
            yield statement(f"more {named(attribute, first)} than {named(attribute, second)} in all", more)


def every_statements(left: Scene, right: Scene) -> Iterator[Sentence]:
    """Every star of both pictures is red, or none is: where there is a star."""
    things = (*left.things, *right.things)
    for shape in _shown(left, right, "shape"):
        colours = {thing.colour for thing in things if thing.shape == shape}
        for colour in COLOURS:
            yield statement(f"no {shape} is {colour}", colour not in colours)
            if colour in colours:
                yield statement(f"every {shape} is {colour}", colours == {colour})


def both_statements(left: Scene, right: Scene) -> Iterator[Sentence]:
    """A red star in both pictures, or in at least one."""
    looks = [{(thing.colour, thing.shape) for thing in scene.things} for scene in (left, right)]
    for colour, shape in sorted(looks[0] | looks[1]):
        number = sum((colour, shape) in look for look in looks)
        yield statement(f"a {colour} {shape} in both pictures", number == 2)
    for colour in _shown(left, right, "colour"):
        for shape in _shown(left, right, "shape"):
            number = sum((colour, shape) in look for look in looks)
            yield statement(f"a {colour} {shape} in either picture", number > 0)


def statements(depth: float) -> tuple[Form, ...]:
    """All forms; `depth` weighs those of two attributes, counting and comparing, and below 1 also asks about one word.

    At depth 1 teachers that were pre-trained briefly stay at chance (`notebooks/LOG.md`).
    """
    simple = max(0.0, 1 - depth)
    return (
        Form("present", 12 * simple, present_statements),
        Form("both", 3 * depth, both_statements),
        Form("total", depth, total_statements),
        Form("side", depth, side_statements),
        Form("across", 0.5 * depth, across_statements),
        Form("every", 0.5 * depth, every_statements),
    )
