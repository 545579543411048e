"""VQA: questions about scenes in which nothing is hidden, each with its one answer."""

from collections.abc import Iterator

from optima_lab.data.synthetic.grammar import Form, Sentence, a, exists, only
from optima_lab.data.synthetic.scene import COLOURS, SHAPES, Object, Scene

_YES_NO = ("yes", "no")
_ROWS, _COLUMNS = ("top", "middle", "bottom"), ("left", "middle", "right")


def _above(one: Object, other: Object) -> bool:
    return one.cell // 3 < other.cell // 3


def _left_of(one: Object, other: Object) -> bool:
    return one.cell % 3 < other.cell % 3


_PLACES = (("above", _above), ("left of", _left_of))


def _colour_questions(scene: Scene) -> Iterator[Sentence]:
    for shape, thing in only(scene.things, "shape"):
        for text in (f"what colour is the {shape}?", f"which colour does the {shape} have?"):
            yield Sentence(text, thing.colour, COLOURS)


def _shape_questions(scene: Scene) -> Iterator[Sentence]:
    for colour, thing in only(scene.things, "colour"):
        for text in (f"what is {colour}?", f"which thing is {colour}?", f"what is the {colour} thing?"):
            yield Sentence(text, thing.shape, SHAPES)


def _number_questions(scene: Scene) -> Iterator[Sentence]:
    yield Sentence("how many things are there?", str(len(scene.things)), ("2", "3", "4"))
    yield Sentence("how many things do you see?", str(len(scene.things)), ("2", "3", "4"))


def _shape_number_questions(scene: Scene) -> Iterator[Sentence]:
    for shape in SHAPES:
        count = sum(thing.shape == shape for thing in scene.things)
        if count <= 2:
            yield Sentence(f"how many {shape}s are there?", str(count), ("0", "1", "2"))


def _colour_number_questions(scene: Scene) -> Iterator[Sentence]:
    for colour in COLOURS:
        count = sum(thing.colour == colour for thing in scene.things)
        if count <= 2:
            yield Sentence(f"how many things are {colour}?", str(count), ("0", "1", "2"))


def _presence_questions(scene: Scene) -> Iterator[Sentence]:
    for shape in SHAPES:
        answer = "yes" if exists(scene.things, shape) else "no"
        yield Sentence(f"is there {a(shape)}?", answer, _YES_NO)
        yield Sentence(f"do you see {a(shape)}?", answer, _YES_NO)
    for colour in COLOURS:
        yield Sentence(f"is anything {colour}?", "yes" if exists(scene.things, "", colour) else "no", _YES_NO)


def _pair_presence_questions(scene: Scene) -> Iterator[Sentence]:
    """Only where shape and colour are both there: the question is whether they are one thing."""
    for shape in dict.fromkeys(thing.shape for thing in scene.things):
        for colour in dict.fromkeys(thing.colour for thing in scene.things):
            yield Sentence(
                f"is there a {colour} {shape}?", "yes" if exists(scene.things, shape, colour) else "no", _YES_NO
            )


def _place_questions(scene: Scene) -> Iterator[Sentence]:
    for shape, thing in only(scene.things, "shape"):
        row, column = divmod(thing.cell, 3)
        yield Sentence(f"which row is the {shape} in?", _ROWS[row], _ROWS)
        yield Sentence(f"which column is the {shape} in?", _COLUMNS[column], _COLUMNS)


def _relation_questions(scene: Scene) -> Iterator[Sentence]:
    alone = list(only(scene.things, "shape"))
    for shape, one in alone:
        for other_shape, other in alone:
            for words, holds in _PLACES:
                if holds(one, other) or holds(other, one):
                    answer = "yes" if holds(one, other) else "no"
                    yield Sentence(f"is the {shape} {words} the {other_shape}?", answer, _YES_NO)


def _neighbour_questions(scene: Scene) -> Iterator[Sentence]:
    for shape, one in only(scene.things, "shape"):
        others = tuple(other for other in SHAPES if other != shape)
        for words, holds in (*_PLACES, ("below", lambda x, y: _above(y, x)), ("right of", lambda x, y: _left_of(y, x))):
            there = [other for other in scene.things if holds(other, one)]
            if len(there) == 1:
                yield Sentence(f"what is {words} the {shape}?", there[0].shape, others)


VQA = (
    Form("colour", 4, _colour_questions),
    Form("shape", 4, _shape_questions),
    Form("count", 1, _number_questions),
    Form("count", 2, _shape_number_questions),
    Form("count", 2, _colour_number_questions),
    Form("presence", 3, _presence_questions),
    Form("presence", 1, _pair_presence_questions),
    Form("place", 2, _place_questions),
    Form("relation", 0.5, _relation_questions),
    Form("neighbour", 0.5, _neighbour_questions),
)
