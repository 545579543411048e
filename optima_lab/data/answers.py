"""VQA answers: the official normalisation, the vocabulary a model answers from, and soft targets."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np

from optima_lab.data.formats import Example

_COUNTED = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_NUMBERS = {word: str(value) for value, word in enumerate(_COUNTED)}
_NUMBERS["none"] = "0"
_ARTICLES = frozenset({"a", "an", "the"})
_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_THOUSANDS = re.compile(r"\d,\d")
_FULL_STOP = re.compile(r"\.(?!\d)")
_FULL_STOPS_REMOVED = 32  # the official code hands a flag (32) over as the count of its substitution
_CONTRACTIONS = """
    ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd
    he'd've he's how'd how'll how's isn't it'd it'd've it'll ma'am mightn't mightn't've might've mustn't must've
    needn't not've o'clock oughtn't 'ow's'at shan't she'd've should've shouldn't shouldn't've somebody'd've
    somebody'll somebody's someone'd someone'd've someone'll someone's something'd something'd've something'll
    that's there'd there'd've there're there's they'd they'd've they'll they're they've 'twas wasn't we'd've
    we've weren't what'll what're what's what've when's where'd where's where've who'd who'd've who'll who's
    who've why'll why're why's won't would've wouldn't wouldn't've y'all y'all'll y'all'd've you'd you'd've
    you'll you're you've
"""


def _without_one_apostrophe(word: str) -> list[str]:
    return [word[:place] + word[place + 1 :] for place, letter in enumerate(word) if letter == "'"]


_REPAIRED = {broken: word for word in _CONTRACTIONS.split() for broken in _without_one_apostrophe(word)}
_REPAIRED["somebody'd"] = "somebodyd"  # as the official table has it


def strip_answer(answer: str) -> str:
    """The answer as the official evaluation compares it where all ten people gave the same: no space around it."""
    return answer.replace("\n", " ").replace("\t", " ").strip()


@lru_cache(maxsize=1 << 16)
def normalize_answer(answer: str) -> str:
    """The answer as the official VQA v2 evaluation compares it where the ten answers differ.

    Punctuation goes (or becomes a space between letters), full stops go except before a digit, number words become
    digits, articles go, and contractions regain their lost apostrophe.
    """
    text = strip_answer(answer)
    joined = bool(_THOUSANDS.search(text))
    spaced = text
    for mark in _PUNCTUATION:
        drop = joined or mark + " " in text or " " + mark in text
        spaced = spaced.replace(mark, "" if drop else " ")
    spaced = _FULL_STOP.sub("", spaced, count=_FULL_STOPS_REMOVED)
    words = (_NUMBERS.get(word, word) for word in spaced.lower().split())
    return " ".join(_REPAIRED.get(word, word) for word in words if word not in _ARTICLES)


def answer_vocabulary(examples: Iterable[Example], at_least: int = 1) -> tuple[str, ...]:
    """The normalised answers that win in at least `at_least` examples: most frequent first, ties by alphabet."""
    counts: Counter[str] = Counter()
    for example in examples:
        counts.update([top_answer(example)])
    frequent = [(answer, count) for answer, count in counts.items() if count >= at_least and answer]
    return tuple(answer for answer, _ in sorted(frequent, key=lambda pair: (-pair[1], pair[0])))


def top_answer(example: Example) -> str:
    """The normalised answer that most of the people gave, ties by alphabet."""
    counts = Counter(map(normalize_answer, example.answers))
    return min(counts, key=lambda answer: (-counts[answer], answer))


def soft_targets(examples: Sequence[Example], vocabulary: Sequence[str]) -> np.ndarray:
    """min(1, matching answers / 3) for each example and answer of the vocabulary: float32 (example, answer)."""
    index = {answer: column for column, answer in enumerate(vocabulary)}
    targets = np.zeros((len(examples), len(vocabulary)), np.float32)
    for row, example in enumerate(examples):
        for answer, count in Counter(map(normalize_answer, example.answers)).items():
            if answer in index:
                targets[row, index[answer]] = min(1.0, count / 3)
    return targets
