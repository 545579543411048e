"""When a thing fits a description, and when one exists."""

from optima_lab.data.sentences import a, exists, fits, only
from optima_lab.data.things import BOX, GREY, Thing


def test_fitting_by_hand() -> None:
    assert fits(Thing("star", "red", 0), "star") is True and fits(Thing("star", "red", 0), "heart") is False
    assert fits(Thing(BOX, "red", 0), "star", "red") is None and fits(Thing(BOX, "red", 0), "star", "blue") is False
    assert fits(Thing("star", GREY, 0), "star") is True and fits(Thing("star", GREY, 0), "", "pink") is None


def test_existing_by_hand() -> None:
    things = (Thing(BOX, GREY, 0), Thing("sun", "pink", 1))
    assert exists(things, "sun") is True and exists(things, "star") is None and exists((), "sun") is False


def test_only_what_stands_alone_is_named() -> None:
    things = (Thing("sun", "pink", 0), Thing("sun", "red", 1), Thing("note", "red", 2))
    assert dict(only(things, "shape")) == {"note": things[2]} and dict(only(things, "colour")) == {"pink": things[0]}
    assert [a("sun"), a("anchor")] == ["a sun", "an anchor"]
