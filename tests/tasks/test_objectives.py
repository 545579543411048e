"""What a task adds to a batch: RandAugment of Tables 2 and 3, on training pictures alone; dropout of the task layer."""

import numpy as np
import pytest
import torch
from small import config, population, pupil, task_data, task_model

from optima_lab.data.batches import probe
from optima_lab.distill.parallel import device
from optima_lab.distill.seeds import stream_seed
from optima_lab.distill.strategies import parse_strategy
from optima_lab.tasks import objectives as tasks
from optima_lab.tasks.distillation import CoCaDistillation
from optima_lab.tasks.objectives import head_dropout, rand_augment, to_device, training_batch


def pictures(count: int = 12) -> torch.Tensor:
    """The same picture, uint8, over and over: a ramp of colours, which every transformation changes."""
    side = torch.arange(16, dtype=torch.uint8)
    one = torch.stack([side[:, None] * 8 + side, side * 9 + side[:, None] * 3, 200 - side[:, None] * 4 - side * 2], -1)
    return one.expand(count, 2, 16, 16, 3).contiguous()


def test_one_operation_of_magnitude_ten(monkeypatch: pytest.MonkeyPatch):
    asked = []

    def made(**arguments):
        asked.append(arguments)
        return lambda picture: picture

    monkeypatch.setattr(tasks, "RandAugment", made)
    assert torch.equal(rand_augment(pictures(), (0, 1)), pictures())
    assert asked == [{"num_ops": 1, "magnitude": 10}]


def test_pictures_are_augmented_each_on_its_own_and_repeatably():
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first, again, other = (rand_augment(pictures(), seed) for seed in ((3, 1), (3, 1), (3, 2)))
    assert torch.equal(before, torch.random.get_rng_state())  # nobody else's random numbers are taken
    assert first.shape == pictures().shape and first.dtype == torch.uint8
    assert torch.equal(first, again) and not torch.equal(first, other)
    kinds = {picture.numpy().tobytes() for picture in first.flatten(0, 1)}
    assert len(kinds) > 4, "every picture draws its own transformation"


def test_only_pictures_of_training_are_augmented():
    data = task_data()
    plain, changed = (training_batch(config(rand_augment=on), data, 8, 0, 1) for on in (False, True))
    assert torch.equal(plain.tokens, changed.tokens) and torch.equal(plain.targets, changed.targets)
    assert not torch.equal(plain.images, changed.images)
    settings = config(rand_augment=True)
    teacher, model = task_model("teacher", settings, 1, data), task_model("student", settings, 2, data)
    bench = population(
        settings,
        teacher,
        [pupil(settings, parse_strategy("img", settings), model, teacher)],
        data,
    )
    rows = probe(stream_seed(settings, "probe"), len(data.train), settings.distillation.probe_size)
    assert torch.equal(bench.probe.batch.images, to_device(data.train.take(rows), device()).images)


def test_dropout_of_the_task_layer_is_of_the_step_and_not_of_captions():
    settings, data = config(), task_data()
    model = task_model("student", settings, 0, data)
    batch = training_batch(settings, data, 4, 0, 1)
    first, again, other = (head_dropout(model, batch, 0.5, 0, step) for step in (1, 1, 2))
    assert first is not None and again is not None and other is not None
    assert torch.equal(first, again) and not torch.equal(first, other)
    captions = config("coco"), task_data("coco")
    assert head_dropout(task_model("student", captions[0], 0, captions[1]), batch, 0.5, 0, 1) is None


def test_students_that_are_shown_part_of_the_texts_see_no_others():
    data, texts = task_data(), 10
    seen = [training_batch(config(), data, 4, 3, step, texts).tokens for step in range(1, 16)]
    shown = {tuple(row.tolist()) for row in data.train.take(np.arange(texts)).tokens}
    rows = [tuple(row.tolist()) for batch in seen for row in batch]
    assert set(rows) == shown and len(rows) == 6 * texts
    everything = [training_batch(config(), data, 4, 3, step).tokens for step in range(1, 16)]
    assert len({tuple(row.tolist()) for batch in everything for row in batch}) > len(shown)


@pytest.mark.parametrize("texts", [10, 10_000])
def test_a_probe_and_batches_are_of_the_students_own_texts(texts: int):
    settings, data = config(student_texts=texts, probe_size=8), task_data()
    teacher, model = task_model("teacher", settings, 1, data), task_model("student", settings, 2, data)
    task = CoCaDistillation(settings, teacher, model, data)
    own = {tuple(row.tolist()) for row in data.train.take(np.arange(min(texts, len(data.train)))).tokens}
    for batch in (task.probe_batch(), *(task.batch(step) for step in range(1, 8))):
        assert {tuple(row.tolist()) for row in batch.tokens} <= own
