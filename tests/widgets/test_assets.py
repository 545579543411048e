"""Arrays survive the way to the browser; pages hold everything themselves and nothing that could break out."""

import re
from pathlib import Path

import numpy as np
import pytest

from optima_lab.errors import RecordError
from optima_lab.widgets import assets as widgets


def test_arrays_lie_where_the_layout_says() -> None:
    given = {
        "arm": np.array([3, 255, 0], np.uint8),
        "reward": np.array([0.5, np.nan, -2.0]),
        "round": np.array([1, 2, 70_000], np.int64),
        "mean": np.arange(6.0).reshape(2, 3),
    }
    layout, data = widgets.pack(given)
    assert [(part["name"], part["kind"], part["shape"]) for part in layout] == [
        ("arm", "u1", [3]), ("reward", "f4", [3]), ("round", "u4", [3]), ("mean", "f4", [2, 3]),
    ]  # fmt: skip
    assert all(part["offset"] % 8 == 0 for part in layout)
    kinds = {"u1": "<u1", "f4": "<f4", "u4": "<u4"}
    for part in layout:
        read = np.frombuffer(data, kinds[part["kind"]], int(np.prod(part["shape"])), part["offset"])
        np.testing.assert_array_equal(read.reshape(part["shape"]), given[part["name"]])


def test_facts_are_json_that_browsers_read() -> None:
    assert widgets.plain({"half": "a\ud800b"}) == '{"half":"a?b"}'
    assert (
        widgets.plain({"a": [1.5, float("nan"), (float("inf"), "é")], 2: None})
        == '{"a":[1.5,null,[null,"é"]],"2":null}'
    )


@pytest.mark.parametrize("widget", list(widgets.SOURCES))
def test_a_page_asks_for_nothing(widget: str) -> None:
    page = widgets.page("A & B", widget, {}, b"")
    assert "<title>A &amp; B</title>" in page
    assert "default-src 'none'" in page
    assert not re.search(r"https?://|\bimport\b[ (]|fetch\(|XMLHttpRequest|<link|src=", page)


def test_no_text_of_a_record_can_leave_its_script() -> None:
    evil = "</script><script>alert(1)</script><!--<SCRIPT>"
    page = widgets.page("t", "replay", {"name": evil}, b"")
    about = re.search(r'id="about">(.*?)</script>', page, re.DOTALL)
    assert about and about[1] == r'{"name":"\u003c/script><script>alert(1)\u003c/script>\u003c!--<SCRIPT>"}'


def test_a_page_is_written_whole_or_refused(tmp_path: Path) -> None:
    path = widgets.write_page(tmp_path / "new" / "page.html", "text")
    assert path.read_text() == "text"
    assert [p.name for p in path.parent.iterdir()] == ["page.html"]
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordError, match=r"page\.html cannot be written: .*file\)"):
        widgets.write_page(tmp_path / "file" / "page.html", "text")


def test_every_arm_has_its_colour_and_shape() -> None:
    arms = widgets.arms()
    assert [arm["modules"] for arm in arms] == [[0], [1], [2], [0, 1], [0, 2], [1, 2], [0, 1, 2]]
    assert len({arm["colour"] for arm in arms}) == len({arm["marker"] for arm in arms}) == 7
