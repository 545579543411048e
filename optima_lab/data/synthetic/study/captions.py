"""Captions of the study world: what there is, how much of it, and how objects compare."""

from collections import Counter
from collections.abc import Callable
from random import Random

from optima_lab.data.synthetic.grammar import a, listed, name, only
from optima_lab.data.synthetic.scene import Object, Scene
from optima_lab.data.synthetic.study.hypotheses import NUMBERS
from optima_lab.data.synthetic.study.questions import OPPOSITE, count, named, one

LONGEST_WORDS = 11
_OPENINGS = ("", "", "", "there is ")


def caption(random: Random, scene: Scene) -> str:
    """One caption of at most eleven words that is true of the scene; where something is hidden, objects are listed."""
    styles = (_listed,) if any(thing.hidden for thing in scene.things) else _STYLES
    while True:
        text = random.choice(styles)(random, scene)
        if text and len(text.split()) <= LONGEST_WORDS:
            return text


def _listed(random: Random, scene: Scene) -> str:
    """Some of the objects, each in words of its own."""
    things = random.sample(scene.things, min(random.choice((2, 2, 3)), len(scene.things)))
    phrases = [a(name(t)) if random.random() < 0.5 else f"{a(t.shape)} in {t.colour}" for t in things]
    return random.choice(_OPENINGS) + listed(phrases)


def _counted(random: Random, scene: Scene) -> str:
    """How many there are of two shapes or two colours."""
    attribute = random.choice(("shape", "colour"))
    counts = [(v, n) for v, n in _counts(scene, attribute) if n <= max(NUMBERS)]
    if len(counts) < 2:
        return ""
    two = random.sample(counts, 2)
    return listed([f"{NUMBERS[n]} {named(attribute, v) if n > 1 else one(attribute, v)}" for v, n in two])


def _compared(random: Random, scene: Scene) -> str:
    """Which of two shapes or colours there is more of."""
    attribute = random.choice(("shape", "colour"))
    counts = _counts(scene, attribute)
    unequal = [(v, w) for v, n in counts for w, m in counts if n > m]
    if not unequal:
        return ""
    more, less = random.choice(unequal)
    return f"more {named(attribute, more)} than {named(attribute, less)}"


def _shared(random: Random, scene: Scene) -> str:
    """Two objects that share a shape or colour, named by what they do not share."""
    attribute = random.choice(("shape", "colour"))
    shared = OPPOSITE[attribute]
    alone = list(only(scene.things, attribute))
    pairs = [(v, w, x) for v, x in alone for w, y in alone if x is not y and getattr(x, shared) == getattr(y, shared)]
    if not pairs:
        return ""
    first, second, thing = random.choice(pairs)
    return f"the {one(attribute, first)} and the {one(attribute, second)} are both {_is(shared, thing)}"


def _all(random: Random, scene: Scene) -> str:
    """That all objects of one shape have one colour, or the other way round."""
    attribute = random.choice(("shape", "colour"))
    shared = OPPOSITE[attribute]
    texts = []
    for value, number in _counts(scene, attribute):
        those = tuple(thing for thing in scene.things if getattr(thing, attribute) == value)
        if number > 1 and count(those, shared, getattr(those[0], shared)) == number:
            texts.append(f"all {NUMBERS.get(number, 'the')} {named(attribute, value)} are {_is(shared, those[0])}")
    return random.choice(texts) if texts else ""


def _counts(scene: Scene, attribute: str) -> list[tuple[str, int]]:
    return list(Counter(getattr(thing, attribute) for thing in scene.things).items())


def _is(attribute: str, thing: Object) -> str:
    return f"{thing.shape}s" if attribute == "shape" else thing.colour


_STYLES: tuple[Callable[[Random, Scene], str], ...] = (*[_listed] * 3, *[_counted] * 2, _compared, _shared, _all)
