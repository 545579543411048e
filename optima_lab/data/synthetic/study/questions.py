"""VQA of the study world: questions of several steps: reach through a shared attribute, count, compare, check all.

Every question names words of which the scene says which answer is right; nothing is hidden in these scenes.
"""

from collections import Counter
from collections.abc import Iterator
from itertools import permutations

from optima_lab.data.synthetic.grammar import Form, Sentence, only
from optima_lab.data.synthetic.scene import Object, Scene
from optima_lab.data.synthetic.study.scenes import COLOURS, SHAPES

YES_NO = ("yes", "no")
COUNTS = ("0", "1", "2", "3")
EITHER = ("1", "2", "3", "4")
OTHERS = ("0", "1", "2")
ATTRIBUTES = {"shape": SHAPES, "colour": COLOURS}
OPPOSITE = {"shape": "colour", "colour": "shape"}


def named(attribute: str, value: str) -> str:
    """'stars' or 'red ones'."""
    return f"{value}s" if attribute == "shape" else f"{value} ones"


def one(attribute: str, value: str) -> str:
    """'star' or 'red one'."""
    return value if attribute == "shape" else f"{value} one"


def _like(shared: str) -> str:
    return "shaped like" if shared == "shape" else "coloured like"


def count(things: tuple[Object, ...], attribute: str, value: str) -> int:
    """How many of the things have this shape (or colour)."""
    return sum(getattr(thing, attribute) == value for thing in things)


def _present(scene: Scene, attribute: str) -> list[str]:
    return list(dict.fromkeys(getattr(thing, attribute) for thing in scene.things))


def _yes(holds: bool) -> str:
    return "yes" if holds else "no"


def attribute_questions(scene: Scene) -> Iterator[Sentence]:
    """One step: the colour of the only star, the shape of the only red thing."""
    for shape, thing in only(scene.things, "shape"):
        yield Sentence(f"what colour is the {shape}?", thing.colour, COLOURS)
    for colour, thing in only(scene.things, "colour"):
        yield Sentence(f"what shape is the {colour} one?", thing.shape, SHAPES)


def count_questions(scene: Scene) -> Iterator[Sentence]:
    """How many have one attribute."""
    for attribute, values in ATTRIBUTES.items():
        for value in values:
            number = count(scene.things, attribute, value)
            if str(number) in COUNTS:
                yield Sentence(f"how many {named(attribute, value)}?", str(number), COUNTS)


def either_count_questions(scene: Scene) -> Iterator[Sentence]:
    """How many are red or stars: both attributes at once, nothing counted twice."""
    for shape in _present(scene, "shape"):
        for colour in _present(scene, "colour"):
            number = sum(thing.shape == shape or thing.colour == colour for thing in scene.things)
            if str(number) in EITHER:
                yield Sentence(f"how many are {colour} or {shape}s?", str(number), EITHER)


def compare_questions(scene: Scene) -> Iterator[Sentence]:
    """Two counts compared; 'no' where they are equal, too."""
    for attribute in ATTRIBUTES:
        for first, second in permutations(_present(scene, attribute), 2):
            more = count(scene.things, attribute, first) > count(scene.things, attribute, second)
            yield Sentence(f"more {named(attribute, first)} than {named(attribute, second)}?", _yes(more), YES_NO)


def most_questions(scene: Scene) -> Iterator[Sentence]:
    """The colour (or shape) that most things have, where there is one alone."""
    for attribute, values in ATTRIBUTES.items():
        ranked = Counter(getattr(thing, attribute) for thing in scene.things).most_common(2)
        if len(ranked) == 1 or ranked[0][1] > ranked[1][1]:
            yield Sentence(f"which {attribute} is most common?", ranked[0][0], values)


def every_questions(scene: Scene) -> Iterator[Sentence]:
    """Whether all stars are red, where there are stars and something red."""
    for attribute, other in OPPOSITE.items():
        for value in _present(scene, attribute):
            those = tuple(thing for thing in scene.things if getattr(thing, attribute) == value)
            for wanted in _present(scene, other):
                words = f"{wanted}s" if other == "shape" else wanted
                holds = count(those, other, wanted) == len(those)
                yield Sentence(f"are all {named(attribute, value)} {words}?", _yes(holds), YES_NO)


def partner_questions(scene: Scene) -> Iterator[Sentence]:
    """Two steps: the shape of the one other thing that has the colour of the star; the same from colour to shape."""
    for attribute, shared in OPPOSITE.items():
        for value, thing in only(scene.things, attribute):
            others = [t for t in scene.things if t is not thing and getattr(t, shared) == getattr(thing, shared)]
            if len(others) == 1:
                text = f"which other is {_like(shared)} the {one(attribute, value)}?"
                answers = tuple(name for name in ATTRIBUTES[attribute] if name != value)
                yield Sentence(text, getattr(others[0], attribute), answers)


def partner_count_questions(scene: Scene) -> Iterator[Sentence]:
    """Two steps, then counting: how many others have the colour of the star."""
    for attribute, shared in OPPOSITE.items():
        for value, thing in only(scene.things, attribute):
            number = count(scene.things, shared, getattr(thing, shared)) - 1
            if str(number) in OTHERS:
                text = f"how many others are {_like(shared)} the {one(attribute, value)}?"
                yield Sentence(text, str(number), OTHERS)


def same_questions(scene: Scene) -> Iterator[Sentence]:
    """Two lookups compared: whether the star and the heart have one colour."""
    for attribute, shared in OPPOSITE.items():
        for (a, x), (b, y) in permutations(only(scene.things, attribute), 2):
            text = f"is the {one(attribute, a)} {_like(shared)} the {one(attribute, b)}?"
            yield Sentence(text, _yes(getattr(x, shared) == getattr(y, shared)), YES_NO)


def questions(depth: float) -> tuple[Form, ...]:
    """All forms; `depth` weighs those of two steps, and above 1 also asks what teachers of this size did not learn.

    Attributes weigh most: looking at the right object is learnt from them first, and all else builds on it.
    """
    beyond = max(0.0, depth - 1)  # `notebooks/LOG.md`: at chance after 5,000 steps on 18,000 questions
    return (
        Form("attribute", 4, attribute_questions),
        Form("count", 2, count_questions),
        Form("most", 1, most_questions),
        Form("partner", 2 * depth, partner_questions),
        Form("compare", beyond, compare_questions),
        Form("every", beyond, every_questions),
        Form("same", beyond, same_questions),
        Form("either", beyond / 2, either_count_questions),
        Form("partner count", beyond / 2, partner_count_questions),
    )
