"""Buttons for `experiments.contest`: choose the next arm of a real student, and watch everybody's rounds."""

from typing import TYPE_CHECKING, Any

import ipywidgets
from markupsafe import Markup

from optima_lab.bandits.arms import LABELS
from optima_lab.display import YOU, arm_colour, called, task_metric
from optima_lab.report import pages
from optima_lab.report.pages import Cell
from optima_lab.widgets.live import Live

if TYPE_CHECKING:
    from optima_lab.experiments.contest import Contest

CLOCK = "let the clock choose"


class BeTheBandit(ipywidgets.VBox):
    """A contest as a widget: a button an arm, one that leaves the choice to your posterior, the replay, the end.

    contest: what is played; its `play`, `result` and `departures` are those of the buttons.
    """

    def __init__(self, contest: "Contest") -> None:
        self.contest = contest
        self.view = Live(contest.folder, YOU, "optima")
        self.status = ipywidgets.HTML()
        self.buttons = [_button(label, arm_colour(number)) for number, label in enumerate(LABELS)]
        self.buttons.append(_button(CLOCK))
        for button in self.buttons:
            button.on_click(self._chosen)
        super().__init__([ipywidgets.HBox(self.buttons, layout={"flex_flow": "row wrap"}), self.status, self.view])
        steps = contest.config.distillation.round_steps
        self._say(f"Which modules shall your student imitate first? {contest.left} rounds of {steps} steps.")

    def __repr__(self) -> str:
        return f"BeTheBandit({self.contest.config.task}, {self.contest.left} rounds left)"

    def _chosen(self, button: ipywidgets.Button) -> None:
        """Play one round; while it runs, no other choice counts."""
        self._enable(False)
        try:
            row = self.contest.play("" if button.description == CLOCK else button.description)
            self.view.refresh()
        finally:
            self._enable(bool(self.contest.left))
        left = self.contest.left
        rounds = f"{left} round{'' if left == 1 else 's'} left"
        self._say(f"{row['arm']} brought you {row['reward']:.4f}; {rounds}." if left else "")

    def _enable(self, on: bool) -> None:
        for button in self.buttons:
            button.disabled = not on

    def _say(self, text: str) -> None:
        self.status.value = str(Markup('<p role="status">{}</p>').format(text) if text else _ending(self.contest))


def _button(text: str, colour: str = "") -> ipywidgets.Button:
    button = ipywidgets.Button(description=text, layout={"width": "auto"})
    if colour:
        button.layout.border = f"2px solid {colour}"
    return button


def _ending(contest: "Contest") -> Markup:
    """Everybody's rewards and scores, and where you left your posterior's best arm."""
    shown = contest.result().sort_values("score", ascending=False)
    head = [Cell(name, "col") for name in ("player", "sum of rewards", task_metric(contest.config.task))]
    rows = [
        [Cell(called(str(name)), "row"), Cell(f"{row['rewards']:.3f}"), Cell(f"{row['score']:.1f}")]
        for name, row in shown.iterrows()
    ]
    left_at = [
        f"round {row['round']}: {row['arm']} ({row['mean']:.3f}) instead of {row['best']} ({row['best_mean']:.3f})"
        for row in contest.departures().to_dict("records")
    ]
    times = f"{len(left_at)} time{'' if len(left_at) == 1 else 's'}: {'; '.join(left_at)}"
    left = (
        f"You left the arm of the largest mean {times}." if left_at else "You never left the arm of the largest mean."
    )
    return pages.table(head, rows, "contest") + Markup("<p>{}</p>").format(left)


def be_the_bandit(task: str = "vqa", **arguments: Any) -> BeTheBandit:
    """Choose the arms of a real student yourself, beside OPTIMA, random arms and LWD on the same batches.

    task and `arguments`: as in `experiments.contest.Contest`; its teacher is trained first where it is missing.
    """
    from optima_lab.experiments.contest import Contest  # torch, which no page needs

    return BeTheBandit(Contest(task, **arguments))
