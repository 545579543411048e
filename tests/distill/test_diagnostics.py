"""A student whose numbers go wrong stops alone, says where, and keeps its last good state."""

import json
from copy import deepcopy

import pytest
import torch
from small import config, distilled, task_data
from test_trainer import a_teacher, students_of

from optima_lab.distill.checkpoint import Pupils
from optima_lab.distill.diagnostics import _kind, all_finite
from optima_lab.distill.population import Population
from optima_lab.distill.student import _tensors

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([[1.0, NAN, NAN, NAN, 1.0], [1.0, 1.0, 1.0, 1.0, 1.0]], True),  # NaN stands for what was not computed
        ([[NAN, NAN, 1.0, 1.0, NAN], [1.0, 1.0, 1.0, 1.0, 1.0]], False),
        ([[1.0, NAN, 1.0, 1.0, INF], [1.0, 1.0, 1.0, 1.0, 1.0]], False),
        ([[1.0, 1.0, 1.0, 1.0, 1.0], [1.0, 1.0, NAN, 1.0, 1.0]], False),
        ([[1.0, 1.0, 1.0, 1.0, 1.0], [INF, 1.0, 1.0, 1.0, INF]], False),
    ],
)
def test_what_is_sound(rows, expected: bool):
    assert all_finite(rows) is expected


@pytest.mark.parametrize(
    ("value", "precision", "told"),
    [
        (7e4, torch.float16, "overflow of float16"),
        (3.4e38, torch.bfloat16, "overflow of bfloat16"),
        (3.4e38, torch.float32, "not a number (float32)"),
        (NAN, torch.float16, "not a number (float16)"),
    ],
)
def test_overflow_is_named_with_its_precision(value: float, precision: torch.dtype, told: str):
    """65504 is the largest number of float16, 3.39e38 that of bfloat16; in float32 the second value still fits."""
    values = torch.tensor([0.0, value], dtype=precision)
    assert _kind(values if precision != torch.float32 else values * NAN) == told


def train(names: str, settings, poison=None):
    """Students after training, and their records; `poison` may spoil a student once a round is over."""
    data = task_data()
    teacher = a_teacher(settings, data)
    students = students_of(names, settings, data, teacher)
    records = [[] for _ in students]
    for step, taken in distilled(settings, teacher, students, data):
        for mine, (rounds, _) in zip(records, taken, strict=True):
            mine += rounds
        if poison is not None:
            poison(step, students)
    return students, records


def weights(student) -> list[torch.Tensor]:
    return [p.detach().clone() for p in student.model.parameters()]


def spoil(parameter: str, value: float, after: int, kept: list):
    """Put `value` into a parameter of the second student after a step."""

    def poison(step: int, students) -> None:
        if step == after:
            kept.extend(weights(students[1]))
            with torch.no_grad():
                dict(students[1].model.named_parameters())[parameter].view(-1)[0] = value

    return poison


@pytest.mark.parametrize(
    ("parameter", "value", "where"),
    [
        ("coca.visual.transformer.resblocks.1.mlp.c_proj.bias", NAN, "image layer 2, hidden states: not a number"),
        ("coca.text.transformer.resblocks.0.mlp.c_proj.bias", INF, "text layer 1, hidden states: overflow of float32"),
        ("coca.text_decoder.cross_attn.0.mlp.c_proj.bias", NAN, "decoder layer 1, hidden states: not a number"),
        ("head.classifier.bias", NAN, "train loss: not a number (float32)"),
    ],
)
def test_a_spoilt_student_stops_alone_and_says_where(parameter: str, value: float, where: str):
    settings, kept = config(steps=8), []
    students, records = train("none,img+txt+multi,optima", settings, spoil(parameter, value, 4, kept))
    stopped = students[1].stopped
    assert (stopped["round"], stopped["step"], stopped["arm"], stopped["good"]) == (3, 5, "Img+Txt+Multi", 4)
    assert stopped["where"].startswith(where)
    json.dumps(stopped)
    assert [len(mine) for mine in records] == [4, 3, 4]
    assert records[1][-1]["reward"] == 0.0  # 0/0 and NaN have one defined value
    undisturbed, others = train("none,img+txt+multi,optima", settings)
    for n in (0, 2):
        assert others[n] == records[n]
        for p, q in zip(weights(undisturbed[n]), weights(students[n]), strict=True):
            assert torch.equal(p, q)


def test_the_last_good_state_is_kept():
    """An update that overflows is undone: the student is as it was before its round."""
    settings, before = config(steps=8), []

    def poison(step: int, students) -> None:
        if step == 4:
            before.extend(weights(students[0]))
            students[0].optimizer.param_groups[0]["peak_lr"] = 1e38

    students, _ = train("img", settings, poison)
    assert students[0].stopped["good"] == 4
    assert all(torch.equal(p, q) for p, q in zip(before, weights(students[0]), strict=True))


def test_a_gradient_that_is_not_finite_is_found(monkeypatch):
    """The loss is fine, its derivative is not: √x at 0."""
    original = Population.compare

    def compare(self, student, arm, lesson):
        losses = original(self, student, arm, lesson)
        if torch.is_grad_enabled():
            query = student.model.head.pooler.query
            object.__setattr__(losses, "train", losses.train + (query - query.detach()).sum().abs().sqrt())
        return losses

    monkeypatch.setattr(Population, "compare", compare)
    (student,), _ = train("none", config(steps=4))
    assert student.stopped["where"].startswith("gradient of head.pooler.query: ")
    assert (student.stopped["round"], student.stopped["step"], student.stopped["good"]) == (1, 1, 0)


def test_a_population_may_stop_altogether():
    settings = config(steps=8)
    (student, other), _ = train("none,img", settings, lambda step, all: [_break(s) for s in all])
    assert student.stopped and other.stopped


def _break(student) -> None:
    with torch.no_grad():
        student.model.head.classifier.bias.fill_(NAN)


def test_a_stopped_student_stays_stopped_when_a_run_goes_on():
    settings, data = config(steps=4), task_data()
    teacher = a_teacher(settings, data)
    (student,) = students_of("img", settings, data, teacher)
    student.stopped = {"round": 1, "where": "x"}
    (other,) = students_of("img", settings, data, teacher)
    Pupils([other]).load_state_dict(Pupils([student]).state_dict())
    assert other.stopped == student.stopped


def test_the_state_before_a_round_can_be_gone_back_to_twice():
    """What follows the first return (the round gone through again) leaves parameters and moments of it alone."""
    settings, data = config(steps=8), task_data()
    teacher = a_teacher(settings, data)
    (student,) = students_of("img+txt+multi", settings, data, teacher)
    for step, _ in distilled(settings, teacher, [student], data):
        if step == 6:
            break
    expected = [*_tensors({name: deepcopy(part.state_dict()) for name, part in student.parts().items()})]
    before = weights(student)
    student.choose(1)
    for _ in range(2):
        student.optimizer.step()
        assert any(not torch.equal(ours, theirs) for ours, theirs in zip(weights(student), before, strict=True))
        student.go_back()
        found = [*_tensors({name: part.state_dict() for name, part in student.parts().items()})]
        for ours, theirs in zip(found, expected, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
