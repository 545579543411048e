"""Batches from workers are the batches of the step, bit by bit, wherever training begins."""

import pytest
import torch
from small import config, distilled, pupil, task_data, task_model

from optima_lab.distill.strategies import parse_strategies
from optima_lab.tasks.feeding import TrainingBatches
from optima_lab.tasks.objectives import DeviceBatch, training_batch


def same(one: DeviceBatch, other: DeviceBatch) -> bool:
    return all(torch.equal(getattr(one, name), getattr(other, name)) for name in ("images", "tokens", "targets"))


@pytest.mark.parametrize(("task", "augmented", "texts"), [("vqa", False, 0), ("vqa", True, 10), ("nlvr2", True, 0)])
def test_thirty_steps_are_the_same_with_and_without_workers(task: str, augmented: bool, texts: int) -> None:
    settings, data = config(task, rand_augment=augmented, workers=2), task_data(task)
    before = torch.random.get_rng_state()
    ahead = TrainingBatches(settings, data, 5, 3, texts)
    for step in [*range(1, 21), *range(16, 26)]:  # and begun anew in the middle
        assert same(ahead(step), training_batch(settings, data, 5, 3, step, texts)), step
    assert torch.equal(before, torch.random.get_rng_state()), "nobody else's random numbers are taken"


def test_nothing_is_prepared_ahead_without_workers() -> None:
    settings, data = config(workers=0), task_data()
    batches = TrainingBatches(settings, data, 4, 0)
    assert same(batches(2), training_batch(settings, data, 4, 0, 2))
    assert not list(batches._ahead) and not batches._next


@pytest.mark.parametrize("accumulate", [1, 4])
def test_students_learn_the_same_from_workers(accumulate: int) -> None:
    def learned(workers: int) -> list:
        settings = config(steps=8, round_steps=2, rand_augment=True, accumulate=accumulate, workers=workers)
        data = task_data(settings.task)
        teacher = task_model("teacher", settings, 1, data)
        students = [
            pupil(settings, strategy, task_model("student", settings, 0, data), teacher)
            for strategy in parse_strategies("optima,img", settings)
        ]
        return [taken for _, taken in distilled(settings, teacher, students, data)]

    assert learned(0) == learned(1)
