"""Text to token numbers and back: SentencePiece (trained on the task's texts) or open_clip's own, behind one call."""

import hashlib
import io
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from unicodedata import category

import numpy as np

from optima_lab.errors import ConfigError, DataError
from optima_lab.files import expand, write_bytes

_MODEL_TYPE = "bpe"  # a unigram model of the embedded world's few words prunes them to letters
_PAD, _BOS, _EOS, _UNKNOWN = 0, 1, 2, 3
_JOINS = (
    (re.compile(r"(?<=\d) (?=\d)"), ""),
    (re.compile(r"(?<=\d) ([.,:/]) (?=\d)"), r"\1"),
    (re.compile(r"(?<=\w) ([-/_]) (?=\w)"), r"\1"),
    (re.compile(r"(?<=n) ('t)\b"), r"\1"),
    (re.compile(r"\b([^\W\d]) \. ([^\W\d]) \."), r"\1.\2."),
)


class Tokenizer(Protocol):
    """What a model needs of a tokenizer; `tokens` is the length of every encoded row."""

    @property
    def vocab_size(self) -> int: ...
    @property
    def tokens(self) -> int: ...
    @property
    def pad(self) -> int: ...
    @property
    def bos(self) -> int: ...
    @property
    def eos(self) -> int: ...

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """int64 (text, tokens): bos, the pieces, eos, then pad; a text too long loses its end and keeps eos."""
        ...

    def decode(self, row: Sequence[int] | np.ndarray) -> str:
        """The text of one row up to its first eos, without bos and pad."""
        ...


@dataclass(frozen=True)
class SentencePieceTokenizer:
    """A SentencePiece model of byte-pair merges; letters are folded to lower case (nmt_nfkc_cf)."""

    path: Path
    tokens: int
    model: Any  # sentencepiece.SentencePieceProcessor
    pad: int = _PAD
    bos: int = _BOS
    eos: int = _EOS

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int, tokens: int, path: str | Path) -> "SentencePieceTokenizer":
        """Train on `texts`, write the model to `path` (whole or not at all) and open it.

        `vocab_size` is an upper limit: a small world fills fewer pieces. Same texts, same file.
        """
        _check_length(tokens)
        write_bytes(expand(path), _train(list(texts), vocab_size), DataError, durable=True)
        return cls.open(path, tokens)

    @classmethod
    def open(cls, path: str | Path, tokens: int) -> "SentencePieceTokenizer":
        """A model written by `train`."""
        from sentencepiece import SentencePieceProcessor

        _check_length(tokens)
        path = expand(path)
        if not path.is_file() or not path.stat().st_size:
            raise DataError(f"{path} must be a SentencePiece model; it is no file, or empty")
        try:
            model = SentencePieceProcessor(model_proto=path.read_bytes())
        except (OSError, RuntimeError) as error:
            raise DataError(f"{path} must be a SentencePiece model; {' '.join(str(error).split())[:100]}") from None
        return cls(path, tokens, model)

    @classmethod
    def cached(
        cls, texts: Callable[[], Iterable[str]], corpus_id: str, vocab_size: int, tokens: int, folder: str | Path
    ) -> "SentencePieceTokenizer":
        """The model of these texts and size, trained once and then found again in `folder`.

        `corpus_id` says which texts they are (a fingerprint of their source): they are read only to train.
        """
        digest = hashlib.sha256(f"{_MODEL_TYPE} {vocab_size} {corpus_id}".encode()).hexdigest()[:16]
        path = expand(folder) / f"sentencepiece-{digest}.model"
        return cls.open(path, tokens) if path.is_file() else cls.train(texts(), vocab_size, tokens, path)

    @property
    def vocab_size(self) -> int:
        return self.model.vocab_size()

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """int64 (text, tokens)."""
        rows = np.full((len(texts), self.tokens), self.pad, np.int64)
        for row, pieces in zip(rows, self.model.encode(list(texts)), strict=True):
            line = [self.bos, *pieces[: self.tokens - 2], self.eos]
            row[: len(line)] = line
        return rows

    def decode(self, row: Sequence[int] | np.ndarray) -> str:
        """The text up to the first eos; numbers outside the vocabulary are refused."""
        return self.model.decode(_before(row, self.eos, self.vocab_size, (self.pad, self.bos)))


@dataclass(frozen=True)
class OpenClipTokenizer:
    """The byte-pair tokenizer that open_clip ships for its CLIP and CoCa models; nothing is downloaded."""

    name: str
    tokens: int
    model: Any  # open_clip.SimpleTokenizer
    pad: int = 0

    @classmethod
    def open(cls, name: str = "coca_ViT-L-14", tokens: int = 0) -> "OpenClipTokenizer":
        """The tokenizer of open_clip's model `name`; `tokens` 0 keeps that model's own length."""
        from open_clip import get_tokenizer, list_models
        from open_clip.tokenizer import SimpleTokenizer

        from optima_lab.errors import nearest

        if name not in list_models():
            raise ConfigError(
                f"tokenizer must be one of open_clip's models; got {name!r}{nearest(name, list_models())}"
            )
        try:
            model = get_tokenizer(name)
        except Exception as error:  # tokenizers of other models come from a network and fail in their own ways
            raise ConfigError(f"tokenizer of {name!r} must work offline; got {type(error).__name__}") from None
        if not isinstance(model, SimpleTokenizer):
            raise ConfigError(f"tokenizer must be a model with CLIP's own tokens; {name!r} has {type(model).__name__}")
        length = tokens or model.context_length or 77
        _check_length(length)
        return cls(name, length, model)

    @property
    def vocab_size(self) -> int:
        return self.model.vocab_size

    @property
    def bos(self) -> int:
        return self.model.sot_token_id

    @property
    def eos(self) -> int:
        return self.model.eot_token_id

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """int64 (text, tokens)."""
        if not texts:
            return np.zeros((0, self.tokens), np.int64)
        return self.model(list(texts), context_length=self.tokens).numpy().astype(np.int64)

    def decode(self, row: Sequence[int] | np.ndarray) -> str:
        """The text up to the first eos, spaced as people space (see `respaced`)."""
        return respaced(self.model.decode(_before(row, self.eos, self.vocab_size, (self.bos,))))

    def as_decoded(self, text: str) -> str:
        """What `decode` gives where a model writes exactly this text, however long: spacing that CLIP loses is lost."""
        return respaced(self.model.decode(self.model.encode(text)))


def respaced(text: str) -> str:
    """CLIP's 'a t - shirt for 1 0 . 5' as 'a t-shirt for 10.5': its tokens keep no spaces around marks and digits.

    What is meant cannot always be known ('up - down' becomes 'up-down'): compare with texts that went the same way.
    """
    for pattern, joined in _JOINS:
        text = pattern.sub(joined, text)
    return "".join(text[i] for i in range(len(text)) if not (text[i] == " " and _is_mark(text[i + 1 : i + 2]))).strip()


def _is_mark(letter: str) -> bool:
    return bool(letter) and category(letter)[0] == "M"


def _train(texts: list[str], vocab_size: int) -> bytes:
    from sentencepiece import SentencePieceTrainer

    if not any(text.strip() for text in texts):
        raise DataError("texts to train a tokenizer on must hold at least one word; got none")
    if type(vocab_size) is not int or vocab_size < 8:
        raise ConfigError(f"vocab_size must be a whole number of at least 8; got {vocab_size!r}")
    content = io.BytesIO()
    try:
        SentencePieceTrainer.train(
            sentence_iterator=iter(texts),
            model_writer=content,
            model_type=_MODEL_TYPE,
            vocab_size=vocab_size,
            hard_vocab_limit=False,
            character_coverage=1.0,
            normalization_rule_name="nmt_nfkc_cf",
            pad_id=_PAD,
            bos_id=_BOS,
            eos_id=_EOS,
            unk_id=_UNKNOWN,
            num_threads=1,
            minloglevel=3,
        )
    except (RuntimeError, OSError) as error:
        reason = " ".join(str(error).split())[-140:]
        raise ConfigError(f"vocab_size must fit the texts; got {vocab_size} and SentencePiece says: {reason}") from None
    return content.getvalue()


def _check_length(tokens: int) -> None:
    if type(tokens) is not int or tokens < 3:
        raise ConfigError(f"tokens must be a whole number of at least 3 (bos, one piece, eos); got {tokens!r}")


def _before(row: Sequence[int] | np.ndarray, eos: int, vocab_size: int, dropped: tuple[int, ...]) -> list[int]:
    numbers = [int(number) for number in row]
    numbers = numbers[: numbers.index(eos)] if eos in numbers else numbers
    outside = [number for number in numbers if not 0 <= number < vocab_size]
    if outside:
        raise DataError(f"token numbers must lie in 0..{vocab_size - 1}; got {outside[0]}")
    return [number for number in numbers if number not in dropped]
