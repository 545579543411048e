"""The sizes of DESIGN: each a function from a task to a configuration."""

from collections.abc import Callable, Mapping
from typing import Any

from optima_lab.config import (
    TASKS,
    Config,
    Data,
    Distillation,
    Evaluation,
    Finetuning,
    Model,
    Optim,
    Pretraining,
    Task,
    Training,
)
from optima_lab.config.parameters import override
from optima_lab.errors import ConfigError, nearest


def paper(task: Task) -> Config:
    """The paper's shapes and hyper-parameters: CoCa-Large → CoCa-Tiny12, Tables 2 and 3."""
    pooler_lr = {"vqa": 5e-4, "snli_ve": 1e-3, "nlvr2": 5e-3, "coco": 1e-5}
    encoder_lr = {"vqa": 2e-5, "snli_ve": 5e-5, "nlvr2": 2e-5, "coco": 1e-5}
    return Config(
        task=task.name,
        preset="paper",
        finetuning=Finetuning(
            finetune_steps=100_000 if task.name == "vqa" else 50_000,
            finetune_batch=64 if task.name in ("vqa", "nlvr2") else 128,
            encoder_lr=encoder_lr[task.name],
            pooler_lr=pooler_lr[task.name],
            dropout=0.0 if task.captions else 0.5,
            rand_augment=task.name in ("vqa", "snli_ve"),
        ),
        training=Training(
            steps=125_000 if task.name == "vqa" else 100_000,
            batch_size={"vqa": 128, "snli_ve": 384, "nlvr2": 256, "coco": 256}[task.name],
        ),
    )


def laptop(task: Task) -> Config:
    """A person with two cores and no GPU: every idea of the paper in minutes."""
    return Config(
        task=task.name,
        preset="laptop",
        data=Data(image_size=48, text_tokens=18, vocabulary=2_000, answer_count=1, scenes=6_000),
        model=Model(patch_size=16, decoder="open_clip", image_queries=0, head_width=16),
        optim=Optim(optimizer="adamw", weight_decay=0.05),
        pretraining=Pretraining(
            teacher_layers="4/2/2",
            teacher_width=64,
            base_layers="4/2/2",
            student_width=48,
            pretrain_steps=600,
            base_steps=400,
            pretrain_batch=128,
            pretrain_lr=0.002,
            finetune_warmup_steps=50,
        ),
        finetuning=Finetuning(
            finetune_steps={"vqa": 1_000, "snli_ve": 400, "nlvr2": 1_000, "coco": 200}[task.name],
            finetune_batch=128,
            encoder_lr=0.001,
            pooler_lr=0.002,
            dropout=0.0 if task.captions else 0.1,
            rand_augment=False,
        ),
        training=Training(student_layers="2/1/1", steps=400, batch_size=64 // task.pictures, lr=0.002, warmup_steps=20),
        distillation=Distillation(round_steps=4, initial_plays=2, probe_size=128 // task.pictures),
        evaluation=Evaluation(evaluations=10, eval_examples=256 if task.captions else 512, eval_batch=256),
    )


def study(task: Task) -> Config:
    """A longer evening on two cores: a world of several steps, and students trained until nothing changes any more.

    Students have a quarter of the teacher's picture layers, half of its other layers and of its width, and see part of
    its training texts, thirty times and more; T0, γ and α are the paper's (Table 3). Teachers of entailment and pairs
    are pre-trained ten times as long: two or three labels do not show where to look, captions do (`notebooks/LOG.md`).
    """
    few_labels = task.name in ("snli_ve", "nlvr2")
    return override(
        laptop(task),
        {
            "preset": "study",
            "world": "study",
            "depth": 0.5 if few_labels else 1.0,
            "position_scale": 4.0,
            "teacher_layers": "4/2/2",
            "teacher_width": 64,
            "base_layers": "4/2/2",
            "student_layers": "1/1/1",
            "student_width": 32,
            "scenes": 6_000,
            "test_scenes": 1_700,
            "pretrain_steps": 6_000 if few_labels else 600,
            "base_steps": 200,
            "pretrain_batch": 64,
            "finetune_steps": {"coco": 1_000, "nlvr2": 3_000}.get(task.name, 5_000),
            "finetune_batch": 64,
            "encoder_lr": 1.5e-3,
            "student_texts": {"snli_ve": 1_056, "nlvr2": 704}.get(task.name, 4_224),
            "batch_size": 64 // task.pictures,
            "steps": 2_112,  # 32 epochs, of fewer texts more
            "round_steps": 4,
            "initial_plays": 10,
            "warmup_steps": 50,
            "evaluations": 25,
            "eval_examples": 0,
        },
    )


def smoke(task: Task) -> Config:
    """Seconds: for tests and continuous integration. Its numbers mean nothing."""
    return Config(
        task=task.name,
        preset="smoke",
        data=Data(image_size=24, text_tokens=18, vocabulary=2_000, answer_count=1, scenes=256, limit=256),
        model=Model(patch_size=8, decoder="open_clip", image_queries=0, head_width=16),
        optim=Optim(optimizer="adamw"),
        pretraining=Pretraining(
            teacher_layers="2/1/1",
            teacher_width=32,
            base_layers="2/1/1",
            student_width=32,
            pretrain_steps=20,
            base_steps=20,
            pretrain_batch=32,
            pretrain_lr=0.002,
            finetune_warmup_steps=5,
        ),
        finetuning=Finetuning(
            finetune_steps=20,
            finetune_batch=32,
            encoder_lr=0.001,
            pooler_lr=0.002,
            dropout=0.0 if task.captions else 0.1,
            rand_augment=False,
        ),
        training=Training(student_layers="1/1/1", steps=32, batch_size=16, lr=0.002, warmup_steps=4),
        distillation=Distillation(round_steps=2, initial_plays=1, probe_size=32),
        evaluation=Evaluation(evaluations=3, eval_examples=48, eval_batch=64),
    )


PRESETS: Mapping[str, Callable[[Task], Config]] = {"smoke": smoke, "laptop": laptop, "study": study, "paper": paper}


def preset(task: str = "vqa", name: str = "laptop", **changes: Any) -> Config:
    """The configuration of a task at a size: 'smoke' (tests), 'laptop', 'study' (2 cores, no GPU) or 'paper' (a GPU).

    Raises ConfigError for an unknown task, preset or parameter and for values out of range.
    """
    if task not in TASKS:
        raise ConfigError(f"task must be one of {', '.join(TASKS)}, got {task!r}{nearest(str(task), list(TASKS))}")
    if name not in PRESETS:
        raise ConfigError(
            f"preset must be one of {', '.join(PRESETS)}, got {name!r}{nearest(str(name), list(PRESETS))}"
        )
    return override(PRESETS[name](TASKS[task]), changes)
