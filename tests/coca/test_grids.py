"""Token grids: matrices worked out by hand, traces resampled, unlike tokens refused."""

from dataclasses import replace

import pytest
import torch
from small import VOCABULARY, config, distilled, pupil, shape, task_data, task_model

from optima_lab.coca.forward import CoCaFeatures
from optima_lab.coca.grids import grid_resampling, require_same_tokens, resampled, resampling
from optima_lab.coca.model import TaskModel, build, coca_config, for_task
from optima_lab.config.parameters import override
from optima_lab.distill.strategies import parse_strategy
from optima_lab.errors import ConfigError

SMALL = config()


def test_one_grid_is_left_as_it_is():
    torch.testing.assert_close(resampling(3, 3), torch.eye(10))


def test_a_larger_patch_is_a_weighted_mean_by_hand():
    """4 → 2 in one direction: a triangle two patches wide around 1.0, at 0.5, 1.5, 2.5: (3, 3, 1) / 7."""
    line = torch.tensor([[3, 3, 1, 0], [0, 1, 3, 3]]) / 7
    matrix = resampling(4, 2)
    torch.testing.assert_close(matrix[1:, 1:], torch.kron(line, line))
    assert matrix[0].tolist() == [1.0] + [0.0] * 16  # the class token stays, and is in no patch
    assert matrix[:, 0].tolist() == [1.0] + [0.0] * 4


def test_smaller_patches_are_interpolated_by_hand():
    """2 → 4: centres at -1/4, 1/4, 3/4, 5/4 between the centres 0 and 1, held at the border."""
    line = torch.tensor([[1.0, 0.0], [0.75, 0.25], [0.25, 0.75], [0.0, 1.0]])
    torch.testing.assert_close(resampling(2, 4)[1:, 1:], torch.kron(line, line))


@pytest.mark.parametrize(("teacher", "student"), [(7, 3), (3, 7), (16, 12), (1, 5)])
def test_rows_sum_to_one(teacher: int, student: int):
    matrix = resampling(teacher, student)
    assert matrix.shape == (student**2 + 1, teacher**2 + 1)
    torch.testing.assert_close(matrix.sum(1), torch.ones(student**2 + 1))
    assert (matrix >= 0).all()


def test_hidden_states_and_scores_are_resampled_on_the_image_alone():
    hidden, scores = torch.randn(2, 17, 6), torch.randn(2, 17, 17)
    trace = CoCaFeatures(hidden={"image": [hidden], "text": [hidden]}, attention={"image": [scores], "text": [scores]})
    matrix = resampling(4, 2)
    found = resampled(trace, matrix)
    torch.testing.assert_close(
        found.hidden["image"][0][1, 3], sum(w * h for w, h in zip(matrix[3], hidden[1], strict=True))
    )
    expected = sum(matrix[3, i] * matrix[0, j] * scores[1, i, j] for i in range(17) for j in range(17))
    torch.testing.assert_close(found.attention["image"][0][1, 3, 0], expected)
    assert found.hidden["text"][0] is hidden and found.attention["text"][0] is scores
    assert trace.hidden["image"][0] is hidden  # the teacher's own decoder goes on with its own tokens
    assert resampled(trace, None) is trace
    text_only = CoCaFeatures(hidden={"text": [hidden]}, attention={"text": [scores]})
    assert resampled(text_only, matrix) is text_only


def test_models_say_which_matrix_they_need():
    student, same = (TaskModel(build(shape(), 0), None, 4) for _ in range(2))
    fine = TaskModel(build(shape(patch_size=2), 0), None, 2)
    assert grid_resampling(same, student) is None
    torch.testing.assert_close(grid_resampling(fine, student), resampling(4, 2))


@pytest.mark.parametrize("patch", [2, 8])
def test_a_student_learns_from_a_teacher_of_another_grid(patch: int):
    settings, data = config("snli_ve", resample=True, probe_size=6, steps=2), task_data("snli_ve")
    other = replace(coca_config(settings, "teacher", VOCABULARY), patch_size=patch)
    teacher = for_task(build(other, 1), other, 1, len(data.classes), 1).eval().requires_grad_(False)
    student = pupil(settings, parse_strategy("img+txt", settings), task_model("student", settings, 2, data), teacher)
    ((_, [(rounds, steps)]),) = distilled(settings, teacher, [student], data)
    assert all(step["hidden"] > 0 and step["attention"] > 0 for step in steps)
    assert rounds[0]["probe_hidden"] > 0
    with pytest.raises(ValueError, match="must agree in shape"):
        next(iter(distilled(override(settings, {"resample": False}), teacher, [student], data)))


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({"patch_size": 2}, {}, r"same image tokens, got 4² and 2²; choose patch_size and image_size .*resample=true"),
        ({"image_size": 16}, {}, r"same image tokens, got 4² and 2²"),
        ({"image_size": 16}, {"resample": True, "attention": "weights"}, "would not sum to one"),
        ({"text_tokens": 12}, {"resample": True}, "same text_tokens, got 12 and 9"),
        ({"image_queries": 3}, {"decoder_attention": "cross"}, "same number of picture tokens, got 3 and 4"),
        (
            {"patch_size": 2},
            {"decoder_attention": "cross", "resample": True},
            "same number of picture tokens, got 16 and 4",
        ),
    ],
)
def test_unlike_token_counts_are_refused(changes: dict, options: dict, message: str):
    with pytest.raises(ConfigError, match=message):
        require_same_tokens(replace(shape(), **changes), shape(), override(SMALL, options))


@pytest.mark.parametrize(
    ("changes", "options"),
    [
        ({"image_size": 16, "patch_size": 8}, {}),  # equal grids of different pictures
        ({"patch_size": 2}, {"resample": True}),
        ({"image_queries": 3}, {}),
        ({"patch_size": 2, "image_queries": 4}, {"resample": True, "decoder_attention": "cross"}),
    ],
)
def test_what_can_be_compared_is_fine(changes: dict, options: dict):
    require_same_tokens(replace(shape(), **changes), shape(), override(SMALL, options))
