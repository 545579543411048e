"""The exercises of a lesson as a widget with fields, and all lessons' exercises as one page that needs no Python.

Numbers, yes and no are judged in the browser by value. Policies are played: by the kernel in a notebook and under
Voilà; a page knows recorded simulations (`recorded.json`, written by `tools/record_exercises.py`).
"""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from optima_lab.errors import ConfigError, nearest
from optima_lab.lessons.exercises import EXERCISES, Verdict, check
from optima_lab.lessons.judges import NEAR, Number, YesOrNo
from optima_lab.widgets import assets as widgets

TITLES = {
    "10": "What is a bandit?",
    "11": "When the world changes",
    "12": "Inside OPTIMA",
    "13": "Policies compared",
    "14": "Arms that share modules",
}


class Quiz(anywidget.AnyWidget):
    """The exercises of one lesson: questions, fields, hints; after three tries the solution; how many are right."""

    _esm = widgets.script("exercises")
    _css = widgets.stylesheet()
    about = traitlets.Dict().tag(sync=True)

    def __init__(self, **traits: Any) -> None:
        super().__init__(**traits)
        self.on_msg(lambda _, message, __: self.check(str(message.get("number")), str(message.get("text"))))

    def check(self, number: str, answer: Any) -> Verdict:
        """Judge an answer, a policy of your own included, here and in the picture."""
        verdict = check(number, answer)
        self.send({"number": number, "state": verdict.state, "text": plain(verdict)})
        return verdict

    def __repr__(self) -> str:
        exercises = [exercise for lesson in self.about["lessons"] for exercise in lesson["exercises"]]
        return "\n".join(f"Exercise {exercise['number']}: {exercise['question']}" for exercise in exercises)


def quiz(lesson: str) -> Quiz:
    """The exercises of a lesson, '10' to '14'. Raises ConfigError for a lesson that has none."""
    if lesson not in TITLES:
        raise ConfigError(f"lesson must be one of {', '.join(TITLES)}, got {lesson!r}{nearest(lesson, list(TITLES))}")
    return Quiz(about=widgets.readable({"lessons": [_lesson(lesson)]}))


def write_page(path: str | Path) -> Path:
    """The exercises of all lessons as one HTML file. Raises RecordError where it cannot be written."""
    exercises = {"lessons": [_lesson(lesson, recorded()) for lesson in TITLES]}
    text = widgets.page("Exercises on bandits", "exercises", exercises, b"", home="index.html")
    return widgets.write_page(path, text)


@cache
def recorded() -> Mapping[str, Mapping[str, Mapping[str, str]]]:
    """What simulations said of policies: exercise → a policy's text → {state, text}."""
    return json.loads(Path(__file__).with_name("recorded.json").read_text(encoding="utf-8"))


def plain(verdict: Verdict) -> str:
    """A verdict without the number and the state, which the widget says."""
    return verdict.text.partition("** ")[2] or verdict.text


def _lesson(lesson: str, simulations: Mapping[str, Any] | None = None) -> dict[str, Any]:
    exercises = [_exercise(number, simulations) for number in EXERCISES if number.startswith(lesson)]
    return {"title": f"{lesson} · {TITLES[lesson]}", "exercises": exercises}


def _exercise(number: str, simulations: Mapping[str, Any] | None) -> dict[str, Any]:
    exercise = EXERCISES[number]
    facts = {"number": number, "question": exercise.question, "kind": exercise.judge.kind}
    facts |= {"why": exercise.why, "solution": exercise.solution}
    if isinstance(exercise.judge, YesOrNo):
        return facts | {"expected": exercise.judge.expected, "hint": exercise.judge.hint}
    if isinstance(exercise.judge, Number):
        judge = exercise.judge
        facts |= {"expected": judge.expected, "tolerance": judge.tolerance, "hint": judge.hint}
        return facts | {"slips": list(judge.slips.items()), "near": NEAR, "nearly": judge.near}
    return facts | {"options": list(recorded()[number])} | ({"recorded": simulations[number]} if simulations else {})
