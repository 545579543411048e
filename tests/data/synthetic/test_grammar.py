"""When a thing fits a description, and when one exists."""

from optima_lab.data.synthetic.grammar import a, exists, fits, only
from optima_lab.data.synthetic.scene import BOX, GREY, Object


def test_fitting_by_hand() -> None:
    assert fits(Object("star", "red", 0), "star") is True and fits(Object("star", "red", 0), "heart") is False
    assert fits(Object(BOX, "red", 0), "star", "red") is None and fits(Object(BOX, "red", 0), "star", "blue") is False
    assert fits(Object("star", GREY, 0), "star") is True and fits(Object("star", GREY, 0), "", "pink") is None


def test_existing_by_hand() -> None:
    things = (Object(BOX, GREY, 0), Object("sun", "pink", 1))
    assert exists(things, "sun") is True and exists(things, "star") is None and exists((), "sun") is False


def test_only_what_stands_alone_is_named() -> None:
    things = (Object("sun", "pink", 0), Object("sun", "red", 1), Object("note", "red", 2))
    assert dict(only(things, "shape")) == {"note": things[2]} and dict(only(things, "colour")) == {"pink": things[0]}
    assert [a("sun"), a("anchor")] == ["a sun", "an anchor"]
