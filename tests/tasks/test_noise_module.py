"""A planted world: one module's teacher signal is another example's, everything else is as it was."""

import pytest
import torch
from small import config, pupil, task_data, task_model

from optima_lab.bandits.arms import LWD, MODULES
from optima_lab.distill.strategies import parse_strategy
from optima_lab.distill.trace import AttentionSpec
from optima_lab.errors import ConfigError
from optima_lab.tasks.distillation import CoCaDistillation

SPEC = AttentionSpec()


def answers(task: str, noise: str):
    """What the teacher says to the first batch when everything is asked of it."""
    settings, data = config(task=task, noise_module=noise), task_data(task)
    teacher, model = task_model("teacher", settings, 1, data), task_model("student", settings, 2, data)
    pupil(settings, parse_strategy("img", settings), model, teacher)
    distillation = CoCaDistillation(settings, teacher, model, data)
    return distillation.teacher_forward(distillation.batch(1), {SPEC: (LWD, True)})[SPEC]


@pytest.mark.parametrize("task", ["vqa", "nlvr2"])
@pytest.mark.parametrize("module", MODULES)
def test_one_module_says_what_it_said_of_another_example(task: str, module: str):
    true, noisy = answers(task, "none"), answers(task, module)
    assert true.logits is not None and noisy.logits is not None
    assert torch.equal(true.logits, noisy.logits), "the teacher itself is sound"
    for name in MODULES:
        for seen, other in (
            (true.features.hidden[name], noisy.features.hidden[name]),
            (true.features.attention[name], noisy.features.attention[name]),
        ):
            for layer, swapped in zip(seen, other, strict=True):
                half = len(layer) // 2
                expected = (
                    torch.cat([layer[len(layer) - half :], layer[: len(layer) - half]]) if name == module else layer
                )
                assert torch.equal(swapped, expected)
                assert name != module or not torch.equal(swapped, layer)


def test_a_batch_in_pieces_would_swap_within_a_piece_and_is_refused():
    with pytest.raises(ConfigError, match="accumulate must be 1 with noise_module='image', got 2"):
        config(noise_module="image", accumulate=2)
    with pytest.raises(ConfigError, match="noise_module must be one of"):
        config(noise_module="pictures")
