"""Captions as the COCO evaluation tokenizes them: Penn Treebank words in lower case, punctuation dropped. No Java.

COCO's evaluation runs Stanford's PTBTokenizer and drops a list of punctuation marks. The rules below are those of it
that captions meet, written from its output; on the 4,955 captions of 991 Flickr8k pictures they give the same words.

A caption that a model wrote has been through its tokenizer, which folds letters (SentencePiece: NFKC and case), so a
reference is folded in the same way first: NFKC, not NFC, since ½ comes back as 1⁄2 and ﬁ as fi. Departure: PTBTokenizer
does not fold, and writes € as $, £ as # and ¢ as cents; here they stay what they are.
"""

import re
from functools import lru_cache
from html import unescape
from unicodedata import category, normalize

_SINGLE = "‘’‚‛‹›"
_DOUBLE = "“”„‟«»`″「」"
_BREAKS, _SOFT_HYPHEN = "\t\n\x0c\r\x85", "\u00ad"
_NO_SYMBOLS = "▁\ufffd"  # SentencePiece's mark of a space, and what stands for a letter that was lost
_BRACKETS = {"(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-"}
# Words that keep their full stop within a sentence; at its end the mark that PTBTokenizer adds is dropped anyway.
_ABBREVIATIONS = """
    mr mrs ms dr prof st vs etc jr sr inc co corp ltd mt ft ave rd blvd gov sen rep gen col lt sgt capt rev hon pres jan
    feb mar apr jun jul aug sep sept oct nov dec mon tue wed thu fri al dept est tel ext ph.d
"""
_CLITIC = r"'(?:s|m|d|re|ve|ll)"
_IN_TWO = r"(can)(not)|(gon|wan)(na)|(got)(ta)|(gim|lem)(me)|('t)(is|was)|(more)('n)"  # as the Treebank writes them

_LETTER = r"[^\s\d!-/:-@\[-`{-~]"  # any letter with its marks: what is neither space, digit nor ASCII punctuation
_WORD = r"[^\s!-/:-@\[-`{-~]"  # or a digit
_SPLIT = re.compile(rf"(?<!{_WORD})(?:{_IN_TWO})(?!{_WORD})")
_NOT = re.compile(rf"(?<={_LETTER})n't(?!{_WORD})")
_TOKEN = re.compile(
    rf"""
    https?://\S+
  | n't(?!{_WORD}) | {_CLITIC}(?!{_WORD})
  | 'n' | '(?:n|em|til|cause)(?!{_WORD}) | 't(?=\s(?:is|was)) | '\d\ds(?!{_WORD})
  | (?<!{_WORD})(?: ma'am | c'mon | y'(?=all) | [dlo]'(?!(?:s|m|d|re|ve|ll)(?!{_WORD})){_LETTER}+ )
  | (?<!{_WORD})(?:{"|".join(map(re.escape, _ABBREVIATIONS.split()))})\.(?!{_WORD})
  | (?<!{_WORD})no\.(?=\s*\d)
  | (?<!{_WORD})(?:{_LETTER}\.)+(?!{_WORD})                      # a.m., U.S., a letter by itself
  | (?:(?<!\S)[+-])?\d+(?:[.,:]\d+)+ | (?<!\S)[+-]\d+             # 3,000 10:30 -1
  | [@\#](?=[^\W\d]){_WORD}+
  | {_WORD}+(?:[-._/@]{_WORD}+)*
  | [?!]{{2,}} | \*+ | [][(){{}}$%&+=/\\~^|_<>@\#]               # what is not dropped
    """,
    re.VERBOSE,
)


@lru_cache(maxsize=1 << 16)
def tokenize_caption(text: str) -> tuple[str, ...]:
    """The words of a caption, as CIDEr, BLEU and ROUGE-L count them.

    The same for every way to write the same letters: é as one or two code points, ½ or 1⁄2, quotation marks curly or
    not. Marks stay with their letters, so that a word of Devanagari is one word.
    """
    folded = _NOT.sub(" n't ", _SPLIT.sub(_in_two, _apart(fold(text))))
    return tuple(_BRACKETS.get(match[0], match[0]) for match in _TOKEN.finditer(folded))


def fold(text: str) -> str:
    """Letters in the one form that all captions are compared in: NFKC, &amp; as &, then case, then NFKC again."""
    return normalize("NFKC", normalize("NFKC", unescape(normalize("NFKC", text))).casefold())


def _in_two(match: re.Match[str]) -> str:
    return " ".join(part for part in match.groups() if part)


def _apart(text: str) -> str:
    """Punctuation in one form, and what is neither a letter nor ASCII by itself between spaces."""
    return text if text.isascii() and text.isprintable() else "".join(map(_spaced, text))


@lru_cache(maxsize=1 << 12)
def _spaced(letter: str) -> str:
    if letter in _SINGLE:
        return "'"
    if letter in _DOUBLE:
        return '"'
    if letter == "⁄":
        return "/"
    if letter in "‐‑":
        return "-"
    kind = category(letter)
    if (kind == "Cc" and letter not in _BREAKS) or letter == _SOFT_HYPHEN:
        return ""
    if (letter.isascii() and kind != "Cc") or kind[0] in "LMN":
        return letter
    if kind[0] in "PS" and kind != "Pd" and letter <= "\uffff" and letter not in _NO_SYMBOLS:
        return f" {letter} "
    return " "  # spaces, dashes and, as in PTBTokenizer, symbols above U+FFFF: emoji
