"""What a sentence about a scene is, and when a claim holds.

A claim is True, False, or None: undecidable, because it depends on what is under a box or grey paint
(`scene.completions`).
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from optima_lab.data.synthetic.scene import BOX, GREY, Object

Truth = bool | None
LABEL = {True: "entailment", None: "neutral", False: "contradiction"}


class Sentence(NamedTuple):
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
    sentences: Callable[..., Iterable[Sentence]]


def hypothesis(text: str, truth: Truth) -> Sentence:
    """SNLI-VE's: what a picture leaves open is neutral."""
    return Sentence(text, LABEL[truth], tuple(LABEL.values()))


def statement(text: str, truth: bool) -> Sentence:
    """NLVR2's: true or false."""
    return Sentence(text, str(truth), ("True", "False"))


def listed(parts: Sequence[str]) -> str:
    """'a star, a heart and a sun'."""
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


def a(noun: str) -> str:
    """The noun (phrase) with its article."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def name(thing: Object) -> str:
    """Colour and shape."""
    return f"{thing.colour} {thing.shape}"


def fits(thing: Object, shape: str = "", colour: str = "") -> Truth:
    """Whether the thing is of that shape and colour ("" for any)."""
    if (shape and thing.shape not in (shape, BOX)) or (colour and thing.colour not in (colour, GREY)):
        return False
    return None if (shape and thing.shape == BOX) or (colour and thing.colour == GREY) else True


def some(values: Iterable[Truth]) -> Truth:
    """Whether one of them is true."""
    values = tuple(values)
    return True if True in values else None if None in values else False


def exists(things: Iterable[Object], shape: str = "", colour: str = "") -> Truth:
    """Whether there is a thing of that shape and colour."""
    return some(fits(thing, shape, colour) for thing in things)


def only(things: Iterable[Object], attribute: str) -> Iterator[tuple[str, Object]]:
    """The shapes (or colours) of exactly one thing, with that thing."""
    pairs = [(getattr(thing, attribute), thing) for thing in things]
    counts = Counter(value for value, _ in pairs)
    return ((value, thing) for value, thing in pairs if counts[value] == 1)
