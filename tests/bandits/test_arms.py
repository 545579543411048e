"""Arms of any modules: their order, names, numbers, and what is refused."""

import numpy as np
import pytest

from optima_lab.bandits.arms import ARMS, COCA, LABELS, LWD, MODULES, SHORT, Arms, index_of, label, masks_of, parse_arm
from optima_lab.errors import ConfigError

FOUR = Arms(("image", "text", "audio", "decoder"), ("Img", "Txt", "Aud", "Multi"))


def test_the_papers_arms_are_the_default_in_the_papers_order() -> None:
    assert LABELS == ("Img", "Txt", "Multi", "Img+Txt", "Img+Multi", "Txt+Multi", "Img+Txt+Multi")
    assert MODULES == ("image", "text", "decoder") and SHORT == {"image": "Img", "text": "Txt", "decoder": "Multi"}
    assert frozenset(MODULES) == LWD == ARMS[-1] and COCA.sets == ARMS
    assert label(frozenset({"decoder", "image"})) == "Img+Multi" and label(frozenset()) == ""


def test_arms_of_other_modules_by_hand() -> None:
    pair = Arms(("q", "k"))
    assert pair.labels == ("q", "k", "q+k") and pair.masks.tolist() == [[True, False], [False, True], [True, True]]
    assert FOUR.count == 15 and FOUR.labels[4:7] == ("Img+Txt", "Img+Aud", "Img+Multi")
    assert FOUR.labels[10] == "Img+Txt+Aud" and FOUR.sets[14] == frozenset(FOUR.modules)
    assert Arms(("image", "text", "audio", "decoder"), ("Img", "Txt", "Aud", "Multi")) == FOUR and pair != FOUR
    with pytest.raises(ValueError, match="read-only"):
        FOUR.masks[0, 0] = False


@pytest.mark.parametrize("arms", [COCA, FOUR, Arms(("only",))])
def test_labels_are_read_back_in_any_order_and_case(arms: Arms) -> None:
    for arm, text in zip(arms.sets, arms.labels, strict=True):
        assert arms.parse(text) == arm == arms.parse(" + ".join(reversed(text.upper().split("+"))))


@pytest.mark.parametrize(
    ("arms", "arm", "message"),
    [
        (COCA, {"vision", "text"}, r"an arm's modules must be of image, text, decoder, got 'vision'; "),
        (COCA, {"image", "Text"}, "got 'Text'; did you mean 'text'"),
        (COCA, {"Img"}, "got 'Img'"),
        (COCA, {""}, "got ''"),
        (FOUR, {"image", "audi"}, "of image, text, audio, decoder, got 'audi'; did you mean 'audio'"),
    ],
)
def test_a_module_that_does_not_exist_has_no_label(arms: Arms, arm: set[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        arms.label(frozenset(arm))


@pytest.mark.parametrize(
    ("arms", "text", "message"),
    [
        (COCA, "img+tx", r"arm must be one of Img, Txt, .*, got 'img\+tx'; did you mean 'Img\+Txt'"),
        (COCA, "audio", "got 'audio'"),
        (FOUR, "img+", r"got 'img\+'"),
        (Arms(tuple("abcdefg")), "a+h", r"arm must be one of a, b, c, d, e, f, g with \+ between them, got 'a\+h'"),
    ],
)
def test_a_label_that_names_no_arm_is_refused(arms: Arms, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        arms.parse(text)


def test_the_modules_function_of_the_default_is_parse() -> None:
    assert parse_arm("multi+IMG") == frozenset({"image", "decoder"})


@pytest.mark.parametrize(
    ("modules", "shorts", "message"),
    [
        ((), (), "at least one module and one short name each"),
        (("a", "b"), ("A",), "one short name each"),
        (("a", "A"), (), "different names without '\\+', got a, A"),
        (("a", "b"), ("X", "x "), "different names without '\\+', got X, x "),
        (("a+b", "c"), (), "different names without '\\+', got a\\+b, c"),
        (("a", " "), (), "different names"),
    ],
)
def test_modules_that_labels_could_not_tell_apart_are_refused(modules: tuple, shorts: tuple, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Arms(modules, shorts)


@pytest.mark.parametrize("modules", [1, 2, 3, 4, 7, 10])
def test_numbers_and_modules_of_all_arms_are_inverse(modules: int) -> None:
    arms = Arms(tuple(f"module {number}" for number in range(modules)))
    assert np.array_equal(masks_of(np.arange(arms.count), modules), arms.masks)
    assert np.array_equal(index_of(arms.masks), np.arange(arms.count))


def test_arms_of_many_modules_have_numbers_without_a_list(generator: np.random.Generator) -> None:
    """24 modules: the arm of all is the last; the first of two modules follows the 24 of one."""
    index = np.array([0, 23, 24, 2**24 - 2])
    assert [np.flatnonzero(mask).tolist() for mask in masks_of(index, 24)[:3]] == [[0], [23], [0, 1]]
    assert masks_of(index, 24)[3].all()
    many = generator.integers(2**24 - 1, size=1000)
    assert np.array_equal(index_of(masks_of(many, 24)), many)
    with pytest.raises(ConfigError, match="arms are listed for at most 16 modules, got 24"):
        _ = Arms(tuple(map(str, range(24)))).sets
