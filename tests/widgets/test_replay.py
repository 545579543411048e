"""The replay's widget and page: the runs asked for, and a plain message in place of whatever cannot be shown."""

import json
from pathlib import Path

import played
import pytest

import optima_lab
from optima_lab.errors import RecordError
from optima_lab.presets import preset
from optima_lab.report.notebooks import execute
from optima_lab.widgets import assets as widgets
from optima_lab.widgets import replay as replay_module
from optima_lab.widgets.recording import places
from optima_lab.widgets.replay import NOTHING, Replay, replay, write_page

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "08_replay.ipynb"


def shown(widget: Replay) -> list[str]:
    return [widget.names[number] for number in (widget.left, widget.right) if number != NOTHING]


def test_optima_stands_beside_random(tmp_path: Path) -> None:
    played.write(tmp_path, "OPTIMA", "Random", "Img")
    assert shown(optima_lab.replay(tmp_path)) == ["OPTIMA", "Random"]
    assert shown(replay(str(tmp_path), left="img", right="optima")) == ["Img", "OPTIMA"]
    assert shown(replay(places(tmp_path)[0], right="")) == ["OPTIMA"]
    assert shown(replay(places(tmp_path), right="multi")) == ["OPTIMA"], "the second is not recorded: only one"
    assert shown(replay(tmp_path, left="nothing of this name")) == ["Random"]


def test_two_tasks_stand_beside_each_other(tmp_path: Path) -> None:
    for task in ("nlvr2", "vqa"):
        played.write(tmp_path, "OPTIMA", "Random", task=task)
    assert shown(replay(tmp_path)) == ["VQA · OPTIMA", "NLVR2 · OPTIMA"]


def test_facts_and_bytes_go_together(tmp_path: Path) -> None:
    played.write(tmp_path, "OPTIMA", "Random", rounds=30)
    widget = replay(tmp_path)
    names = {part["name"] for part in widget.about["layout"]}
    assert {"0.arm", "1.mean", "1.deviation", "1.draws", "0.draws"} <= names and "0.mean" not in names
    last = widget.about["layout"][-1]
    assert len(widget.data) > last["offset"]
    assert widget.about["tracks"][1]["policy"] == "optima"
    assert widget.about["problems"] == []


@pytest.mark.parametrize("name", ["missing", "empty", "broken"])
def test_what_cannot_be_read_is_a_message_in_the_widgets_place(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    folder = played.write(tmp_path / "broken", "OPTIMA")
    (folder / "optima" / "rounds.jsonl").write_text("{\n{}\n")
    widget = replay(tmp_path / name)
    expected = {"missing": "no such run", "empty": "no run in", "broken": "rounds.jsonl:1 must be a JSON object"}
    assert expected[name] in widget.about["message"] and widget.data == b""
    assert "\n" not in widget.about["message"]


def test_a_wrong_argument_is_a_message_too() -> None:
    assert "must be an experiment, a list of them or a folder, got int" in replay(3).about["message"]  # pyright: ignore
    assert replay([]).about["message"] == "no run was asked for"


def test_a_run_that_began_without_a_round_is_named(tmp_path: Path) -> None:
    folder = played.write(tmp_path, "OPTIMA", "Random")
    (folder / "random" / "rounds.jsonl").write_text("")
    (problem,) = replay(tmp_path).about["problems"]
    assert problem.startswith("Random: no round is recorded yet in ")


def test_a_page_stays_small_however_long_the_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = widgets.PAGE_BYTES - len(widgets.page("", "replay", {}, b"").encode()) - 20_000  # for the facts of many runs
    assert room > replay_module.LIMIT_BYTES * 4 / 3
    monkeypatch.setattr(replay_module, "LIMIT_BYTES", 60_000)
    played.write(tmp_path, "OPTIMA", "Random", "Img", "Txt", rounds=500)
    text = write_page(tmp_path, tmp_path / "figures" / "replay.html").read_text()
    assert len(text) < 60_000 * 4 / 3 + (widgets.PAGE_BYTES - room)
    assert "2 more runs are recorded; this page holds those that fit" in text
    assert "every 3rd of 500 rounds is in this page" in text


def test_a_page_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="no such run"):
        write_page(tmp_path / "missing", tmp_path / "replay.html")
    assert not (tmp_path / "replay.html").exists()


@pytest.mark.slow  # at smoke size `make check` looks at every executed notebook
def test_the_executed_notebook_of_a_long_record_is_small_and_keeps_its_widget(tmp_path: Path) -> None:
    names = ("img", "random", "optima")
    played.finish(tmp_path / "runs", preset("vqa", "smoke"), *names, rounds=1000)
    given = {"preset": "smoke", "strategies": ",".join(names), "figures": tmp_path, "runs": tmp_path / "runs"}
    done = execute(NOTEBOOK, tmp_path / "08_replay.ipynb", given)
    assert done.stat().st_size < 1_000_000
    assert "widgets" in json.loads(done.read_text())["metadata"]
    assert (tmp_path / "vqa" / "replay.html").stat().st_size < widgets.PAGE_BYTES
