"""Students in one forward are what they are one after the other, whatever their arms, and whoever stops."""

import warnings
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from small import config, distilled, pupil, shaken, task_data, task_model

from optima_lab.config import Config
from optima_lab.config.parameters import override
from optima_lab.distill.losses import emphasis
from optima_lab.distill.optim import trained
from optima_lab.distill.population import Population
from optima_lab.distill.stacked import make_stacks
from optima_lab.distill.strategies import parse_strategies
from optima_lab.distill.student import Student
from optima_lab.errors import ConfigError
from optima_lab.tasks.distillation import CoCaDistillation

NEAR = 1e-5  # of a loss, relative above 1
Watch = Callable[[int, list[Student]], None]


def train(settings: Config, names: str, watch: Watch = lambda step, students: None) -> Any:
    """(students, their round records, their step records); `watch` is called when a round is over."""
    data = task_data(settings.task)
    torch.manual_seed(5)
    teacher = shaken(task_model("teacher", settings, 1, data), 0.1)
    strategies = parse_strategies(names, settings)
    students = [pupil(settings, each, task_model("student", settings, 0, data), teacher) for each in strategies]
    rounds, steps = [[] for _ in students], [[] for _ in students]
    for step, taken in distilled(settings, teacher, students, data):
        for each, (records, lines) in enumerate(taken):
            rounds[each] += records
            steps[each] += lines
        watch(step, students)
    return students, rounds, steps


def both(names: str, watch: Watch = lambda step, students: None, **changes: Any) -> list[Any]:
    """One after the other, and stacked; an operation that vmap would call for each in turn is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = [config(seed=3, lr=1e-3, **changes, stacked=on) for on in (False, True)]
        return [train(settings, names, watch) for settings in made]


def assert_alike(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> None:
    """Step records whose gaps are the same and whose numbers differ by rounding."""
    for mine, other in zip(ours, theirs, strict=True):
        near = {
            name: value if value is None else pytest.approx(value, rel=NEAR, abs=NEAR) for name, value in mine.items()
        }
        assert other == near, mine["step"]


@pytest.mark.parametrize(
    ("task", "changes"),
    [
        ("vqa", {"steps": 50}),
        ("snli_ve", {"steps": 8, "accumulate": 3, "attention": "weights"}),
        ("nlvr2", {"steps": 16, "decoder_attention": "cross", "alpha_kl": 0.3}),
        # Without scores nothing depends on the keys' biases: gradients of mere rounding, of which Adafactor makes steps
        ("coco", {"steps": 16, "task_weight": 0.5, "optimizer": "adafactor", "attention": "weights"}),
    ],
)
def test_steps_of_mixed_arms_are_those_of_the_loop(task: str, changes: dict[str, Any]) -> None:
    loop, stack = both("none,img,txt+multi,optima:unchosen_weight=0.5", task=task, **changes)
    for mine, other in zip(loop[2], stack[2], strict=True):
        assert_alike(mine, other)
    arms = [[[each["arm"] for each in rounds] for rounds in made[1]] for made in (loop, stack)]
    assert arms[0] == arms[1]
    last = [lines[-1]["train"] for lines in loop[2]]
    assert all(abs(a - b) > 10 * NEAR for a, b in pairwise(sorted(last))), "students that differ more than by rounding"


def test_who_stops_leaves_the_others_what_they_were() -> None:
    def spoil(step: int, students: list[Student]) -> None:
        if step == 6:
            dict(students[1].model.named_parameters())["head.classifier.bias"].data[0] = float("nan")

    loop, stack = both("img,multi,img+txt+multi", spoil, steps=12)
    whole = train(config(seed=3, lr=1e-3, steps=12, stacked=True), "img,multi,img+txt+multi")
    for students, _, _ in (loop, stack):
        assert [bool(student.stopped) for student in students] == [False, True, False]
    assert {**loop[0][1].stopped, "where": ""} == {**stack[0][1].stopped, "where": ""}
    for each in (0, 2):
        assert_alike(loop[2][each], stack[2][each])
        assert_alike(whole[2][each], stack[2][each])
    assert len(stack[2][1]) == len(loop[2][1]) < len(stack[2][0])


def test_what_a_student_does_not_match_has_no_gradient_as_alone() -> None:
    """Its optimizer would else count a step and decay what it did not learn."""
    reached = []
    for students, _, _ in both("none,img,txt+multi:alpha_hidden=0,txt", steps=2):
        names = [dict(student.projections.named_parameters()) for student in students]
        reached.append([{name for name, p in own.items() if p.grad is not None} for own in names])
        assert all(trained(student.optimizer) for student in students)
    assert reached[0] == reached[1] == [set(), {"image.0", "image.1"}, set(), {"text.0"}]


def test_stacks_are_of_students_whose_losses_are_of_one_kind() -> None:
    settings = config(stacked=True)
    data = task_data()
    teacher = task_model("teacher", settings, 1, data)
    strategies = parse_strategies("none,dide,img,kl,multi:kl_temperature=2,txt", settings)
    students = [pupil(settings, each, task_model("student", settings, 0, data), teacher) for each in strategies]
    assert [[s.strategy.id for s in each.students] for each in make_stacks(students)] == [["none", "img", "txt"]]
    assert make_stacks(students[:2]) == []


def test_a_students_parameters_are_parts_of_the_stacks_and_what_it_keeps_is_its_own() -> None:
    settings, data = config(stacked=True, steps=4), task_data()
    teacher = task_model("teacher", settings, 1, data)
    strategies = parse_strategies("img,txt,multi", settings)
    students = [pupil(settings, each, task_model("student", settings, 0, data), teacher) for each in strategies]
    population = Population(settings, CoCaDistillation(settings, teacher, students[0].model, data), students)
    for student in students:
        student.choose(1)
    population.step(students, 1)
    weight = dict(students[1].model.named_parameters())["head.classifier.weight"]
    assert weight.untyped_storage().nbytes() == 3 * weight.nbytes
    students[1].choose(3)
    kept = students[1].good["model"]["head.classifier.weight"]
    assert kept.untyped_storage().nbytes() == kept.nbytes and torch.equal(kept, weight)


def test_modules_weigh_one_on_average() -> None:
    layers = {"image": 2, "text": 1, "decoder": 1}
    assert emphasis(layers, frozenset({"image"}), 0.0) == {"image": 2.0, "text": 0.0, "decoder": 0.0}
    assert emphasis(layers, frozenset({"text"}), 0.5) == {"image": 0.8, "text": 1.6, "decoder": 0.8}
    assert emphasis(layers, frozenset(), 0.0) == dict.fromkeys(layers, 0.0)


@pytest.mark.parametrize("other", ["compiled", "grad_checkpointing"])
def test_what_cannot_be_stacked_is_refused(other: str) -> None:
    with pytest.raises(ConfigError, match=f"^stacked must be false where {other} is true, got both true$"):
        override(config(), {"stacked": True, other: True})
