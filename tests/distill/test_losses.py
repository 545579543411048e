"""Eqs. 1, 3, 4 and 5 by hand-made numbers, masks, identities, and open_clip's own losses."""

from math import exp, log

import pytest
import torch
from jaxtyping import TypeCheckError
from open_clip.loss import ClipLoss, CoCaLoss
from small import PAD, VOCABULARY, config, pictures, population, pupil, sentences, shaken, shape, task_data, task_model
from torch import nn, tensor
from torch.nn import functional as F

from optima_lab.bandits.arms import ARMS, LWD, MODULES
from optima_lab.coca.forward import CoCaFeatures, every_layer, walk
from optima_lab.coca.model import TaskModel, build
from optima_lab.distill.layers import ModuleShape, Projections
from optima_lab.distill.losses import (
    WHOLE,
    Losses,
    Matched,
    attention_loss,
    caption_loss,
    contrastive_loss,
    cross_entropy,
    differentiable,
    emphasized,
    hidden_loss,
    kl_divergence,
    mean,
    mean_square,
    own_losses,
    total_loss,
)
from optima_lab.distill.strategies import parse_strategy
from optima_lab.distill.trace import Features
from optima_lab.errors import ConfigError
from optima_lab.tasks.objectives import DeviceBatch

HALF, QUARTERS = tensor([[0.0, 0.0]]), tensor([[log(3.0), 0.0]])  # (½, ½) and (¾, ¼)


def test_kl_has_the_student_first():
    # ½ ln(½ / ¾) + ½ ln(½ / ¼) = ½ ln(4/3); the other way round ¾ ln(3/2) − ¼ ln 2.
    assert kl_divergence(HALF, QUARTERS).item() == pytest.approx(0.5 * log(4 / 3))
    assert kl_divergence(QUARTERS, HALF).item() == pytest.approx(0.75 * log(1.5) - 0.25 * log(2))
    theirs = F.kl_div(QUARTERS.log_softmax(-1), HALF.log_softmax(-1), log_target=True, reduction="batchmean")
    assert kl_divergence(HALF, QUARTERS).item() == pytest.approx(theirs.item())  # PyTorch's input is the second


def test_kl_sums_over_classes_and_averages_over_examples():
    # Rows of ½ ln(4/3) and 0.
    student, teacher = torch.cat([HALF, HALF]), torch.cat([QUARTERS, HALF])
    assert kl_divergence(student, teacher).item() == pytest.approx(0.25 * log(4 / 3))


def test_kl_of_captions_is_the_mean_over_real_tokens():
    # Two captions of 1 and 2 real tokens: (a + 0 + a) / 3, not the mean of each caption's mean (a + a/2) / 2.
    student = torch.stack([torch.cat([HALF, HALF]), torch.cat([HALF, HALF])])
    teacher = torch.stack([torch.cat([QUARTERS, 9 * QUARTERS]), torch.cat([HALF, QUARTERS])])
    mask = tensor([[True, False], [True, True]])
    assert kl_divergence(student, teacher, mask).item() == pytest.approx(2 / 3 * 0.5 * log(4 / 3))


def test_kl_does_not_change_with_a_constant_added_to_the_logits():
    assert kl_divergence(HALF + 5, QUARTERS - 7).item() == pytest.approx(0.5 * log(4 / 3), rel=1e-5)


def test_kl_at_a_temperature_by_hand():
    """At T = 2 logits ±ln 9 become ±ln 3: probabilities 3/4 and 1/4 against a teacher's halves, times T² = 4."""
    student, teacher = tensor([[log(9.0), 0.0]]), tensor([[0.0, 0.0]])
    expected = 4 * (0.75 * log(1.5) - 0.25 * log(2))
    assert kl_divergence(student, teacher, temperature=2.0).item() == pytest.approx(expected, rel=1e-5)
    at_one = 0.9 * log(1.8) + 0.1 * log(0.2)
    assert kl_divergence(student, teacher).item() == pytest.approx(at_one, rel=1e-5)
    assert kl_divergence(student, teacher, temperature=1.0).equal(kl_divergence(student, teacher))


def test_the_gradient_of_a_warm_kl_stays_as_large():
    """In the limit of a large T it is that of half the squared difference of centred logits over the classes."""
    student = tensor([[1.0, -1.0]], requires_grad=True)
    kl_divergence(student, tensor([[0.0, 0.0]]), temperature=50.0).backward()
    assert student.grad is not None
    assert student.grad.flatten().tolist() == pytest.approx([0.5, -0.5], rel=1e-3)  # (z_s - z_t) / classes


@pytest.mark.parametrize("loss", [kl_divergence, cross_entropy])
def test_a_batch_of_one_against_eight_fails(loss):
    """By the shapes in the signature, where they are checked; and in the library itself, where they are not."""
    with pytest.raises(TypeCheckError):
        loss(torch.zeros(1, 3), torch.zeros(8, 3))
    unchecked = loss.__wrapped__
    with pytest.raises(ValueError, match=r"must agree in shape, got \(1, 3\) and \(8, 3\)"):
        unchecked(torch.zeros(1, 3), torch.zeros(8, 3))


def test_cross_entropy_of_soft_rows():
    # Targets (1, 0.6) are shares (⅝, ⅜); logits say (¾, ¼); a row of zeros adds nothing but counts in the mean.
    row = -(0.625 * log(0.75) + 0.375 * log(0.25))
    targets = tensor([[1.0, 0.6], [0.0, 0.0]])
    assert cross_entropy(QUARTERS, targets[:1]).item() == pytest.approx(row)
    assert cross_entropy(torch.cat([QUARTERS, QUARTERS]), targets).item() == pytest.approx(row / 2)
    assert cross_entropy(QUARTERS, targets[1:]).item() == 0.0


def test_cross_entropy_of_one_class_is_pytorchs():
    logits, classes = torch.randn(5, 4), tensor([0, 3, 1, 1, 2])
    expected = F.cross_entropy(logits, classes)
    torch.testing.assert_close(cross_entropy(logits, F.one_hot(classes, 4).float()), expected)


def test_a_row_of_zeros_has_no_gradient_and_no_nan():
    logits = torch.randn(2, 3, requires_grad=True)
    cross_entropy(logits, tensor([[0.0, 0.0, 0.0], [0.3, 0.0, 0.0]])).backward()
    assert torch.isfinite(logits.grad).all()
    assert (logits.grad[0] == 0).all()
    assert (logits.grad[1] != 0).all()


def test_the_caption_loss_is_cocas():
    tokens = sentences(9, 3, 6)
    logits = torch.randn(3, tokens.shape[1] - 1, VOCABULARY)
    found = caption_loss(logits, tokens[:, 1:], tokens[:, 1:] != PAD)
    _, theirs = CoCaLoss(1.0, 0.0, pad_id=PAD)(None, None, logits, tokens[:, 1:], None)
    torch.testing.assert_close(found, theirs)


def test_the_contrastive_loss_is_clips():
    image, text, log_scale = torch.randn(5, 7), torch.randn(5, 7), tensor(log(1 / 0.07))
    expected = ClipLoss()(F.normalize(image, dim=-1), F.normalize(text, dim=-1), log_scale.exp())
    torch.testing.assert_close(contrastive_loss(image, text, log_scale), expected)


def test_the_contrastive_loss_by_hand():
    # Two orthogonal pairs, scale 2: every row is (2, 0), so −ln(e² / (e² + 1)) each way.
    eye, log_scale = torch.eye(2), tensor(log(2.0))
    assert contrastive_loss(3 * eye, eye, log_scale).item() == pytest.approx(log(1 + exp(-2)))


def test_mean_over_masked_positions():
    values = tensor([[1.0, 2.0], [3.0, float("nan")]])
    assert mean(values, tensor([[True, True], [True, False]])).item() == 2.0
    assert mean(values[:, :1], None).item() == 2.0
    assert mean(tensor([[1.0, 2.0], [3.0, 8.0]]), tensor([[True, False]])).item() == 2.0  # one row for all


# ---- Eq. 3 and Eq. 4 ------------------------------------------------------------------------------------------------


class Matrices(nn.Module):
    """Hand-made W^i."""

    def __init__(self, **lists) -> None:
        super().__init__()
        for module, matrices in lists.items():
            setattr(self, module, nn.ParameterList([nn.Parameter(m) for m in matrices]))


def trace(
    hidden: dict, attention: dict | None = None, tokens: dict | None = None, pairs: dict | None = None
) -> CoCaFeatures:
    modules = hidden | (attention or {})
    none = dict.fromkeys(modules)
    return CoCaFeatures(hidden, attention or {}, none | (tokens or {}), none | (pairs or {}))


def hidden_of(student: dict, teacher: dict, matrices: Matrices, arm, tokens: dict | None = None):
    """`hidden_loss` without the check that W belongs to a model: matrices here are written by hand."""
    loss = hidden_loss.__wrapped__
    return loss(trace(student, tokens=tokens), trace(teacher), matrices, frozenset(arm))


def test_the_hidden_loss_by_hand():
    # H_s W = (1, 2) · [[1, 0, 2], [0, 1, 1]] = (1, 2, 4); H_t = (1, 0, 1): squares 0, 4, 9, mean 13/3.
    w = Matrices(image=[tensor([[1.0, 0.0, 2.0], [0.0, 1.0, 1.0]])])
    h_s, h_t = tensor([[[1.0, 2.0]]]), tensor([[[1.0, 0.0, 1.0]]])
    assert hidden_of({"image": [h_s]}, {"image": [h_t]}, w, {"image"}).item() == pytest.approx(13 / 3)


def test_the_mean_is_over_all_layers_not_over_modules():
    # Image: three layers with errors 1, 1, 4. Text: one layer with error 16. |S| = 4: 22/4; modules' means: (2 + 16)/2.
    def layers(*errors: float) -> list:
        return [torch.full((2, 3, 1), e**0.5) for e in errors]

    student, teacher = {"image": layers(1, 1, 4), "text": layers(16)}, {"image": layers(0, 0, 0), "text": layers(0)}
    w = Matrices(image=[torch.eye(1)] * 3, text=[torch.eye(1)])
    assert hidden_of(student, teacher, w, {"image", "text"}).item() == pytest.approx(22 / 4)
    assert hidden_of(student, teacher, w, {"image"}).item() == pytest.approx(6 / 3)
    assert hidden_of(student, teacher, w, {"text"}).item() == pytest.approx(16)
    scores = [{m: [x.expand(2, 3, 3) for x in xs] for m, xs in side.items()} for side in (student, teacher)]
    ours, theirs = (trace({}, attention) for attention in scores)
    assert attention_loss(ours, theirs, frozenset({"image", "text"})).item() == pytest.approx(22 / 4)


def test_modules_outside_the_arm_may_weigh_a_share():
    # The same layers: image errors 1, 1, 4 weigh 1/4 each, the text's 16 weighs 1: (6/4 + 16) / (3/4 + 1) = 10.
    student = {"image": [torch.full((2, 3, 1), e**0.5) for e in (1, 1, 4)], "text": [torch.full((2, 3, 1), 4.0)]}
    teacher = {m: [torch.zeros_like(layer) for layer in layers] for m, layers in student.items()}
    w = Matrices(image=[torch.eye(1)] * 3, text=[torch.eye(1)])
    both = frozenset({"image", "text"})

    def weighed(unchosen: float, arm: set[str]) -> float:
        weights = emphasized(WHOLE, trace(student), frozenset(arm), unchosen)
        return hidden_loss.__wrapped__(trace(student), trace(teacher), w, both, weights).item()

    assert weighed(0.25, {"text"}) == pytest.approx(10)
    assert weighed(0.25, {"image"}) == pytest.approx((6 + 16 / 4) / (3 + 1 / 4))
    assert weighed(1.0, {"text"}) == weighed(0.25, {"image", "text"}) == pytest.approx(22 / 4)
    assert weighed(0.0, {"text"}) == pytest.approx(16)


def test_padding_says_nothing():
    # Token errors 1, 9 (real) and 1e6 (padding): mean 5. Scores: allowed pairs (0,0), (1,0), (1,1) with errors 4, 4, 1.
    h_s, h_t = tensor([[[1.0], [3.0], [1e3]]]), torch.zeros(1, 3, 1)
    w = Matrices(text=[torch.eye(1)])
    real = tensor([[True, True, False]])
    assert hidden_of({"text": [h_s]}, {"text": [h_t]}, w, {"text"}, {"text": real}).item() == pytest.approx(5.0)
    a_s = tensor([[[2.0, 1e3, 1e3], [2.0, 1.0, 1e3], [1e3, 1e3, 1e3]]])
    causal = torch.ones(3, 3).tril().bool() & real[:, :, None]
    ours = trace({}, {"text": [a_s]}, pairs={"text": causal})
    assert attention_loss(ours, trace({}, {"text": [torch.zeros(1, 3, 3)]}), frozenset({"text"})).item() == 3.0


def test_nan_at_padding_reaches_neither_value_nor_gradient():
    nan = float("nan")
    h_s = torch.randn(1, 3, 2, requires_grad=True)
    h_t = torch.randn(1, 3, 2)
    h_t[0, 2] = nan
    w = Matrices(text=[torch.randn(2, 2)])
    loss = hidden_of({"text": [h_s]}, {"text": [h_t]}, w, {"text"}, {"text": tensor([[True, True, False]])})
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(h_s.grad).all()
    assert torch.isfinite(w.text[0].grad).all()
    a_s = torch.randn(1, 2, 2, requires_grad=True)
    a_t = tensor([[[0.0, nan], [0.0, 0.0]]])
    pairs = tensor([[[True, False], [True, True]]])
    loss = attention_loss(
        trace({}, {"text": [a_s]}, pairs={"text": pairs}), trace({}, {"text": [a_t]}), frozenset({"text"})
    )
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(a_s.grad).all()


@pytest.mark.parametrize(("ours", "theirs"), [((1, 3, 2), (8, 3, 2)), ((2, 1, 2), (2, 3, 2)), ((2, 3, 1), (2, 3, 2))])
def test_unlike_shapes_are_refused(ours, theirs):
    w = Matrices(image=[torch.eye(ours[2])])
    with pytest.raises(ValueError, match="must agree in shape"):
        hidden_of({"image": [torch.zeros(ours)]}, {"image": [torch.zeros(theirs)]}, w, {"image"})
    with pytest.raises(ValueError, match="must agree in shape"):
        attention_loss(
            trace({}, {"image": [torch.zeros(ours)]}), trace({}, {"image": [torch.zeros(theirs)]}), frozenset({"image"})
        )


def test_a_missing_layer_is_refused():
    h = torch.zeros(1, 2, 2)
    with pytest.raises(ValueError, match="shorter"):
        hidden_of({"image": [h, h]}, {"image": [h]}, Matrices(image=[torch.eye(2)] * 2), {"image"})


# ---- models: matching, identities -----------------------------------------------------------------------------------


def identity_projections(model: TaskModel) -> Projections:
    w = Projections(model.shapes(), model.shapes(), 0)
    with torch.no_grad():
        for matrix in w.parameters():
            matrix.copy_(torch.eye(model.width("text")))
    return w


@pytest.mark.parametrize("arm", ARMS, ids=lambda arm: "+".join(sorted(arm)))
def test_a_student_that_is_its_teacher_has_no_loss(arm):
    model = TaskModel(shaken(build(shape((2, 1, 2)), 0)), None, 4)
    seen = walk(model.coca, pictures(3), sentences(9, 3, 6), collect=every_layer(model.coca))
    assert hidden_loss(seen, seen, identity_projections(model), arm).item() == pytest.approx(0, abs=1e-10)
    assert attention_loss(seen, seen, arm).item() == 0.0


def test_the_arm_of_all_modules_is_layerwise_distillation():
    """LWD = the mean over every layer of the student; single modules weigh as many layers as they have."""
    settings, data = config(student_layers="2/1/1", base_layers="2/1/1", teacher_layers="4/3/2"), task_data()
    student, teacher = task_model("student", settings, 0, data), task_model("teacher", settings, 1, data)
    shaken(student), shaken(teacher)
    w = Projections(student.shapes(), teacher.shapes(), 0)
    batch = pictures(3), sentences(9, 3, 6)
    ours = walk(student.coca, *batch, collect=every_layer(student.coca))
    theirs = walk(teacher.coca, *batch, collect={"image": [2, 4], "text": [3], "decoder": [2]})
    each = {m: hidden_loss(ours, theirs, w, frozenset({m})) for m in MODULES}
    scores = {m: attention_loss(ours, theirs, frozenset({m})) for m in MODULES}
    torch.testing.assert_close(
        hidden_loss(ours, theirs, w, LWD), (2 * each["image"] + each["text"] + each["decoder"]) / 4
    )
    torch.testing.assert_close(
        attention_loss(ours, theirs, LWD), (2 * scores["image"] + scores["text"] + scores["decoder"]) / 4
    )


@pytest.mark.parametrize(
    ("teacher_layers", "student_layers", "matched"),
    [
        # ⌈g·i⌉ by hand: g = 4/2: 2, 4. g = 4/3: ⌈1.33⌉ = 2, ⌈2.67⌉ = 3, 4. g = 5/2: ⌈2.5⌉ = 3, 5.
        ("4/4/5", "2/3/2", {"image": [2, 4], "text": [2, 3, 4], "decoder": [3, 5]}),
        # g = 3/1: 3. g = 2/2: 1, 2. g = 5/3: ⌈1.67⌉ = 2, ⌈3.33⌉ = 4, 5.
        ("3/2/5", "1/2/3", {"image": [3], "text": [1, 2], "decoder": [2, 4, 5]}),
    ],
)
def test_a_students_layers_meet_the_teachers_by_the_rounded_up_ratio(teacher_layers, student_layers, matched):
    settings = config(teacher_layers=teacher_layers, base_layers=student_layers, student_layers=student_layers)
    data = task_data()
    teacher, model = task_model("teacher", settings, 1, data), task_model("student", settings, 0, data)
    student = pupil(settings, parse_strategy("img+txt+multi", settings), model, teacher)
    bench = population(settings, teacher, [student], data)
    assert {m: list(layers) for m, layers in bench.task.teacher_layers.items()} == matched
    batch = DeviceBatch(pictures(3), sentences(9, 3, 6), torch.eye(4)[:3])
    whole = walk(teacher.coca, batch.images, batch.tokens, collect=every_layer(teacher.coca))
    asked = bench.task.teacher_forward(batch, {student.spec: (LWD, False)})[student.spec].features
    for module, layers in matched.items():
        torch.testing.assert_close(asked.hidden[module], [whole.hidden[module][i - 1] for i in layers])
        torch.testing.assert_close(asked.attention[module], [whole.attention[module][i - 1] for i in layers])


# ---- Eq. 5 ----------------------------------------------------------------------------------------------------------


def test_the_total_is_weighted():
    # 1 + 0.5 · 2 + 2 · 3 + 0.01 · 5 = 8.05
    losses = Losses(tensor(1.0), tensor(2.0), tensor(3.0), tensor(5.0))
    assert total_loss(losses, (0.5, 2.0, 0.01)).item() == pytest.approx(8.05)
    assert total_loss(losses, (0.0, 1.0, 0.01)).item() == pytest.approx(4.05)
    assert total_loss(Losses(tensor(1.0), tensor(2.0)), (1.0, 1.0, 1.0)).item() == pytest.approx(3.0)


def test_the_task_may_weigh_other_than_one():
    # 0.25 · 1 + 0.5 · 2 + 2 · 3 + 0.01 · 5 = 7.3; without the task 7.05
    losses = Losses(tensor(1.0), tensor(2.0), tensor(3.0), tensor(5.0))
    assert total_loss(losses, (0.5, 2.0, 0.01), 0.25).item() == pytest.approx(7.3)
    assert total_loss(losses, (0.5, 2.0, 0.01), 0.0).item() == pytest.approx(7.05)
    assert total_loss(losses, (0.0, 0.0, 0.0), 2.0).item() == 2.0


def test_a_weight_of_zero_leaves_a_loss_out_altogether():
    assert total_loss(Losses(tensor(1.0), tensor(float("nan"))), (0.0, 1.0, 1.0)).item() == 1.0


# ---- the mean square ------------------------------------------------------------------------------------------------


def test_a_mean_square_runs_over_real_positions_alone():
    ours = torch.tensor([1.0, 5.0, 9.0], requires_grad=True)
    found = mean_square(ours, torch.tensor([0.0, 2.0, 1.0]), torch.tensor([True, True, False]))
    assert found.item() == 5.0  # (1² + 3²) / 2
    found.backward()
    assert ours.grad is not None and ours.grad.tolist() == [1.0, 3.0, 0.0]  # 2 · difference / 2


def test_one_mask_may_stand_for_many_values():
    ours, theirs = torch.zeros(2, 3, 2), torch.ones(2, 3, 2)
    theirs[0, 1] = 100.0
    mask = torch.tensor([[True, False, True], [True, True, True]])[..., None]
    assert mean_square(ours, theirs, mask).item() == 1.0


def test_what_is_masked_reaches_neither_value_nor_gradient_were_it_no_number():
    nan = float("nan")
    ours = torch.tensor([nan, 1.0], requires_grad=True)
    found = mean_square(ours, torch.tensor([0.0, nan]).nan_to_num(3.0), torch.tensor([False, True]))
    found.backward()
    assert found.item() == 4.0  # (1 - 3)²
    assert ours.grad is not None and ours.grad.tolist() == [0.0, -4.0]


def test_half_precision_is_compared_in_full():
    ours, theirs = torch.tensor([300.0], dtype=torch.bfloat16), torch.tensor([0.0], dtype=torch.bfloat16)
    assert mean_square(ours, theirs).dtype == torch.float32
    assert mean_square(ours, theirs).item() == 90_000.0


def test_a_teacher_in_inference_mode_can_be_learnt_from():
    ours = torch.ones(3, requires_grad=True)
    with torch.inference_mode():
        theirs = torch.zeros(3)
    mean_square(ours, theirs).backward()
    assert ours.grad is not None and ours.grad.tolist() == pytest.approx([2 / 3] * 3)


# ---- the user's own -------------------------------------------------------------------------------------------------


def seen_by_a_loss() -> Matched:
    """One module of one layer, two tokens of which one is real; the teacher's are tensors of inference."""
    with torch.inference_mode():
        features = Features({"image": [torch.tensor([[[3.0], [9.0]]])]}, {"image": [torch.zeros(1, 2, 2)]})
    theirs = differentiable(features, frozenset({"image"}))
    ours = Features(
        {"image": [torch.tensor([[[1.0], [1.0]]], requires_grad=True)]}, {}, {"image": tensor([[True, False]])}
    )
    projections = Projections({"image": ModuleShape(1, 1)}, {"image": ModuleShape(1, 1)}, seed=0)
    with torch.no_grad():
        projections.image[0].fill_(2.0)
    return Matched(frozenset({"image"}), ours, theirs, projections, torch.zeros(1, 2), None)


def test_a_loss_of_the_users_own_sees_projected_layers_and_what_is_real():
    seen = seen_by_a_loss()
    ((ours, theirs, real),) = seen.layers()
    assert (ours.tolist(), theirs.tolist(), real.tolist()) == ([[[2.0], [2.0]]], [[[3.0], [9.0]]], [[True, False]])
    (value,) = own_losses([lambda s: sum((theirs * ours)[real].sum() for ours, theirs, real in s.layers())], seen)
    value.backward()  # a product keeps the teacher's tensor, which one of inference would refuse
    assert value.item() == 6.0 and seen.student.hidden["image"][0].grad.tolist() == [[[6.0], [0.0]]]  # 3 · w


def test_losses_of_the_users_own_are_added_as_they_are():
    losses = Losses(tensor(1.0), None, tensor(3.0), own=(tensor(0.5), tensor(0.25)))
    assert total_loss(losses, (1.0, 2.0, 1.0)).item() == 7.75  # 1 + 2 · 3 + 0.5 + 0.25


def test_a_loss_that_is_no_scalar_is_refused():
    with pytest.raises(ConfigError, match=r"a loss must be a scalar, <lambda> returned \(2,\)"):
        own_losses([lambda seen: torch.zeros(2)], seen_by_a_loss())
    assert own_losses([lambda seen: 0.0], seen_by_a_loss())[0].item() == 0.0  # an arm without layers
