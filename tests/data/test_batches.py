"""Arrays of a split, the order of steps, the probe."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optima_lab.data.answers import answer_vocabulary
from optima_lab.data.batches import fingerprint, load, order, probe, texts
from optima_lab.data.formats import read
from optima_lab.data.tokenizers import SentencePieceTokenizer
from optima_lab.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> SentencePieceTokenizer:
    words = ["sentence 0 1 2 . caption of a dog cat no how many are ?"] * 9
    return SentencePieceTokenizer.train(words, 60, 40, tmp_path_factory.mktemp("tokens") / "text.model")


# --- arrays -----------------------------------------------------------------------------------------------------------


def test_pairs_of_pictures_and_one_hot_labels(nlvr2: Path, tokenizer: SentencePieceTokenizer) -> None:
    split = load("nlvr2", nlvr2, "train", tokenizer, 4)
    assert split.images.shape == (2, 4, 4, 3) and split.images.dtype == np.uint8
    assert split.views.tolist() == [[0, 1], [0, 1]] and len(split.tokens) == 2
    np.testing.assert_array_equal(split.targets, [[0, 1], [1, 0]])
    assert split.classes == ("False", "True") and split.references == (("True",), ("False",))
    batch = split.take([1, 0, 1])
    assert batch.images.shape == (3, 2, 4, 4, 3) and batch.images[0, 1].max() == 150
    np.testing.assert_array_equal(batch.targets, split.targets[[1, 0, 1]])


def test_only_as_much_padding_as_the_longest_text_needs(nlvr2: Path, tokenizer: SentencePieceTokenizer) -> None:
    split = load("nlvr2", nlvr2, "train", tokenizer, 4)
    whole = tokenizer.encode(texts(read("nlvr2", nlvr2, "train")))
    width = split.tokens.shape[1]
    assert width < 40 and np.array_equal(split.tokens, whole[:, :width]) and (whole[:, width:] == tokenizer.pad).all()
    assert (split.tokens[:, -1] == tokenizer.pad).all() and (split.tokens[:, -2] != tokenizer.pad).any()


def test_a_caption_is_a_row_and_a_picture_an_example(coco: Path, tokenizer: SentencePieceTokenizer) -> None:
    split = load("coco", coco, "train", tokenizer, 4)
    assert len(split) == 4 and split.targets.shape == (4, 0) and split.classes == ()
    assert split.examples.tolist() == [0, 0, 0, 1] and split.views[:, 0].tolist() == [0, 0, 0, 1]
    assert split.first_rows().tolist() == [0, 3]
    assert [len(captions) for captions in split.references] == [3, 1]
    assert tokenizer.decode(split.tokens[2]) == "caption 2 of 1 ."
    assert texts(read("coco", coco, "train"))[2] == "caption 2 of 1 ."


def test_questions_have_soft_targets(vqa: Path, tokenizer: SentencePieceTokenizer) -> None:
    vocabulary = answer_vocabulary(read("vqa", vqa, "train").examples)
    split = load("vqa", vqa, "test", tokenizer, 4, vocabulary=(*vocabulary, "3"))
    assert split.classes == ("2", "3") and split.kinds == ("how many", "how many")
    np.testing.assert_array_equal(split.targets, [[1, 0], [1, 0]])
    assert len(split.images) == 1 and split.views.tolist() == [[0], [0]]  # two questions about one picture
    with pytest.raises(ConfigError, match="vqa needs a vocabulary of answers"):
        load("vqa", vqa, "test", tokenizer, 4)


def test_a_bad_picture_takes_its_examples_along(snli_ve: Path, tokenizer: SentencePieceTokenizer) -> None:
    (snli_ve / "flickr30k_images" / "22.jpg").write_bytes(b"broken")
    with pytest.raises(DataError, match=r"22\.jpg: must be a whole picture"):
        load("snli_ve", snli_ve, "train", tokenizer, 4)
    split = load("snli_ve", snli_ve, "train", tokenizer, 4, strict=False)
    assert len(split) == 1 and len(split.skipped) == 2 and split.ids == ("11.jpg#0r1e",)
    assert "record 22.jpg#0r1n" in split.skipped[0]
    (snli_ve / "flickr30k_images" / "11.jpg").write_bytes(b"broken")
    with pytest.raises(DataError, match="train split of snli_ve must hold an example; got none"):
        load("snli_ve", snli_ve, "train", tokenizer, 4, strict=False)


def test_a_cache_changes_nothing(coco: Path, tokenizer: SentencePieceTokenizer, tmp_path: Path) -> None:
    plain = load("coco", coco, "train", tokenizer, 4)
    for _ in range(2):
        cached = load("coco", coco, "train", tokenizer, 4, cache=tmp_path / "cache")
        np.testing.assert_array_equal(cached.images, plain.images)
        assert fingerprint(cached) == fingerprint(plain)


def test_the_fingerprint_sees_what_matters(coco: Path, tokenizer: SentencePieceTokenizer) -> None:
    split = load("coco", coco, "train", tokenizer, 4)
    images, tokens = split.images.copy(), split.tokens.copy()
    images[0, 0, 0, 0] ^= 1
    tokens[0, 1] += 1
    changed = [
        replace(split, images=images),
        replace(split, tokens=tokens),
        replace(split, references=(("x",), ("y",))),
        replace(split, name="dev"),
    ]
    assert len({fingerprint(one) for one in [split, *changed]}) == 5
    assert fingerprint(replace(split, images=split.images.copy())) == fingerprint(split)


def test_a_limit_draws_the_same_examples(vqa: Path, tokenizer: SentencePieceTokenizer) -> None:
    everything = load("vqa", vqa, "train", tokenizer, 4, vocabulary=("2",))
    some = load("vqa", vqa, "train", tokenizer, 4, vocabulary=("2",), limit=7)
    assert len(some) == len(some.images) == 7 and set(some.ids) < set(everything.ids)
    assert some.ids == load("vqa", vqa, "train", tokenizer, 4, vocabulary=("2",), limit=7).ids
    assert len(load("vqa", vqa, "train", tokenizer, 4, vocabulary=("2",), limit=10_000)) == len(everything)
    with pytest.raises(ConfigError, match="limit must be 0"):
        load("vqa", vqa, "train", tokenizer, 4, vocabulary=("2",), limit=-1)


def test_a_wrong_size_or_empty_split_is_told(coco: Path, tokenizer: SentencePieceTokenizer) -> None:
    with pytest.raises(ConfigError, match="image_size must be"):
        load("coco", coco, "train", tokenizer, 0)
    with pytest.raises(DataError, match="test split of coco must hold an example; got none"):
        load("coco", coco, "test", tokenizer, 4)


def test_loading_needs_no_torch() -> None:
    code = "import sys, optima_lab.data.batches, optima_lab.data.synthetic.world; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- order and probe --------------------------------------------------------------------------------------------------


@given(st.integers(1, 40), st.integers(1, 60), st.integers(0, 5))
def test_every_row_comes_once_an_epoch(n: int, batch_size: int, seed: int) -> None:
    steps = -(-3 * n // batch_size)
    rows = np.concatenate([order(seed, step, batch_size, n) for step in range(steps)])
    assert len(rows) == steps * batch_size  # every batch is full
    for epoch in range(len(rows) // n):
        np.testing.assert_array_equal(np.sort(rows[epoch * n : (epoch + 1) * n]), np.arange(n))


def test_any_step_is_known_without_the_others() -> None:
    late = order(3, 1000, 16, 100)
    np.testing.assert_array_equal(late, order(3, 1000, 16, 100))
    assert (late != order(4, 1000, 16, 100)).any() and (order(3, 0, 100, 100) != order(3, 1, 100, 100)).any()


def test_the_probe_is_fixed_and_drawn_without_repetition() -> None:
    rows = probe(0, 50, 20)
    assert len(set(rows.tolist())) == 20 and (np.diff(rows) > 0).all() and rows.max() < 50
    np.testing.assert_array_equal(rows, probe(0, 50, 20))
    assert rows.tolist() != probe(1, 50, 20).tolist()
    assert probe(0, 5, 5).tolist() == [0, 1, 2, 3, 4]
    for size in (0, 51):
        with pytest.raises(ConfigError, match=rf"probe_size must lie in 1\.\.50 .*; got {size}"):
            probe(0, 50, size)


@pytest.mark.parametrize(("step", "batch_size", "n"), [(-1, 4, 10), (0, 0, 10), (0, 4, 0)])
def test_an_impossible_order_is_told(step: int, batch_size: int, n: int) -> None:
    with pytest.raises(ConfigError, match="batch_size and n must be above 0"):
        order(0, step, batch_size, n)


# --- what people made -------------------------------------------------------------------------------------------------


@pytest.mark.realdata
@pytest.mark.parametrize("task", ["vqa", "snli_ve", "nlvr2", "coco"])
def test_real_pictures_and_texts_become_arrays(realdata: Path, tmp_path: Path, task: str) -> None:
    records = read(task, realdata, "dev")
    tokenizer = SentencePieceTokenizer.train(texts(records), 400, 24, tmp_path / "tokens.model")
    vocabulary = answer_vocabulary(records.examples, at_least=2) if task == "vqa" else None
    split = load(task, realdata, "dev", tokenizer, 32, vocabulary=vocabulary, cache=tmp_path, limit=150)
    assert split.images.shape[1:] == (32, 32, 3) and split.images.std() > 20 and split.skipped == ()
    batch = split.take(order(0, 0, 8, len(split)))
    assert batch.images.shape[1] == (2 if task == "nlvr2" else 1) and len(batch.tokens) == 8
    assert all(tokenizer.decode(row) for row in batch.tokens)


@pytest.mark.realdata
def test_official_photographs_become_arrays(realdata: Path, tokenizer: SentencePieceTokenizer) -> None:
    root = realdata / "official_fixtures"
    assert load("nlvr2", root, "dev", tokenizer, 32).images.shape == (8, 32, 32, 3)
    assert len(load("snli_ve", root, "dev", tokenizer, 32)) == 16
    vocabulary = answer_vocabulary(read("vqa", root, "train").examples)
    assert "net" in vocabulary
    assert load("vqa", root, "train", tokenizer, 32, vocabulary=vocabulary).targets.max() == 1
