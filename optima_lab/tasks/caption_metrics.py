"""BLEU-4 and ROUGE-L of captions beside CIDEr, by pycocoevalcap's own scorers, which need no Java.

METEOR and SPICE need it and are left out. All take captions as words with single spaces between.
"""

from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from io import StringIO

LONGEST = 4  # words of an n-gram
References = Sequence[Sequence[str]]


def bleu4(captions: Sequence[str], references: References) -> float:
    """BLEU-4 of the whole corpus, 0 to 1: n-grams of one to four words, the closest reference's length."""
    from pycocoevalcap.bleu.bleu import Bleu

    keys = range(len(captions))
    with redirect_stdout(StringIO()):
        scores, _ = Bleu(LONGEST).compute_score(
            {i: list(references[i]) for i in keys}, {i: [captions[i]] for i in keys}, verbose=0
        )
    return float(scores[-1])


def rouge_l(captions: Sequence[str], references: References) -> float:
    """ROUGE-L, 0 to 1: the longest common subsequence's F measure (β = 1.2), the mean over captions."""
    from pycocoevalcap.rouge.rouge import Rouge

    keys = range(len(captions))
    score, _ = Rouge().compute_score({i: list(references[i]) for i in keys}, {i: [captions[i]] for i in keys})
    return float(score)


def unweighted(references: References) -> bool:
    """Whether CIDEr's weights log(pictures / pictures with the n-gram) are 0 for every n-gram of the references."""
    return len({frozenset(gram for text in texts for gram in _grams(text.split())) for texts in references}) < 2


def _grams(words: Sequence[str]) -> Iterator[tuple[str, ...]]:
    for length in range(1, LONGEST + 1):
        for start in range(len(words) - length + 1):
            yield tuple(words[start : start + length])
