"""VQA answers: expected strings worked out by hand from the official rules."""

import numpy as np
import pytest

from optima_lab.data.answers import answer_vocabulary, normalize_answer, soft_targets, strip_answer
from optima_lab.data.formats import Example


def example(*answers: str) -> Example:
    return Example("1", (), "?", answers, "")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("Two", "2"),
        ("none", "0"),
        ("a dog", "dog"),
        ("The  Cat\n", "cat"),
        ("yes.", "yes"),
        ("2.5", "2.5"),  # a full stop before a digit stays
        ("1,000", "1000"),  # a comma between digits goes ...
        ("red,blue", "red blue"),  # ... between letters it becomes a space
        ("red, blue", "red blue"),
        ("well-known", "well known"),
        ("black/white", "black white"),
        ("1,000-2", "10002"),  # with a thousands comma all marks go without a space
        ("dont", "don't"),
        ("couldnt've", "couldn't've"),
        ("oclock", "o'clock"),
        ("somebody'd", "somebodyd"),
        ("it's", "it's"),
        ("hes", "he's"),
        ("well", "well"),
        ("a", ""),
        ("", ""),
    ],
)
def test_answers_are_compared_as_officially(answer: str, expected: str) -> None:
    assert normalize_answer(answer) == expected


def test_the_vocabulary_counts_the_winning_answers() -> None:
    examples = [example(*["two"] * 9, "3"), example(*["2"] * 10), example(*["yes"] * 10), example(*["no"] * 10)]
    assert answer_vocabulary(examples) == ("2", "no", "yes")
    assert answer_vocabulary(examples, at_least=2) == ("2",)


def test_three_of_ten_make_a_full_target() -> None:
    answers = ["red"] * 7 + ["Red."] * 1 + ["orange"] * 2
    targets = soft_targets([example(*answers), example(*["mauve"] * 10)], ("orange", "red"))
    np.testing.assert_allclose(targets, [[2 / 3, 1.0], [0.0, 0.0]], rtol=1e-6)
    assert targets.dtype == np.float32


def test_where_all_agree_only_space_around_an_answer_goes() -> None:
    assert strip_answer(" The\tOne-Way \n") == "The One-Way"
