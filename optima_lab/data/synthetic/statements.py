"""Claims about pictures: SNLI-VE's hypotheses, whose truth a picture may leave open, and NLVR2's statements about two.

A statement about two pictures can be told from one number a picture, added up: the paper's head is linear over both
pictures' features, so "exactly one of the pictures" would be out of its reach whatever the encoders learn.
"""

from collections.abc import Iterator

from optima_lab.data.synthetic.grammar import Form, Sentence, a, exists, fits, hypothesis, statement
from optima_lab.data.synthetic.scene import COLOURS, SHAPES, Scene

# --- SNLI-VE: hypotheses about one picture ----------------------------------------------------------------------------


def _shape_claims(scene: Scene) -> Iterator[Sentence]:
    for shape in SHAPES:
        truth = exists(scene.things, shape)
        for text in (f"there is {a(shape)}", f"{a(shape)} can be seen", f"the picture shows {a(shape)}"):
            yield hypothesis(text, truth)
        yield hypothesis(f"there is no {shape}", None if truth is None else not truth)


def _colour_claims(scene: Scene) -> Iterator[Sentence]:
    for colour in COLOURS:
        truth = exists(scene.things, "", colour)
        yield hypothesis(f"something is {colour}", truth)
        yield hypothesis(f"nothing is {colour}", None if truth is None else not truth)


def _pair_claims(scene: Scene) -> Iterator[Sentence]:
    for shape in SHAPES:
        for colour in COLOURS:
            yield hypothesis(f"there is a {colour} {shape}", exists(scene.things, shape, colour))


def _the_shape_claims(scene: Scene) -> Iterator[Sentence]:
    """`the star`: one star is seen, and nothing else could be one."""
    for shape in SHAPES:
        could_be = [thing for thing in scene.things if fits(thing, shape) is not False]
        if len(could_be) == 1 and could_be[0].shape == shape:
            for colour in COLOURS:
                truth = fits(could_be[0], "", colour)
                yield hypothesis(f"the {shape} is {colour}", truth)
                yield hypothesis(f"the {shape} is not {colour}", None if truth is None else not truth)


def _the_colour_claims(scene: Scene) -> Iterator[Sentence]:
    """`the red thing`: one red thing is seen, and nothing else could be red."""
    for colour in COLOURS:
        could_be = [thing for thing in scene.things if fits(thing, "", colour) is not False]
        if len(could_be) == 1 and could_be[0].colour == colour:
            for shape in SHAPES:
                yield hypothesis(f"the {colour} thing is {a(shape)}", fits(could_be[0], shape))


SNLI_VE = (
    Form("shape", 3, _shape_claims),
    Form("colour", 3, _colour_claims),
    Form("pair", 1, _pair_claims),
    Form("the shape", 3, _the_shape_claims),
    Form("the colour", 3, _the_colour_claims),
)

# --- NLVR2: statements about two pictures -----------------------------------------------------------------------------


_WORDS = (*map(a, SHAPES), *(f"something {colour}" for colour in COLOURS))


def _shown(scene: Scene) -> set[str]:
    """Those of `_WORDS` that the picture shows."""
    return {a(thing.shape) for thing in scene.things} | {f"something {thing.colour}" for thing in scene.things}


def _both_statements(left: Scene, right: Scene) -> Iterator[Sentence]:
    on_the_left, on_the_right = _shown(left), _shown(right)
    for words in _WORDS:
        count = (words in on_the_left) + (words in on_the_right)
        yield statement(f"both pictures show {words}", count == 2)
        yield statement(f"there is {words} in both pictures", count == 2)
        yield statement(f"neither picture shows {words}", count == 0)
        yield statement(f"at least one picture shows {words}", count > 0)


def _one_side_statements(left: Scene, right: Scene) -> Iterator[Sentence]:
    for side, scene in (("left", left), ("right", right)):
        shown = _shown(scene)
        for words in _WORDS:
            yield statement(f"the {side} picture shows {words}", words in shown)
            yield statement(f"there is {words} in the {side} picture", words in shown)


def _comparing_statements(left: Scene, right: Scene) -> Iterator[Sentence]:
    counts = len(left.things), len(right.things)
    yield statement("there are more things in the left picture", counts[0] > counts[1])
    yield statement("there are more things in the right picture", counts[0] < counts[1])


NLVR2 = (
    Form("both", 4, _both_statements),
    Form("one side", 4, _one_side_statements),
    Form("comparing", 1, _comparing_statements),
)
