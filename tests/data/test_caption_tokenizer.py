"""Captions to words: what Stanford's tokenizer and COCO's list give, letters in all their forms, and the way back."""

import shutil
import subprocess
from pathlib import Path
from unicodedata import category

import pytest
from sentencepiece import SentencePieceNormalizer

from optima_lab.data.caption_tokenizer import tokenize_caption
from optima_lab.data.tokenizers import OpenClipTokenizer, SentencePieceTokenizer

# Left: a caption. Right: what COCO's own tokenizer (Stanford CoreNLP 3.4.1) makes of it.
TREEBANK = {
    "A man, with a  dog's ball - up-side.": "a man with a dog 's ball up-side",
    "a 'stop' sign": "a stop sign",
    "“stop” ‘stop’ «stop» ``stop''": "stop stop stop stop",
    "a - dog -- or — a -dog-": "a dog or a dog",
    "the dogs' ball": "the dogs ball",
    "Don't! It’s wouldn't've": "do n't it 's would n't 've",
    "cannot gonna 'tis lemme": "can not gon na 't is lem me",
    "a yellow slip n 'slide .": "a yellow slip n slide",
    "rock 'n' roll rock'n'roll": "rock 'n' roll rock 'n' roll",
    "o'clock O'Brien ma'am the '80s 'em 80's": "o'clock o'brien ma'am the '80s 'em 80 's",
    "Mr. Smith of the U.S. at 5 p.m. in jan. etc. here.": "mr. smith of the u.s. at 5 p.m. in jan. etc. here",
    "No. 5, no. It ends... dog...": "no. 5 no it ends dog",
    "3,000 dogs at 10:30am, 3.5 m, 24/7, -1 and 5'2\"": "3,000 dogs at 10:30 am 3.5 m 24/7 -1 and 5 2",
    "$5.00 50% #1 a & b a*b": "$ 5.00 50 % # 1 a & b a * b",
    "(a dog) [cat] {x}": "-lrb- a dog -rrb- -lsb- cat -rsb- -lcb- x -rcb-",
    "black/white w/o dogs,cats a:b wow!! eh?!": "black/white w/o dogs cats a b wow !! eh ?!",
    "½ cup 1/2 cup": "1/2 cup 1/2 cup",
    "हिन्दी में एक कुत्ता": "हिन्दी में एक कुत्ता",
    "Привет, мир! 東京の犬 מ שלום": "привет мир 東京の犬 מ שלום",
    "★ star 😀 dog": "★ star dog",
    "": "",
    " - ' . ": "",
}


@pytest.mark.parametrize("caption", TREEBANK)
def test_words_are_those_of_the_treebank(caption: str) -> None:
    assert " ".join(tokenize_caption(caption)) == TREEBANK[caption]


@pytest.mark.skipif(shutil.which("java") is None, reason="needs java, for the tokenizer of the COCO evaluation itself")
def test_the_table_is_what_the_official_tokenizer_prints(tmp_path: Path) -> None:
    import pycocoevalcap.tokenizer.ptbtokenizer as official

    jar = Path(official.__file__).with_name(official.STANFORD_CORENLP_3_4_1_JAR)
    (tmp_path / "captions.txt").write_text("\n".join(TREEBANK), encoding="utf-8")
    command = ["java", "-Dfile.encoding=UTF-8", "-Dstdout.encoding=UTF-8", "-cp", str(jar)]
    command += ["edu.stanford.nlp.process.PTBTokenizer", "-preserveLines", "-lowerCase", "captions.txt"]
    printed = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True).stdout.decode().split("\n")
    for (caption, ours), line in zip(TREEBANK.items(), printed, strict=False):
        theirs = " ".join(word for word in line.rstrip().split(" ") if word not in official.PUNCTUATIONS)
        assert ours == theirs, caption


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("½ cup", "1⁄2 cup"),
        ("café naïve", "cafe\u0301 nai\u0308ve"),
        ("한국 개", "\u1112\u1161\u11ab국 개"),
        ("Å ﬁre ＡＢＣ", "å fire abc"),
        ("Straße Σας", "STRASSE ΣΑΣ"),
        ("x² … №5", "x2 ... No5"),
        ("dog\u00a0cat soft\u00adly", "dog cat softly"),
        ("a\u200bb", "a b"),
        ("fish &amp; chips", "fish & chips"),
        ("q\u0323\u0307", "q\u0307\u0323"),
    ],
)
def test_the_same_letters_are_the_same_words_however_they_are_written(one: str, other: str) -> None:
    assert tokenize_caption(one) == tokenize_caption(other) != ()


@pytest.mark.parametrize("word", ["हिन्दी", "தமிழ்", "ภาษาไทยที่", "עִבְרִית", "عَرَبِيّ", "q\u0323\u0307x", "ক্ষ", "မြန်မာ"])
def test_marks_belong_to_their_letters(word: str) -> None:
    assert len(tokenize_caption(word)) == 1


def test_unlike_words_stay_unlike() -> None:
    words = ["cafe", "café", "1/2", "12", "t-shirt", "tshirt", "dog", "dogs", "कि", "की", "3.5", "35", "u.s.", "us"]
    assert len({tokenize_caption(word) for word in words}) == len(words)


# ---- the way through a model's tokenizer -----------------------------------------------------------------------------

PERFECT = [
    "½ cup of ﬁne café",
    "a 'stop' sign - up-side down",
    "हिन्दी कुत्ता",
    "“Don’t” said O'Brien, at 10:30!",
    "Straße, x²",
]


def test_a_perfect_caption_has_the_words_of_its_reference(tmp_path: Path) -> None:
    tokenizer = SentencePieceTokenizer.train(PERFECT * 3, 200, 60, tmp_path / "words.model")
    for caption, row in zip(PERFECT, tokenizer.encode(PERFECT), strict=True):
        assert tokenize_caption(tokenizer.decode(row)) == tokenize_caption(caption)


def test_a_perfect_caption_of_clips_tokens_has_the_words_of_its_reference_as_decoded() -> None:
    tokenizer = OpenClipTokenizer.open()
    for caption, row in zip(PERFECT, tokenizer.encode(PERFECT), strict=True):
        assert tokenize_caption(tokenizer.decode(row)) == tokenize_caption(tokenizer.as_decoded(caption))


def test_every_letter_of_unicode_survives_sentencepiece() -> None:
    """Every 211th letter that Unicode has, alone and within a word; all of them were tried when this was written."""
    folds = SentencePieceNormalizer(rule_name="nmt_nfkc_cf")
    for number in range(0, 0x30000, 211):
        if category(chr(number)) not in ("Cs", "Cn", "Co"):  # SentencePiece may know a newer Unicode than Python
            for text in (f"dog {chr(number)} cat", f"dog{chr(number)}cat"):
                assert tokenize_caption(folds.Normalize(text).replace("▁", " ")) == tokenize_caption(text), number
