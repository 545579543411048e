"""The study world's sentences read by regular expressions, and answered by trying all objects: a second evaluator."""

import re
from itertools import product

Object = tuple[str, str]  # shape, colour
SHAPES = ("star", "heart", "sun", "horse", "anchor")
COLOURS = ("red", "green", "blue", "yellow")
NUMBERS = ("zero", "one", "two", "three", "four")


def means(words: str, thing: Object) -> bool:
    """Whether 'stars', 'star', 'red', 'red ones' or 'red one' is said of the object."""
    word = words.split()[0]
    return thing[1] == word if word in COLOURS else thing[0] == word.removesuffix("s")


def number(objects: list[Object], words: str) -> int:
    return len([thing for thing in objects if means(words, thing)])


def the(objects: list[Object], words: str) -> int:
    (place,) = [i for i, thing in enumerate(objects) if means(words, thing)]
    return place


def alike(objects: list[Object], how: str, words: str) -> list[Object]:
    """The other objects that share the shape (or colour) of the one named."""
    place, side = the(objects, words), 0 if how == "shaped" else 1
    return [thing for i, thing in enumerate(objects) if i != place and thing[side] == objects[place][side]]


def answer(text: str, objects: list[Object]) -> str:
    """The answer to a question about objects of which nothing is hidden."""
    for pattern, find in QUESTIONS:
        match = re.fullmatch(pattern, text)
        if match:
            return find(objects, *match.groups())
    raise AssertionError(f"no way to read {text!r}")


def yes(holds: bool) -> str:
    return "yes" if holds else "no"


def _common(objects: list[Object], attribute: str) -> str:
    values = [thing[0 if attribute == "shape" else 1] for thing in objects]
    (best,) = {v for v in values if all(values.count(v) > values.count(w) for w in set(values) - {v})}
    return best


def _other(objects: list[Object], how: str, words: str) -> str:
    (other,) = alike(objects, how, words)
    return other[1] if how == "shaped" else other[0]


def _same(objects: list[Object], one: str, how: str, two: str) -> str:
    side = 0 if how == "shaped" else 1
    return yes(objects[the(objects, one)][side] == objects[the(objects, two)][side])


def _every(objects: list[Object], those: str, words: str) -> str:
    return yes(all(means(words, thing) for thing in objects if means(those, thing)))


QUESTIONS = (
    (r"what colour is the (\w+)\?", lambda o, w: o[the(o, w)][1]),
    (r"what shape is the (\w+ one)\?", lambda o, w: o[the(o, w)][0]),
    (r"how many others are (shaped|coloured) like the (.+)\?", lambda o, how, w: str(len(alike(o, how, w)))),
    (r"how many are (\w+) or (\w+)\?", lambda o, c, s: str(len([t for t in o if means(c, t) or means(s, t)]))),
    (r"how many (\w+|\w+ ones)\?", lambda o, w: str(number(o, w))),
    (r"more (.+) than (.+)\?", lambda o, a, b: yes(number(o, a) > number(o, b))),
    (r"which (shape|colour) is most common\?", _common),
    (r"are all (\w+|\w+ ones) (\w+)\?", _every),
    (r"which other is (shaped|coloured) like the (.+)\?", _other),
    (r"is the (.+) (shaped|coloured) like the (.+)\?", _same),
)


def holds(text: str, objects: list[Object]) -> bool:
    """Whether a hypothesis holds for objects of which nothing is hidden."""
    if match := re.fullmatch(r"(at least|exactly|fewer than) (\w+) (.+)", text):
        found, said = number(objects, match[3]), NUMBERS.index(match[2])
        return {"at least": found >= said, "exactly": found == said, "fewer than": found < said}[match[1]]
    if match := re.fullmatch(r"more (.+) than (.+)", text):
        return number(objects, match[1]) > number(objects, match[2])
    if match := re.fullmatch(r"(every|no) (\w+) is (\w+)", text):
        those = [thing[1] == match[3] for thing in objects if thing[0] == match[2]]
        return all(those) if match[1] == "every" else not any(those)
    if match := re.fullmatch(r"some (\w+) is not (\w+)", text):
        return any(shape == match[1] and colour != match[2] for shape, colour in objects)
    if match := re.fullmatch(r"the (.+) is (an? )?(\w+)", text):
        return means(match[3], objects[the(objects, match[1])])
    if match := re.fullmatch(r"there is (an?|something) (\w+)", text):
        return any(means(match[2], thing) for thing in objects)
    match = re.fullmatch(r"there is an? (\w+) (\w+)", text)
    assert match, text
    return (match[2], match[1]) in objects


def told(text: str, left: list[Object], right: list[Object]) -> bool:
    """Whether a statement about two pictures holds."""
    every = [*left, *right]
    if match := re.fullmatch(r"at least (\w+) (.+) in all", text):
        return number(every, match[2]) >= NUMBERS.index(match[1])
    if match := re.fullmatch(r"more (.+) on the (left|right)", text):
        one, other = (left, right) if match[2] == "left" else (right, left)
        return number(one, match[1]) > number(other, match[1])
    if match := re.fullmatch(r"more (.+) than (.+) in all", text):
        return number(every, match[1]) > number(every, match[2])
    if match := re.fullmatch(r"a (\w+) (\w+) in (both pictures|either picture)", text):
        found = [(match[2], match[1]) in side for side in (left, right)]
        return all(found) if match[3] == "both pictures" else any(found)
    if match := re.fullmatch(
        r"(an?|something) (\w+) (on the left|on the right|in both pictures|in either picture)", text
    ):
        found = [any(means(match[2], thing) for thing in side) for side in (left, right)]
        return {"left": found[0], "right": found[1], "pictures": all(found), "picture": any(found)}[
            match[3].split()[-1]
        ]
    return holds(text, every)


def ways(objects: list[Object]) -> list[list[Object]]:
    """All that could be under boxes and grey paint."""
    options = [
        [(s, c) for s in (SHAPES if shape == "box" else (shape,)) for c in (COLOURS if colour == "grey" else (colour,))]
        for shape, colour in objects
    ]
    return [list(way) for way in product(*options)]
