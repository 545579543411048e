"""The grammar of the embedded world: what can be asked, claimed and told about a scene, and whether it holds.

A claim is True, False, or None: undecidable, because it depends on what is under a box or grey paint
(`things.completions`).
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from optima_lab.data.things import BOTTOM, BOX, COLOURS, GREY, LEFT, RIGHT, SHAPES, TOP, Scene, Thing

Truth = bool | None
LABEL = {True: "entailment", None: "neutral", False: "contradiction"}
_YES_NO = ("yes", "no")
_REGIONS = (
    ("at the top", TOP),
    ("at the bottom", BOTTOM),
    ("on the left", LEFT),
    ("on the right", RIGHT),
)


class Said(NamedTuple):
    """A sentence about a picture, its answer, and all answers that this very sentence has in other pictures."""

    text: str
    answer: str
    answers: tuple[str, ...]


@dataclass(frozen=True)
class Form:
    """Sentences of one sort: how often they are wanted, and all of them about a scene (or pair of scenes).

    Within a `kind` (VQA's question type) the best constant answer is as good as the best answer to each sentence.
    """

    kind: str
    weight: float
    about: Callable[..., Iterable[Said]]


def a(noun: str) -> str:
    """The noun (phrase) with its article."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def name(thing: Thing) -> str:
    """Colour and shape."""
    return f"{thing.colour} {thing.shape}"


# --- truth ------------------------------------------------------------------------------------------------------------


def fits(thing: Thing, shape: str = "", colour: str = "") -> Truth:
    """Whether the thing is of that shape and colour ("" for any)."""
    if (shape and thing.shape not in (shape, BOX)) or (colour and thing.colour not in (colour, GREY)):
        return False
    return None if (shape and thing.shape == BOX) or (colour and thing.colour == GREY) else True


def some(values: Iterable[Truth]) -> Truth:
    """Whether one of them is true."""
    values = tuple(values)
    return True if True in values else None if None in values else False


def exists(things: Iterable[Thing], shape: str = "", colour: str = "") -> Truth:
    """Whether there is a thing of that shape and colour."""
    return some(fits(thing, shape, colour) for thing in things)


def _above(one: Thing, other: Thing) -> bool:
    return one.cell // 3 < other.cell // 3


def _left_of(one: Thing, other: Thing) -> bool:
    return one.cell % 3 < other.cell % 3


_PLACES = (("above", _above), ("left of", _left_of))


def _only(things: Iterable[Thing], attribute: str) -> Iterator[tuple[str, Thing]]:
    """The shapes (or colours) of exactly one thing, with that thing."""
    pairs = [(getattr(thing, attribute), thing) for thing in things]
    counts = Counter(value for value, _ in pairs)
    return ((value, thing) for value, thing in pairs if counts[value] == 1)


# --- VQA: questions about scenes without hidden things ----------------------------------------------------------------


def _colour_questions(scene: Scene) -> Iterator[Said]:
    for shape, thing in _only(scene.things, "shape"):
        for text in (f"what colour is the {shape}?", f"which colour does the {shape} have?"):
            yield Said(text, thing.colour, COLOURS)


def _shape_questions(scene: Scene) -> Iterator[Said]:
    for colour, thing in _only(scene.things, "colour"):
        for text in (f"what is {colour}?", f"which thing is {colour}?", f"what is the {colour} thing?"):
            yield Said(text, thing.shape, SHAPES)


def _number_questions(scene: Scene) -> Iterator[Said]:
    yield Said("how many things are there?", str(len(scene.things)), ("2", "3", "4"))
    yield Said("how many things do you see?", str(len(scene.things)), ("2", "3", "4"))


def _shape_number_questions(scene: Scene) -> Iterator[Said]:
    for shape in SHAPES:
        count = sum(thing.shape == shape for thing in scene.things)
        if count <= 2:
            yield Said(f"how many {shape}s are there?", str(count), ("0", "1", "2"))


def _colour_number_questions(scene: Scene) -> Iterator[Said]:
    for colour in COLOURS:
        count = sum(thing.colour == colour for thing in scene.things)
        if count <= 2:
            yield Said(f"how many things are {colour}?", str(count), ("0", "1", "2"))


def _presence_questions(scene: Scene) -> Iterator[Said]:
    for shape in SHAPES:
        answer = "yes" if exists(scene.things, shape) else "no"
        yield Said(f"is there {a(shape)}?", answer, _YES_NO)
        yield Said(f"do you see {a(shape)}?", answer, _YES_NO)
    for colour in COLOURS:
        yield Said(f"is anything {colour}?", "yes" if exists(scene.things, "", colour) else "no", _YES_NO)


def _pair_presence_questions(scene: Scene) -> Iterator[Said]:
    """Only where shape and colour are both there: the question is whether they are one thing."""
    for shape in dict.fromkeys(thing.shape for thing in scene.things):
        for colour in dict.fromkeys(thing.colour for thing in scene.things):
            yield Said(f"is there a {colour} {shape}?", "yes" if exists(scene.things, shape, colour) else "no", _YES_NO)


def _place_questions(scene: Scene) -> Iterator[Said]:
    for shape, thing in _only(scene.things, "shape"):
        for words, cells in _REGIONS:
            yield Said(f"is the {shape} {words}?", "yes" if thing.cell in cells else "no", _YES_NO)


def _relation_questions(scene: Scene) -> Iterator[Said]:
    alone = list(_only(scene.things, "shape"))
    for shape, one in alone:
        for other_shape, other in alone:
            for words, holds in _PLACES:
                if holds(one, other) or holds(other, one):
                    answer = "yes" if holds(one, other) else "no"
                    yield Said(f"is the {shape} {words} the {other_shape}?", answer, _YES_NO)


def _neighbour_questions(scene: Scene) -> Iterator[Said]:
    for shape, one in _only(scene.things, "shape"):
        others = tuple(other for other in SHAPES if other != shape)
        for words, holds in (*_PLACES, ("below", lambda x, y: _above(y, x)), ("right of", lambda x, y: _left_of(y, x))):
            there = [other for other in scene.things if holds(other, one)]
            if len(there) == 1:
                yield Said(f"what is {words} the {shape}?", there[0].shape, others)


VQA = (
    Form("colour", 4, _colour_questions),
    Form("shape", 4, _shape_questions),
    Form("count", 1, _number_questions),
    Form("count", 2, _shape_number_questions),
    Form("count", 2, _colour_number_questions),
    Form("presence", 3, _presence_questions),
    Form("presence", 1, _pair_presence_questions),
    Form("relation", 3, _place_questions),
    Form("relation", 1, _relation_questions),
    Form("neighbour", 1, _neighbour_questions),
)

# --- SNLI-VE: hypotheses; a picture may leave their truth open --------------------------------------------------------


def _hypotheses(text: str, truth: Truth) -> Said:
    return Said(text, LABEL[truth], tuple(LABEL.values()))


def _shape_claims(scene: Scene) -> Iterator[Said]:
    for shape in SHAPES:
        truth = exists(scene.things, shape)
        for text in (f"there is {a(shape)}", f"{a(shape)} can be seen", f"the picture shows {a(shape)}"):
            yield _hypotheses(text, truth)
        yield _hypotheses(f"there is no {shape}", None if truth is None else not truth)


def _colour_claims(scene: Scene) -> Iterator[Said]:
    for colour in COLOURS:
        truth = exists(scene.things, "", colour)
        yield _hypotheses(f"something is {colour}", truth)
        yield _hypotheses(f"nothing is {colour}", None if truth is None else not truth)


def _pair_claims(scene: Scene) -> Iterator[Said]:
    for shape in SHAPES:
        for colour in COLOURS:
            yield _hypotheses(f"there is a {colour} {shape}", exists(scene.things, shape, colour))


def _the_shape_claims(scene: Scene) -> Iterator[Said]:
    """`the star`: one star is seen, and nothing else could be one."""
    for shape in SHAPES:
        could_be = [thing for thing in scene.things if fits(thing, shape) is not False]
        if len(could_be) == 1 and could_be[0].shape == shape:
            for colour in COLOURS:
                truth = fits(could_be[0], "", colour)
                yield _hypotheses(f"the {shape} is {colour}", truth)
                yield _hypotheses(f"the {shape} is not {colour}", None if truth is None else not truth)


def _the_colour_claims(scene: Scene) -> Iterator[Said]:
    """`the red thing`: one red thing is seen, and nothing else could be red."""
    for colour in COLOURS:
        could_be = [thing for thing in scene.things if fits(thing, "", colour) is not False]
        if len(could_be) == 1 and could_be[0].colour == colour:
            for shape in SHAPES:
                yield _hypotheses(f"the {colour} thing is {a(shape)}", fits(could_be[0], shape))


SNLI_VE = (
    Form("shape", 3, _shape_claims),
    Form("colour", 3, _colour_claims),
    Form("pair", 1, _pair_claims),
    Form("the shape", 3, _the_shape_claims),
    Form("the colour", 3, _the_colour_claims),
)

# --- NLVR2: statements about two pictures -----------------------------------------------------------------------------
#
# Each can be told from one number a picture, added up: the paper's head is linear over both pictures' features, so
# "exactly one of the pictures" would be out of its reach whatever the encoders learn.


def _statement(text: str, truth: bool) -> Said:
    return Said(text, str(truth), ("True", "False"))


def _descriptions() -> list[tuple[str, str, str]]:
    return [(a(shape), shape, "") for shape in SHAPES] + [(f"something {colour}", "", colour) for colour in COLOURS]


def _both_statements(left: Scene, right: Scene) -> Iterator[Said]:
    for words, shape, colour in _descriptions():
        count = sum(exists(side.things, shape, colour) is True for side in (left, right))
        yield _statement(f"both pictures show {words}", count == 2)
        yield _statement(f"there is {words} in both pictures", count == 2)
        yield _statement(f"neither picture shows {words}", count == 0)
        yield _statement(f"there is {words} in neither picture", count == 0)
        yield _statement(f"at least one picture shows {words}", count > 0)
        yield _statement(f"there is {words} in at least one picture", count > 0)


def _one_side_statements(left: Scene, right: Scene) -> Iterator[Said]:
    for side, scene in (("left", left), ("right", right)):
        for words, shape, colour in _descriptions():
            truth = exists(scene.things, shape, colour) is True
            yield _statement(f"the {side} picture shows {words}", truth)
            yield _statement(f"there is {words} in the {side} picture", truth)


def _comparing_statements(left: Scene, right: Scene) -> Iterator[Said]:
    for one, other, side in ((left, right, "left"), (right, left, "right")):
        yield _statement(f"there are more things in the {side} picture", len(one.things) > len(other.things))
        yield _statement(f"the {side} picture shows more things", len(one.things) > len(other.things))


def _counting_statements(left: Scene, right: Scene) -> Iterator[Said]:
    for count, words in enumerate(("one thing", "two things", "three things"), start=1):
        for side, scene in (("left", left), ("right", right)):
            yield _statement(f"the {side} picture shows exactly {words}", len(scene.things) == count)


NLVR2 = (
    Form("both", 4, _both_statements),
    Form("one side", 3, _one_side_statements),
    Form("comparing", 1, _comparing_statements),
    Form("counting", 1, _counting_statements),
)
