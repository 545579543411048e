"""Exercises in fields: the same verdicts in the browser as in Python, hints, tries, solution, score."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import browser
import pytest

from optima_lab.cli import main
from optima_lab.errors import ConfigError
from optima_lab.lessons import assignments, quiz
from optima_lab.lessons.exercises import EXERCISES, check
from optima_lab.report import shipped
from optima_lab.widgets import assets as widgets

ANSWERS = (
    "0.6",
    "0.61",
    "0.63",
    "2.2",
    "0.3",
    "0.2",
    "34.3",
    "34",
    "35",
    "50",
    "22499",
    "149",
    "0.02",
    "31",
    "30",
    "32",
)
QUICK = {"10.3": ("random", "beta_ts"), "13.2": ("optima",), "14.5": ("random",)}


@pytest.mark.browser
def test_the_browser_judges_numbers_as_python_does(chromium: Any) -> None:
    numbers = [number for number, one in EXERCISES.items() if one.judge.kind == "number"]
    asked = [each for lesson in quiz.TITLES for each in quiz._lesson(lesson)["exercises"] if each["number"] in numbers]
    source = widgets.script("exercises").split("export {")[0]
    with browser.watched(chromium) as page:
        said = browser.call(
            page,
            source,
            "asked.map((one) => answers.map((answer) => judged(one, answer)))",
            asked=asked,
            answers=ANSWERS,
        )
    for one, verdicts in zip(asked, said, strict=True):
        for answer, verdict in zip(ANSWERS, verdicts, strict=True):
            ours = check(one["number"], float(answer))
            assert (verdict["state"], verdict["text"]) == (ours.state, quiz.plain(ours)), (one["number"], answer)


def test_what_is_recorded_is_what_is_played_now() -> None:
    known = quiz.recorded()
    assert set(known) == {number for number, one in EXERCISES.items() if one.judge.kind == "policy"}
    for number, verdicts in known.items():
        states = {verdict["state"] for verdict in verdicts.values()}
        assert states == {"right", "wrong"}, f"{number} has a right answer and wrong ones"
        assert verdicts.get(EXERCISES[number].solution, {}).get("state") == "right", number
    for number, texts in QUICK.items():
        for text in texts:
            now = check(number, text)
            assert known[number][text] == {"state": now.state, "text": quiz.plain(now)}


@pytest.mark.slow
def test_all_that_is_recorded_is_what_is_played_now() -> None:
    for number, verdicts in quiz.recorded().items():
        for text, verdict in verdicts.items():
            now = check(number, text)
            assert verdict == {"state": now.state, "text": quiz.plain(now)}, (number, text)


def test_a_quiz_in_a_notebook_plays_policies_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = quiz.quiz("10")
    assert [line.split(":")[0] for line in repr(asked).splitlines()] == [
        "Exercise 10.1",
        "Exercise 10.2",
        "Exercise 10.3",
    ]
    sent: list[dict] = []
    monkeypatch.setattr(asked, "send", sent.append)
    asked._handle_custom_msg({"number": "10.3", "text": "random"}, [])
    assert asked.check("10.3", "beta_ts").right
    assert [each["state"] for each in sent] == ["wrong", "right"] and "wanted at most" in sent[0]["text"]
    assert "recorded" not in asked.about["lessons"][0]["exercises"][2], "a kernel plays"
    with pytest.raises(ConfigError, match="lesson must be one of 10, 11, 12, 13, 14, got '1'"):
        quiz.quiz("1")


def test_a_class_gets_questions_cells_to_answer_and_tests(tmp_path: Path) -> None:
    written = assignments.write(tmp_path)
    assert [path.name for path in written] == [path.name for path in shipped.lessons() if path.name[:2] != "15"]
    seen = []
    for path in written:
        cells = json.loads(path.read_text())["cells"]
        assert len({cell["id"] for cell in cells}) == len(cells)
        marked = [cell["metadata"]["nbgrader"] for cell in cells if "nbgrader" in cell["metadata"]]
        assert all(mark["schema_version"] == 3 and mark["task"] is False for mark in marked)
        assert [(mark["solution"], mark["locked"], mark["grade"]) for mark in marked[:2]] == [
            (True, False, False),
            (False, True, True),
        ]
        assert all(mark["points"] == 1 for mark in marked if mark["grade"])
        assert "quiz(" not in "".join(cells[-1]["source"])
        seen += [
            cell["source"][0] if isinstance(cell["source"], list) else cell["source"]
            for cell in cells
            if "**Exercise " in "".join(cell["source"])
        ]
    assert seen == [f"**Exercise {number}.** {one.question}" for number, one in EXERCISES.items()]


def test_the_command_writes_a_class_its_notebooks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lessons", "--assignments", str(tmp_path / "class"), "--figures", str(tmp_path / "figures")]) == 0
    told = capsys.readouterr().out.split()
    assert [Path(path).stem[:2] for path in told] == list(quiz.TITLES) and all(Path(path).is_file() for path in told)
    assert not (tmp_path / "figures").exists(), "nothing is executed"


def test_a_graded_cell_passes_a_right_answer_and_says_why_another_fails() -> None:
    _, answer, test = assignments._exercise("11.1")
    exec(answer["source"] + "\n" + test["source"], {})
    with pytest.raises(AssertionError, match="nearly"):
        exec("answer_11_1 = 35\n" + test["source"], {})


# --- in a browser ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser.chromium() as running:
        yield running


@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1024, "light"), (1280, "dark")])
def test_exercises_are_answered_on_a_page_without_python(
    chromium: Any, tmp_path: Path, width: int, scheme: str
) -> None:
    path = quiz.write_page(tmp_path / "exercises.html")
    with browser.watched(chromium, offline=True, color_scheme=scheme) as page:
        page.set_viewport_size({"width": width, "height": 800})
        page.goto(path.as_uri())
        box = page.locator(".ol-exercise", has_text="11.1 ")
        field = box.get_by_role("textbox", name="answer to 11.1")
        for tries, (answer, said) in enumerate(
            (("35", "Nearly: 35 is 2.0 % off"), ("50", "Not yet: 50 it is not"), ("7", "Not yet: 7"))
        ):
            assert "The solution" not in box.inner_text(), tries
            field.fill(answer)
            page.keyboard.press("Enter")
            assert said in box.inner_text()
        assert "The solution: 34.3. −1 / log2 0.98" in box.inner_text(), "after three tries"
        field.fill("34,3")
        box.get_by_role("button", name="Check").click()
        assert "Right. " in box.inner_text() and "The solution" not in box.inner_text()
        policy = page.locator(".ol-exercise", has_text="11.3 ")
        policy.get_by_role("combobox").select_option("beta_dts:decay=0.9")
        policy.get_by_role("button", name="Check").click()
        assert "Not yet: yours costs" in policy.inner_text()
        policy.get_by_role("combobox").select_option("beta_dts:decay=0.995")
        policy.get_by_role("button", name="Check").click()
        assert "2 of 3 right" in page.locator(".ol-head").nth(1).inner_text()
        assert browser.overlaps(page) == [] and page.evaluate("document.documentElement.scrollWidth") <= width
        assert min(browser.contrasts(page).values()) >= 4.5
        browser.shot(page, f"exercises_{width}_{scheme}")
