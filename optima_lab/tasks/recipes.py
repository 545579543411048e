"""Where teachers come from: pre-training on captions (contrastive + captioning), then fine-tuning on the task (A.3)."""

from open_clip import CoCa
from torch import nn

from optima_lab.coca.forward import features, token_logits, walk
from optima_lab.coca.model import TaskModel, build, coca_config, for_task, student_config, student_from
from optima_lab.config import FinetuningStage, PretrainingStage, TrainingStage
from optima_lab.data.batches import Split, order
from optima_lab.data.datasets import TaskData, blank
from optima_lab.data.tokenizers import Tokenizer
from optima_lab.distill import losses
from optima_lab.distill.checkpoint import Checkpointer
from optima_lab.distill.optim import build_optimizer, schedule, update
from optima_lab.distill.parallel import device
from optima_lab.tasks.feeding import TrainingBatches
from optima_lab.tasks.objectives import (
    head_dropout,
    logits,
    predict,
    real_next_tokens,
    to_device,
    training_loss,
)

CONTRASTIVE, CAPTIONING = 1.0, 2.0  # CoCa's weights of the two losses (arXiv 2205.01917, Section 4.1)


def pretrain(stage: PretrainingStage, which: str, captions: Split, tokenizer: Tokenizer, keeper: Checkpointer) -> CoCa:
    """A 'teacher' or 'base' of the configured size, trained on pictures and their captions; `keeper` lets it go on.

    Loss: contrastive + 2 × captioning, one optimizer step a batch, linear schedule. Shared by all tasks.
    """
    steps = stage.pretraining.pretrain_steps if which == "teacher" else stage.pretraining.base_steps
    where = device(stage.model.device)
    coca = build(coca_config(stage, which, tokenizer.vocab_size), seed=1 if which == "teacher" else 2).to(where)
    coca.set_grad_checkpointing(stage.model.grad_checkpointing)
    optimizer = build_optimizer(stage.optim, [(coca, stage.pretraining.pretrain_lr)])
    for step in keeper.steps(steps, {"model": coca, "optimizer": optimizer}, f"pre-train {which}"):
        rows = order(stage.data.world_seed, step - 1, stage.pretraining.pretrain_batch, len(captions.tokens))
        batch = to_device(captions.take(rows), where)
        trace = walk(coca, batch.images, batch.tokens)
        loss = CONTRASTIVE * losses.contrastive_loss(*features(coca, trace), coca.logit_scale)
        real = real_next_tokens(batch.tokens, tokenizer.pad)
        loss += CAPTIONING * losses.caption_loss(token_logits(coca, trace)[:, :-1], batch.tokens[:, 1:], real)
        update(optimizer, loss, schedule(step, steps, stage.pretraining.finetune_warmup_steps), stage.optim.clip)
    return coca


def finetune(stage: FinetuningStage, coca: CoCa, data: TaskData, keeper: Checkpointer, *, seed: int = 3) -> TaskModel:
    """The teacher of a task: all parameters trained with the task's loss, the head at its own learning rate."""
    shape = coca_config(stage, "teacher", data.tokenizer.vocab_size)
    model = for_task(coca, shape, data.task.pictures, len(data.classes), seed).to(device(stage.model.device))
    model.coca.set_grad_checkpointing(stage.model.grad_checkpointing)
    parts: list[tuple[nn.Module, float]] = [(model.coca, stage.finetuning.encoder_lr)]
    if model.head is not None:
        parts.append((model.head, stage.finetuning.pooler_lr))
    optimizer = build_optimizer(stage.optim, parts)
    batches = TrainingBatches(stage, data, stage.finetuning.finetune_batch, seed)
    state, description = {"model": model, "optimizer": optimizer}, f"fine-tune {data.task.title}"
    for step in keeper.steps(stage.finetuning.finetune_steps, state, description):
        batch = batches(step)
        keep = head_dropout(model, batch, stage.finetuning.dropout, seed, step)
        prediction = logits(model, walk(model.coca, batch.images, batch.tokens), keep)
        loss = training_loss(data.task, prediction, batch, data.tokenizer.pad)
        update(
            optimizer,
            loss,
            schedule(step, stage.finetuning.finetune_steps, stage.pretraining.finetune_warmup_steps),
            stage.optim.clip,
        )
    return model.eval().requires_grad_(False)


def new_student(stage: TrainingStage, base: CoCa, data: TaskData, seed: int) -> TaskModel:
    """A student of layers sampled from the base (Section 4.2), with a new head drawn from `seed`."""
    vocabulary = data.tokenizer.vocab_size
    small = student_config(stage, vocabulary)
    coca = student_from(base, coca_config(stage, "base", vocabulary), small, seed)
    coca.set_grad_checkpointing(stage.model.grad_checkpointing)
    return for_task(coca, small, data.task.pictures, len(data.classes), seed).to(device(stage.model.device))


def text_only(stage: TrainingStage, base: CoCa, data: TaskData, keeper: Checkpointer, *, seed: int = 4) -> TaskModel:
    """A student-sized model fine-tuned as a student is, but shown grey pictures."""
    model = new_student(stage, base, data, seed)
    optimizer = build_optimizer(stage.optim, [(model, stage.training.lr)])
    training, state = stage.training, {"model": model, "optimizer": optimizer}
    batches = TrainingBatches(stage, blank(data), training.batch_size, seed, training.student_texts)
    for step in keeper.steps(training.steps, state, f"text alone {data.task.title}"):
        batch = batches(step)
        loss = training_loss(data.task, predict(model, batch), batch, data.tokenizer.pad)
        update(optimizer, loss, schedule(step, training.steps, training.warmup_steps), stage.optim.clip)
    return model.eval().requires_grad_(False)
