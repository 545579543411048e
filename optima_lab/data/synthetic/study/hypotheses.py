"""SNLI-VE of the study world: hypotheses with quantifiers and comparisons, which hidden objects may leave open.

Truth is three-valued: counts are known up to the objects that could be meant. An object whose shape is under a box, or
whose colour is under grey paint, may be anything there, independently of all others; so bounds decide exactly.
"""

from collections.abc import Iterable, Iterator
from itertools import permutations

from optima_lab.data.synthetic.grammar import Form, Sentence, Truth, a, fits, hypothesis, some
from optima_lab.data.synthetic.scene import Object, Scene
from optima_lab.data.synthetic.study.questions import ATTRIBUTES, OPPOSITE, named, one
from optima_lab.data.synthetic.study.scenes import COLOURS, SHAPES

NUMBERS = {1: "one", 2: "two", 3: "three", 4: "four"}


def bounds(things: Iterable[Object], attribute: str, value: str) -> tuple[int, int]:
    """Least and largest number of things that have this shape (or colour)."""
    truths = [fits(thing, **{attribute: value}) for thing in things]
    return sum(fit is True for fit in truths), sum(fit is not False for fit in truths)


def within(low: int, high: int, least: int, most: int) -> Truth:
    """Whether a number known to lie in low..high lies in least..most."""
    if least <= low and high <= most:
        return True
    return None if low <= most and least <= high else False


def negated(truth: Truth) -> Truth:
    """Not true, not false, or still open."""
    return None if truth is None else not truth


def both(one: Truth, other: Truth) -> Truth:
    """Whether both hold, where what leaves one open says nothing about the other."""
    if False in (one, other):
        return False
    return None if None in (one, other) else True


def present_hypotheses(scene: Scene) -> Iterator[Sentence]:
    """A star, something red, or none."""
    for attribute, values in ATTRIBUTES.items():
        for value in values:
            truth = some(fits(thing, **{attribute: value}) for thing in scene.things)
            yield hypothesis(f"there is {something(attribute, value)}", truth)


def the_hypotheses(scene: Scene) -> Iterator[Sentence]:
    """The star is red, the red one is a star: where one is seen, and nothing hidden could be another."""
    for attribute, values in ATTRIBUTES.items():
        for value in values:
            could_be = [thing for thing in scene.things if fits(thing, **{attribute: value}) is not False]
            if len(could_be) == 1 and fits(could_be[0], **{attribute: value}):
                for other in ATTRIBUTES[OPPOSITE[attribute]]:
                    truth = fits(could_be[0], **{OPPOSITE[attribute]: other})
                    words = a(other) if attribute == "colour" else other
                    yield hypothesis(f"the {one(attribute, value)} is {words}", truth)


def something(attribute: str, value: str) -> str:
    """'a star' or 'something red'."""
    return a(value) if attribute == "shape" else f"something {value}"


def number_hypotheses(scene: Scene) -> Iterator[Sentence]:
    """At least, exactly, or at most two stars (or red things)."""
    for attribute, values in ATTRIBUTES.items():
        for value in values:
            low, high = bounds(scene.things, attribute, value)
            for number in (2, 3):
                what = f"{NUMBERS[number]} {named(attribute, value)}"
                yield hypothesis(f"at least {what}", within(low, high, number, 9))
                yield hypothesis(f"exactly {what}", within(low, high, number, number))
                yield hypothesis(f"fewer than {what}", within(low, high, 0, number - 1))


def compare_hypotheses(scene: Scene) -> Iterator[Sentence]:
    """More red than blue things: a hidden one may be either, or neither."""
    for attribute, values in ATTRIBUTES.items():
        shown = [value for value in values if bounds(scene.things, attribute, value)[0]]
        for first, second in permutations(shown, 2):
            one, other = bounds(scene.things, attribute, first), bounds(scene.things, attribute, second)
            open_things = one[1] - one[0]  # the same objects may be the other
            difference = one[0] - other[0]
            truth = within(difference - open_things, difference + open_things, 1, 9)
            yield hypothesis(f"more {named(attribute, first)} than {named(attribute, second)}", truth)


def every_hypotheses(scene: Scene) -> Iterator[Sentence]:
    """Every star is red, no star is red, some star is not: where a star is seen."""
    for shape in SHAPES:
        if bounds(scene.things, "shape", shape)[0] == 0:
            continue
        for colour in COLOURS:
            exception = some(both(fits(t, shape), negated(fits(t, "", colour))) for t in scene.things)
            example = some(fits(t, shape, colour) for t in scene.things)
            yield hypothesis(f"every {shape} is {colour}", negated(exception))
            yield hypothesis(f"some {shape} is not {colour}", exception)
            yield hypothesis(f"no {shape} is {colour}", negated(example))


def pair_hypotheses(scene: Scene) -> Iterator[Sentence]:
    """A red star, and not a star and something red."""
    for shape in SHAPES:
        for colour in COLOURS:
            truth = some(fits(thing, shape, colour) for thing in scene.things)
            yield hypothesis(f"there is {a(colour)} {shape}", truth)


def hypotheses(depth: float) -> tuple[Form, ...]:
    """All forms; `depth` weighs those of two attributes or all objects, and below 1 also asks about one attribute.

    Teachers learn to look at the right object from captions, in pre-training, and not from either (`notebooks/LOG.md`).
    """
    simple = max(0.0, 1 - depth)
    return (
        Form("the", 10 * simple, the_hypotheses),
        Form("present", 4 * simple, present_hypotheses),
        Form("pair", 3 * depth, pair_hypotheses),
        Form("number", depth, number_hypotheses),
        Form("every", 0.5 * depth, every_hypotheses),
        Form("compare", 0.5 * depth, compare_hypotheses),
    )
