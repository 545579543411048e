"""Where teachers come from: pre-training on captions (contrastive + captioning), then fine-tuning on the task (A.3)."""

from open_clip import CoCa
from torch import nn

from optima_lab.config import Config
from optima_lab.data.batches import Split, order
from optima_lab.data.corpus import TaskData, blank
from optima_lab.data.tokens import Tokenizer
from optima_lab.distill import losses
from optima_lab.distill.models import TaskModel, build, for_task, size, student_from
from optima_lab.distill.optimize import build_optimizer, schedule, update
from optima_lab.distill.resume import Keeper
from optima_lab.distill.tasks import (
    device,
    head_dropout,
    logits,
    predict,
    real_next_tokens,
    to_device,
    training_batch,
    training_loss,
)
from optima_lab.distill.walk import features, token_logits, walk

CONTRASTIVE, CAPTIONING = 1.0, 2.0  # CoCa's weights of the two losses (arXiv 2205.01917, Section 4.1)


def pretrain(config: Config, which: str, captions: Split, tokenizer: Tokenizer, keeper: Keeper) -> CoCa:
    """A 'teacher' or 'base' of the configured size, trained on pictures and their captions; `keeper` lets it go on.

    Loss: contrastive + 2 × captioning, one optimizer step a batch, linear schedule. Shared by all tasks.
    """
    steps = config.pretrain_steps if which == "teacher" else config.base_steps
    coca = build(size(config, which, tokenizer.vocab_size), seed=1 if which == "teacher" else 2).to(device())
    coca.set_grad_checkpointing(config.grad_checkpointing)
    optimizer = build_optimizer(config, [(coca, config.pretrain_lr)])
    for step in keeper.steps(steps, {"model": coca, "optimizer": optimizer}, f"pre-train {which}"):
        rows = order(config.world_seed, step - 1, config.pretrain_batch, len(captions.tokens))
        batch = to_device(captions.take(rows), device())
        trace = walk(coca, batch.images, batch.tokens)
        loss = CONTRASTIVE * losses.contrastive_loss(*features(coca, trace), coca.logit_scale)
        real = real_next_tokens(batch.tokens, tokenizer.pad)
        loss += CAPTIONING * losses.caption_loss(token_logits(coca, trace)[:, :-1], batch.tokens[:, 1:], real)
        update(optimizer, loss, schedule(step, steps, config.finetune_warmup_steps), config.clip)
    return coca


def finetune(config: Config, coca: CoCa, data: TaskData, keeper: Keeper, *, seed: int = 3) -> TaskModel:
    """The teacher of a task: all parameters trained with the task's loss, the head at its own learning rate."""
    shape = size(config, "teacher", data.tokenizer.vocab_size)
    model = for_task(coca, shape, data.task.pictures, len(data.classes), seed).to(device())
    model.coca.set_grad_checkpointing(config.grad_checkpointing)
    parts: list[tuple[nn.Module, float]] = [(model.coca, config.encoder_lr)]
    if model.head is not None:
        parts.append((model.head, config.pooler_lr))
    optimizer = build_optimizer(config, parts)
    kept, about = {"model": model, "optimizer": optimizer}, f"fine-tune {data.task.title}"
    for step in keeper.steps(config.finetune_steps, kept, about):
        batch = training_batch(config, data, config.finetune_batch, seed, step)
        keep = head_dropout(model, batch, config.dropout, seed, step)
        prediction = logits(model, walk(model.coca, batch.images, batch.tokens), keep)
        loss = training_loss(data.task, prediction, batch, data.tokenizer.pad)
        update(optimizer, loss, schedule(step, config.finetune_steps, config.finetune_warmup_steps), config.clip)
    return model.eval().requires_grad_(False)


def new_student(config: Config, base: CoCa, data: TaskData, seed: int) -> TaskModel:
    """A student of layers sampled from the base (Section 4.2), with a new head drawn from `seed`."""
    vocabulary = data.tokenizer.vocab_size
    small = size(config, "student", vocabulary)
    coca = student_from(base, size(config, "base", vocabulary), small, seed)
    coca.set_grad_checkpointing(config.grad_checkpointing)
    return for_task(coca, small, data.task.pictures, len(data.classes), seed).to(device())


def text_only(config: Config, base: CoCa, data: TaskData, keeper: Keeper, *, seed: int = 4) -> TaskModel:
    """A student-sized model fine-tuned as a student is, but shown grey pictures."""
    model = new_student(config, base, data, seed)
    optimizer = build_optimizer(config, [(model, config.lr)])
    grey, kept = blank(data), {"model": model, "optimizer": optimizer}
    for step in keeper.steps(config.steps, kept, f"text alone {data.task.title}"):
        batch = training_batch(config, grey, config.batch_size, seed, step)
        loss = training_loss(data.task, predict(model, batch), batch, data.tokenizer.pad)
        update(optimizer, loss, schedule(step, config.steps, config.warmup_steps), config.clip)
    return model.eval().requires_grad_(False)
