"""Tokenizers: rows of a fixed length that start with bos, keep eos and come back as text."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optima_lab.data.tokenizers import OpenClipTokenizer, SentencePieceTokenizer
from optima_lab.errors import ConfigError, DataError

TEXTS = ["a red star above a blue heart", "is there a green sun?", "the black note", "two yellow anchors"] * 20


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> SentencePieceTokenizer:
    return SentencePieceTokenizer.train(TEXTS, 64, 12, tmp_path_factory.mktemp("tokens") / "text.model")


def test_a_text_becomes_bos_pieces_eos_pad(tokenizer: SentencePieceTokenizer) -> None:
    rows = tokenizer.encode(["the black note", ""])
    assert rows.shape == (2, 12) and rows.dtype == np.int64
    assert rows[0, 0] == tokenizer.bos == 1 and tokenizer.eos == 2 and tokenizer.pad == 0
    stop = rows[0].tolist().index(tokenizer.eos)
    assert (rows[0, 1:stop] > 3).all() and (rows[0, stop + 1 :] == 0).all()
    assert rows[1].tolist() == [1, 2] + [0] * 10
    assert tokenizer.decode(rows[0]) == "the black note" and tokenizer.decode(rows[1]) == ""


def test_a_long_text_loses_its_end_and_keeps_eos(tokenizer: SentencePieceTokenizer) -> None:
    row = tokenizer.encode(["a red star above a blue heart and a green sun " * 5])[0]
    assert row[-1] == tokenizer.eos and (row != tokenizer.pad).all()
    assert tokenizer.decode(row) and "a red star above a blue heart".startswith(tokenizer.decode(row)[:8])


def test_decoding_stops_at_the_first_eos_and_refuses_foreign_numbers(tokenizer: SentencePieceTokenizer) -> None:
    row = tokenizer.encode(["the note"])[0]
    stop = row.tolist().index(tokenizer.eos)
    row[stop + 1] = 10_000
    assert tokenizer.decode(row) == "the note"
    row[1] = tokenizer.vocab_size
    with pytest.raises(DataError, match=rf"0\.\.{tokenizer.vocab_size - 1}; got {tokenizer.vocab_size}"):
        tokenizer.decode(row)


def test_case_is_folded_and_unknown_letters_survive_encoding(tokenizer: SentencePieceTokenizer) -> None:
    upper, lower = tokenizer.encode(["The BLACK note", "the black note"])
    np.testing.assert_array_equal(upper, lower)
    assert tokenizer.encode(["Ω"])[0, -10] in (tokenizer.eos, 3)


def test_the_same_texts_give_the_same_file_and_are_found_again(tmp_path: Path) -> None:
    one = SentencePieceTokenizer.train(TEXTS, 64, 12, tmp_path / "one.model")
    two = SentencePieceTokenizer.train(TEXTS, 64, 12, tmp_path / "two.model")
    assert one.path.read_bytes() == two.path.read_bytes()


def test_a_model_is_found_again_without_its_texts(tmp_path: Path) -> None:
    first = SentencePieceTokenizer.cached(lambda: TEXTS, "these", 64, 12, tmp_path / "cache")
    time = first.path.stat().st_mtime_ns
    again = SentencePieceTokenizer.cached(lambda: pytest.fail("read again"), "these", 64, 20, tmp_path / "cache")
    assert again.path == first.path and again.path.stat().st_mtime_ns == time and again.tokens == 20
    others = [("those", 64), ("these", 60)]
    paths = [SentencePieceTokenizer.cached(lambda: TEXTS, *other, 12, tmp_path / "cache").path for other in others]
    assert len({first.path, *paths}) == 3
    assert not list(tmp_path.rglob("*.part"))


def test_training_says_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    SentencePieceTokenizer.train(TEXTS, 64, 12, tmp_path / "one.model")
    assert capfd.readouterr() == ("", "")


def test_wrong_use_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="at least one word; got none"):
        SentencePieceTokenizer.train(["", "  "], 64, 12, tmp_path / "x.model")
    with pytest.raises(ConfigError, match="vocab_size must be a whole number of at least 8; got 2"):
        SentencePieceTokenizer.train(TEXTS, 2, 12, tmp_path / "x.model")
    with pytest.raises(ConfigError, match="vocab_size must fit the texts; got 10"):
        SentencePieceTokenizer.train(TEXTS, 10, 12, tmp_path / "x.model")
    with pytest.raises(ConfigError, match="tokens must be a whole number of at least 3"):
        SentencePieceTokenizer.train(TEXTS, 64, 2, tmp_path / "y.model")
    assert not list(tmp_path.iterdir())
    (tmp_path / "bad.model").write_bytes(b"no model")
    with pytest.raises(DataError, match=r"bad\.model must be a SentencePiece model"):
        SentencePieceTokenizer.open(tmp_path / "bad.model", 12)
    with pytest.raises(DataError, match="must be a SentencePiece model"):
        SentencePieceTokenizer.open(tmp_path / "none.model", 12)


@settings(max_examples=50, deadline=None)
@given(text=st.text(max_size=200))
def test_any_text_gives_a_well_formed_row(tokenizer: SentencePieceTokenizer, text: str) -> None:
    row = tokenizer.encode([text])[0].tolist()
    assert row[0] == tokenizer.bos and row.count(tokenizer.eos) == 1
    assert set(row[row.index(tokenizer.eos) + 1 :]) <= {tokenizer.pad} and max(row) < tokenizer.vocab_size
    tokenizer.decode(row)


def test_open_clips_own_tokens_work_offline() -> None:
    tokenizer = OpenClipTokenizer.open("coca_ViT-L-14", tokens=10)
    rows = tokenizer.encode(["A red star", "a red star " * 20])
    assert rows.shape == (2, 10) and rows.dtype == np.int64
    assert rows[0, 0] == tokenizer.bos == 49406 and rows[1, -1] == tokenizer.eos == 49407
    assert tokenizer.decode(rows[0]) == "a red star" and tokenizer.vocab_size == 49408
    assert OpenClipTokenizer.open("coca_ViT-L-14").tokens == 76
    with pytest.raises(ConfigError, match="did you mean 'coca_ViT-L-14'"):
        OpenClipTokenizer.open("coca_Vit-L-14")
