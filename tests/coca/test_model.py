"""Sizes, seeds, heads, students made of a base's layers, projections."""

import numpy as np
import pytest
import torch
from small import PAD, VOCABULARY, WIDTH, config, sentences, shaken, shape

from optima_lab.bandits.arms import MODULES
from optima_lab.coca.model import (
    Head,
    TaskModel,
    blocks,
    build,
    coca_config,
    dropout_mask,
    for_task,
    pixels,
    student_config,
    student_from,
)
from optima_lab.distill.layers import Projections, matched_layer
from optima_lab.presets import preset


def parameters(module) -> int:
    return sum(p.numel() for p in module.parameters())


def same(a, b) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


@pytest.mark.parametrize("decoder", ["paper", "open_clip"])
def test_parameter_counts_of_table_1s_layers(decoder: str):
    d = WIDTH
    coca = build(shape(decoder=decoder), 0)
    assert parameters(coca.visual.transformer.resblocks[0]) == 12 * d**2 + 13 * d
    assert parameters(coca.text.transformer.resblocks[0]) == 12 * d**2 + 13 * d
    own, cross = coca.text_decoder.resblocks[0], coca.text_decoder.cross_attn[0]
    # The paper's count has no norm of the picture's tokens in each cross-attention; open_clip has (2d).
    layer = parameters(own) + parameters(cross) - parameters(cross.ln_1_kv)
    # open_clip's second MLP: 8d² + 5d, and 2d for its norm.
    assert layer == 16 * d**2 + 19 * d + (8 * d**2 + 7 * d) * (decoder == "open_clip")


def test_the_layers_of_the_papers_tiny12():
    with torch.device("meta"):
        coca = build(student_config(preset("vqa", "paper"), 64_000), 0)
    d = 768
    cross = coca.text_decoder.cross_attn
    layers = sum(parameters(coca.get_submodule(name)) for name in ("visual.transformer", "text.transformer"))
    layers += parameters(coca.text_decoder.resblocks) + parameters(cross) - sum(parameters(b.ln_1_kv) for b in cross)
    assert layers == 9 * (12 * d**2 + 13 * d) + 3 * (16 * d**2 + 19 * d)  # 6/3/3
    assert round((layers + 16 * d**2 + 256 * d) / 1e6, 1) == 101.8  # with the poolers as NOTES counts them: Table 1


def test_weights_follow_from_the_seed_alone():
    torch.manual_seed(1)
    a = build(shape(), 7)
    torch.manual_seed(2)
    before = torch.get_rng_state()
    b = build(shape(), 7)
    assert torch.equal(torch.get_rng_state(), before)  # and nobody else's numbers change
    assert same(a, b)
    assert not same(a, build(shape(), 8))


@pytest.mark.parametrize("queries", [0, 5])
def test_no_parameter_is_left_uninitialised(queries: int):
    """open_clip leaves `text_decoder.text_projection` as memory happens to be."""
    model = build(shape(image_queries=queries), 0)
    assert all(torch.isfinite(p).all() for p in model.parameters())
    assert model.text_decoder.text_projection.std().item() == pytest.approx(WIDTH**-0.5, rel=0.2)
    assert same(model, build(shape(image_queries=queries), 0))


# ---- students -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base_layers", "student_layers", "expected"),
    [
        (12, 6, [2, 4, 6, 8, 10, 12]),
        (12, 3, [4, 8, 12]),
        (12, 1, [12]),
        (5, 2, [3, 5]),  # ⌈2.5⌉, ⌈5⌉
        (4, 3, [2, 3, 4]),  # ⌈1.33⌉, ⌈2.67⌉, ⌈4⌉
        (3, 3, [1, 2, 3]),
        (2, 3, [1, 2, 2]),  # a student deeper than its teacher meets layers twice
    ],
)
def test_matched_layers_by_hand(base_layers: int, student_layers: int, expected: list[int]):
    assert [matched_layer(i, student_layers, base_layers) for i in range(1, student_layers + 1)] == expected


def test_matched_layers_are_exact_where_the_ratio_is_a_whole_number():
    for student in range(1, 50):
        for ratio in range(1, 50):
            assert [matched_layer(i, student, ratio * student) for i in (1, student)] == [ratio, ratio * student]


def test_a_student_is_made_of_evenly_sampled_layers_of_the_base():
    base_shape, small = shape((4, 3, 2), image_queries=3), shape((2, 2, 1), image_queries=3)
    base = shaken(build(base_shape, 0))
    student = student_from(base, base_shape, small, seed=5)
    taken = {"image": [2, 4], "text": [2, 3], "decoder": [2]}  # ⌈4i/2⌉, ⌈3i/2⌉, ⌈2i/1⌉
    for module, layers in taken.items():
        for mine, layer in zip(blocks(student, module), layers, strict=True):
            assert same(mine, blocks(base, module)[layer - 1])
    assert same(student.text_decoder.cross_attn[0], base.text_decoder.cross_attn[1])
    rest = [name for name in student.state_dict() if "resblocks" not in name and "cross_attn" not in name]
    assert len(rest) > 15
    assert all(torch.equal(student.state_dict()[name], base.state_dict()[name]) for name in rest)


def test_a_student_shares_no_memory_with_its_base():
    base = build(shape(), 0)
    before = {name: value.clone() for name, value in base.state_dict().items()}
    shaken(student_from(base, shape(), shape((1, 1, 1)), 0))
    assert all(torch.equal(base.state_dict()[name], value) for name, value in before.items())


# ---- heads ----------------------------------------------------------------------------------------------------------


def test_the_head_masks_padding():
    head = shaken(Head(WIDTH, 2, 1, 5))
    decoded, mask = torch.randn(3, 9, WIDTH), sentences(9, 3, 6) != PAD
    noisy = torch.where(mask[..., None], decoded, 100 * torch.randn_like(decoded))
    torch.testing.assert_close(head(decoded, mask), head(noisy, mask))
    short = head(decoded[1:2, :3], mask[1:2, :3])
    torch.testing.assert_close(head(decoded, mask)[1:2], short)


def test_the_head_is_open_clips_pooler_and_a_linear_layer():
    head = shaken(Head(WIDTH, 2, 1, 5))
    decoded = torch.randn(3, 9, WIDTH)
    expected = head.classifier(head.pooler(decoded)[:, 0])
    torch.testing.assert_close(head(decoded, torch.ones(3, 9, dtype=torch.bool)), expected)


def test_nlvr2s_two_pooled_vectors_are_concatenated():
    head = shaken(Head(WIDTH, 2, 2, 2))
    decoded = torch.randn(6, 9, WIDTH)  # three examples: left, right, left, right, …
    pooled = head.pooler(decoded)[:, 0]
    features = torch.stack([torch.cat([pooled[2 * n], pooled[2 * n + 1]]) for n in range(3)])
    found = head(decoded, torch.ones(6, 9, dtype=torch.bool))
    torch.testing.assert_close(found, head.classifier(features))
    assert found.shape == (3, 2)


def test_the_dropout_mask_multiplies_the_classifiers_input():
    head = shaken(Head(WIDTH, 2, 1, 5))
    decoded, mask = torch.randn(3, 9, WIDTH), torch.ones(3, 9, dtype=torch.bool)
    keep = torch.zeros(3, WIDTH)
    torch.testing.assert_close(head(decoded, mask, keep), head.classifier.bias.expand(3, -1))
    keep[:, 4] = 2.0
    expected = 2 * head.pooler(decoded)[:, 0, 4:5] * head.classifier.weight[:, 4] + head.classifier.bias
    torch.testing.assert_close(head(decoded, mask, keep), expected)


def test_a_task_models_head_follows_from_its_seed():
    a, b, c = (for_task(build(shape(), 0), shape(), 1, 4, seed) for seed in (3, 3, 4))
    assert same(a.head, b.head)
    assert not same(a.head, c.head)
    assert not torch.equal(a.head.pooler.query, c.head.pooler.query)
    assert for_task(build(shape(), 0), shape(), 2, 3, 0).head.classifier.weight.shape == (3, 2 * WIDTH)


def test_captions_have_no_head():
    model = for_task(build(shape((2, 1, 2)), 0), shape((2, 1, 2)), 1, 0, 0)
    assert model.head is None
    assert [model.depth(module) for module in MODULES] == [2, 1, 2]
    assert [model.width(module) for module in MODULES] == [WIDTH] * 3


# ---- W, dropout, pixels, checks -------------------------------------------------------------------------------------


def test_one_matrix_for_every_layer_of_the_student():
    student = TaskModel(build(shape((3, 2, 1)), 0), None, 4)
    teacher = TaskModel(build(shape((4, 2, 2), width=24), 0), None, 4)
    a, b, c = (Projections(student.shapes(), teacher.shapes(), seed) for seed in (1, 1, 2))
    assert [len(getattr(a, module)) for module in MODULES] == [3, 2, 1]
    assert {tuple(w.shape) for w in a.parameters()} == {(WIDTH, 24)}
    assert same(a, b)
    assert not same(a, c)
    values = torch.cat([w.flatten() for w in a.parameters()])
    assert values.std().item() == pytest.approx(WIDTH**-0.5, rel=0.1)  # a projected state keeps its size
    assert all(w.requires_grad for w in a.parameters())
    assert len({w.flatten()[0].item() for w in a.parameters()}) == 6  # all different


def test_dropout_masks_are_scaled_and_repeatable():
    mask = dropout_mask(3, 200, 50, 0.2)
    assert set(mask.unique().tolist()) == {0.0, 1.25}  # 1 / (1 − 0.2)
    assert (mask == 0).float().mean().item() == pytest.approx(0.2, abs=0.02)
    assert torch.equal(mask, dropout_mask(3, 200, 50, 0.2))
    assert not torch.equal(mask, dropout_mask(4, 200, 50, 0.2))
    before = torch.get_rng_state()
    dropout_mask(3, 2, 2, 0.5)
    assert torch.equal(torch.get_rng_state(), before)


def test_no_dropout_is_no_mask():
    assert dropout_mask(3, 2, 2, 0.0) is None


def test_pixels_run_from_minus_one_to_one_and_channels_come_first():
    images = np.zeros((1, 2, 4, 3, 3), np.uint8)
    images[0, 1, 3, 2] = (255, 0, 51)  # 51 / 127.5 − 1 = −0.6
    found = pixels(torch.from_numpy(images))
    assert found.shape == (1, 2, 3, 4, 3)
    torch.testing.assert_close(found[0, 1, :, 3, 2], torch.tensor([1.0, -1.0, -0.6]))
    assert found.min() == -1.0


def test_base_and_student_share_a_width_and_the_teacher_has_its_own():
    settings = config()
    assert {which: coca_config(settings, which, VOCABULARY).width for which in ("teacher", "base", "student")} == {
        "teacher": 24,
        "base": 16,
        "student": 16,
    }
    assert coca_config(settings, "teacher", 99).layers == (4, 3, 2)
    assert student_config(settings, 99).vocabulary == 99


def test_new_models_have_the_mask_that_is_not_shifted():
    """Released weights have the CLS token's entry in front; `walk` knows both, ours are built with the right one."""
    assert build(shape(), 0).text.correct_cls_mask
