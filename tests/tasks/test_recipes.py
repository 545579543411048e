"""Where teachers come from: the losses of pre-training, Table 2's rates in fine-tuning, and a student that is blind."""

from pathlib import Path

import pytest
import torch
from small import PAD, config, task_data

from optima_lab.coca.forward import features, token_logits, walk
from optima_lab.coca.model import TaskModel, build, coca_config
from optima_lab.distill import losses
from optima_lab.distill.checkpoint import Checkpointer
from optima_lab.distill.optim import build_optimizer, schedule, update
from optima_lab.tasks import recipes as teacher
from optima_lab.tasks.objectives import real_next_tokens, training_batch


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> dict[str, list]:
    """What the optimizer was built of, and for each update its loss, share of the peak rate, and clipping."""
    seen: dict[str, list] = {"parts": [], "updates": [], "dropout": []}
    original = teacher.head_dropout

    def built(config, parts):
        modules, rates = [type(module).__name__ for module, _ in parts], [lr for _, lr in parts]
        seen["parts"] += [(modules, rates, config.optimizer, config.weight_decay)]
        return build_optimizer(config, parts)

    def updated(optimizer, loss, share, clip):
        seen["updates"].append((loss.item(), share, clip))
        update(optimizer, loss, share, clip)

    def dropped(model, batch, rate, *seeds):
        seen["dropout"].append(rate)
        return original(model, batch, rate, *seeds)

    for name, spy in (("build_optimizer", built), ("update", updated), ("head_dropout", dropped)):
        monkeypatch.setattr(teacher, name, spy)
    return seen


def settings(task: str = "vqa", **changes):
    return config(task, finetune_steps=6, finetune_batch=4, finetune_warmup_steps=2, pretrain_steps=3, **changes)


def test_fine_tuning_follows_table_2(watched: dict[str, list], tmp_path: Path):
    asked = settings(encoder_lr=2e-5, pooler_lr=5e-4, dropout=0.4, weight_decay=0.1, clip=0.7, optimizer="adafactor")
    data = task_data()
    model = teacher.finetune(
        asked, build(coca_config(asked, "teacher", 23), 1), data, Checkpointer(tmp_path / "resume.pt")
    )
    assert watched["parts"] == [(["CoCa", "Head"], [2e-5, 5e-4], "adafactor", 0.1)]
    assert [share for _, share, _ in watched["updates"]] == [schedule(step, 6, 2) for step in range(1, 7)]
    assert {clip for _, _, clip in watched["updates"]} == {0.7} and watched["dropout"] == [0.4] * 6
    assert not any(p.requires_grad for p in model.parameters()) and not model.training


def test_pooler_and_classifier_learn_at_a_rate_of_their_own(tmp_path: Path):
    asked, data = settings(encoder_lr=1e-12, pooler_lr=1e-2), task_data()
    coca, before = build(coca_config(asked, "teacher", 23), 1), build(coca_config(asked, "teacher", 23), 1).state_dict()
    model = teacher.finetune(asked, coca, data, Checkpointer(tmp_path / "resume.pt"))
    for name, value in model.coca.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=1e-9)
    fresh = teacher.for_task(coca, coca_config(asked, "teacher", 23), 1, len(data.classes), 3).head
    assert model.head is not None and fresh is not None
    for name, value in model.head.state_dict().items():
        if name.startswith(("classifier", "pooler.query")):
            assert (value - fresh.state_dict()[name]).abs().max() > 1e-3, name


def test_captions_are_fine_tuned_without_a_head(watched: dict[str, list], tmp_path: Path):
    asked, data = settings("coco"), task_data("coco")
    model = teacher.finetune(
        asked, build(coca_config(asked, "teacher", 23), 1), data, Checkpointer(tmp_path / "resume.pt")
    )
    assert watched["parts"][0][0] == ["CoCa"] and model.head is None


def test_pre_training_is_contrastive_and_twice_captioning(watched: dict[str, list], tmp_path: Path):
    asked, data = settings("coco", pretrain_batch=4), task_data("coco")
    teacher.pretrain(asked, "teacher", data.train, data.tokenizer, Checkpointer(tmp_path / "resume.pt"))
    coca = build(coca_config(asked, "teacher", 23), 1)
    batch = training_batch(asked, data, 4, asked.data.world_seed, 1)
    trace = walk(coca, batch.images, batch.tokens)
    words = losses.caption_loss(
        token_logits(coca, trace)[:, :-1], batch.tokens[:, 1:], real_next_tokens(batch.tokens, PAD)
    )
    pairs = losses.contrastive_loss(*features(coca, trace), coca.logit_scale)
    assert watched["updates"][0][0] == pytest.approx((pairs + 2 * words).item(), rel=1e-5)
    assert [share for _, share, _ in watched["updates"]] == [schedule(step, 3, 2) for step in range(1, 4)]


def test_the_blind_student_sees_grey_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    shades: set[float] = set()

    def seen(model: TaskModel, batch):
        shades.update(batch.images.unique().tolist())
        return original(model, batch)

    original = teacher.predict
    monkeypatch.setattr(teacher, "predict", seen)
    asked, data = settings(steps=4), task_data()
    model = teacher.text_only(
        asked, build(coca_config(asked, "base", 23), 2), data, Checkpointer(tmp_path / "resume.pt")
    )
    assert list(shades) == pytest.approx([127 / 127.5 - 1])
    assert model.depth("image") == 2 and not model.training


@pytest.mark.parametrize("again", [False, True])
def test_teachers_compute_activations_again_where_asked(again: bool, tmp_path: Path):
    asked, data = settings("coco", pretrain_batch=4, grad_checkpointing=again), task_data("coco")
    coca = teacher.pretrain(asked, "teacher", data.train, data.tokenizer, Checkpointer(tmp_path / "pretrain.pt"))
    model = teacher.finetune(
        asked, build(coca_config(asked, "teacher", 23), 1), data, Checkpointer(tmp_path / "finetune.pt")
    )
    for each in (coca, model.coca):
        towers = each.visual.transformer, each.text.transformer, each.text_decoder
        assert [tower.grad_checkpointing for tower in towers] == [again] * 3
