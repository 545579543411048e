"""The live view: it grows with the records, in a `with` and beside another process, and costs little."""

import json
import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import browser
import played
import pytest

import optima_lab
from optima_lab.errors import OptimaError
from optima_lab.experiments.line_tail import LineTail
from optima_lab.experiments.records import read_lines
from optima_lab.widgets import live as module
from optima_lab.widgets.live import Live
from optima_lab.widgets.watch import WatchServer


def rounds(view: Live, name: str = "OPTIMA") -> int:
    """How many rounds of a run the page has."""
    number = view.names.index(name)
    return next(part["shape"][0] for part in view.about["layout"] if part["name"] == f"{number}.arm")


def shown(view: Live, number: int) -> tuple[Any, dict[str, bytes]]:
    """What the page has of a run: facts, and every array's bytes."""
    own = [part for part in view.about["layout"] if part["name"].startswith(f"{number}.")]
    sizes = {"f4": 4, "u4": 4, "u1": 1}
    cut = {p["name"]: (p["offset"], math.prod(p["shape"]) * sizes[p["kind"]]) for p in own}
    return view.about["tracks"][number], {name: view.data[at : at + size] for name, (at, size) in cut.items()}


def grow(folder: Path, rows: list[dict[str, Any]]) -> None:
    with (folder / "rounds.jsonl").open("a") as file:
        file.write("".join(json.dumps(row) + "\n" for row in rows))


def until(true: Callable[[], object]) -> None:
    """Wait for a background look, half a minute at most."""
    for _ in range(300):
        if true():
            return
        time.sleep(0.1)
    raise AssertionError("nothing was seen")


def test_a_tail_reads_what_read_lines_reads_and_each_line_once(tmp_path: Path) -> None:
    folder = played.write(tmp_path, "OPTIMA") / "optima"
    path, rows = folder / "rounds.jsonl", played.lines(folder)
    text, tail = path.read_text(), LineTail(path)
    known: list[played.Row] = []
    for size in (0, 10, len(text) // 3, len(text) // 3 + 1, len(text) // 2, len(text)):
        path.write_text(text[:size])
        before, new = tail.read()
        assert before == len(known)
        known += new
        assert known == read_lines(path)
    assert known == rows
    path.write_text(text[: len(text) // 2])
    assert tail.read() == (0, read_lines(path)), "begun anew"
    path.write_text(text.replace("reward", "REWARD"))
    assert tail.read() == (0, read_lines(path)), "begun anew, and longer already"
    path.unlink()
    assert tail.read() == (0, [])
    path.write_text(text)
    assert tail.read() == (0, rows)


def test_it_waits_then_grows(tmp_path: Path) -> None:
    view = optima_lab.live(tmp_path / "runs")
    assert "waiting for the first round" in view.about["message"] and str(tmp_path) in view.about["message"]
    folder = played.write(tmp_path / "runs", "OPTIMA", "Random", rounds=12, done=False)
    every = played.lines(folder / "optima")
    played.rewrite(folder / "optima", every[:5])
    assert view.refresh() and rounds(view) == 5
    assert view.names[view.left] == "OPTIMA" and view.names[view.right] == "Random"
    assert not view.refresh(), "nothing came"
    grow(folder / "optima", every[5:9])
    assert view.refresh() and rounds(view) == 9
    assert "still training" in view.about["tracks"][view.left]["notes"][0]


def test_what_the_page_gets_is_what_a_new_view_would_give(tmp_path: Path) -> None:
    names = ("OPTIMA", "OPTIMA calibrated", "Random", "Img")
    folder = played.write(tmp_path, *names, rounds=20, done=False)
    waiting = {run: played.lines(run) for run in folder.iterdir()}
    for run, rows in waiting.items():
        played.rewrite(run, rows[:9])
    view = Live(tmp_path)
    for number in range(9, 20):
        for run, rows in waiting.items():
            grow(run, rows[number : number + 1])
        if number == 14:
            view.left, view.right = (view.names.index(name) for name in ("Img", "OPTIMA calibrated"))
        assert view.refresh()
        new = Live(tmp_path)
        new.left, new.right = view.left, view.right
        for each in ("left", "right"):
            assert shown(view, getattr(view, each)) == shown(new, getattr(new, each))


def test_what_a_person_chose_stays(tmp_path: Path) -> None:
    folder = played.write(tmp_path, "OPTIMA", "Random", "Img", rounds=12, done=False)
    view = Live(tmp_path)
    view.left = view.names.index("Img")
    rows = played.lines(folder / "img")
    grow(folder / "img", [{**rows[-1], "round": 13, "step": 78}])
    assert view.refresh()
    assert view.names[view.left] == "Img" and rounds(view, "Img") == 13


def test_inside_a_with_only_what_is_begun_there_is_shown(tmp_path: Path) -> None:
    old = played.write(tmp_path, "OPTIMA", task="nlvr2")
    for path in old.rglob("*"):
        os.utime(path, (1e9, 1e9))
    with Live(tmp_path) as view:
        assert "message" in view.about
        played.write(tmp_path, "OPTIMA", rounds=7, done=False)
        until(lambda: view.names)
        assert rounds(view) == 7
    played.write(tmp_path, "Random", rounds=7)
    assert view.names == ["OPTIMA"], "it has ended"


def test_an_interrupt_ends_it_and_leaves_the_picture(tmp_path: Path) -> None:
    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):  # noqa: SIM117
        with Live(tmp_path) as view:
            played.write(tmp_path, "OPTIMA", rounds=7, done=False)
            raise KeyboardInterrupt
    assert rounds(view) == 7 and threading.active_count() == before


def test_half_a_line_and_a_broken_record_do_not_end_it(tmp_path: Path) -> None:
    folder = played.write(tmp_path, "OPTIMA", "Random", rounds=7, done=False)
    view = Live(tmp_path)
    rows = played.lines(folder / "optima")
    played.rewrite(folder / "optima", rows, tail='{"round": 8,')
    view.refresh()
    assert rounds(view) == 7
    (folder / "random" / "rounds.jsonl").write_text("{\n{}\n")
    view.left, view.right = view.right, view.left
    view.refresh()
    assert view.names


def test_looking_takes_its_share_of_the_time_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rests: list[float] = []
    view = Live(tmp_path)
    ticks = iter(range(0, 1000, 3))
    monkeypatch.setattr(module, "thread_time", lambda: next(ticks))  # every look takes three seconds
    monkeypatch.setattr(view._ended, "wait", lambda seconds: (rests.append(seconds), view._ended.set()))
    view._follow()
    assert rests == [3 / module.SHARE]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[WatchServer]:
    server = WatchServer(Live(tmp_path))
    thread = threading.Thread(target=server.serve)
    thread.start()
    yield server
    server.idle = 0.0
    thread.join()


def test_a_page_grows_while_another_process_trains(tmp_path: Path, served: WatchServer) -> None:
    folder = played.write(tmp_path, "OPTIMA", "Random", rounds=12, done=False)
    every = played.lines(folder / "optima")
    played.rewrite(folder / "optima", every[:5])
    with browser.chromium() as running, browser.watched(running) as page:
        page.goto(served.address)
        page.get_by_text("round 12 of 12").wait_for()  # random arms' are all there
        page.get_by_label("right", exact=True).select_option(label="no second run")
        page.get_by_text("round 5 of 5").wait_for()
        before = browser.pixels(page)
        grow(folder / "optima", every[5:9])
        page.get_by_text("round 9 of 9").wait_for()
        assert browser.pixels(page) != before
        page.get_by_role("slider", name="round").fill("2")
        grow(folder / "optima", every[9:])
        page.wait_for_function("() => document.querySelector('.ol input[type=range]').max === '11'")
        assert page.get_by_role("slider", name="round").input_value() == "2", "looking back is not disturbed"
        browser.shot(page, "live")


def test_only_who_knows_the_address_is_answered(served: WatchServer) -> None:
    host = served.address.split("/")[2]
    assert served.server_address[0] == "127.0.0.1"
    for path in ("/", "/state", "/wrong/", "/wrong/state?0", f"/{served.secret}/../x", f"/{served.secret}/x"):
        connection = HTTPConnection(host)
        connection.request("GET", path)
        assert connection.getresponse().status == 404, path


def test_a_taken_port_is_one_line(served: WatchServer) -> None:
    with pytest.raises(OptimaError, match=r"^port must be free, got \d+: .*; 0 takes any that is$"):
        WatchServer(served.view, served.server_address[1])
