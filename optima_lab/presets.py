"""The three sizes of DESIGN: each a function from a task to a configuration."""

from collections.abc import Callable, Mapping

from optima_lab.config import Config, Task


def paper(task: Task) -> Config:
    """The paper's shapes and hyper-parameters: CoCa-Large → CoCa-Tiny12, Tables 2 and 3."""
    pooler_lr = {"vqa": 5e-4, "snli_ve": 1e-3, "nlvr2": 5e-3, "coco": 1e-5}
    encoder_lr = {"vqa": 2e-5, "snli_ve": 5e-5, "nlvr2": 2e-5, "coco": 1e-5}
    return Config(
        task=task.name,
        preset="paper",
        finetune_steps=100_000 if task.name == "vqa" else 50_000,
        finetune_batch=64 if task.name in ("vqa", "nlvr2") else 128,
        encoder_lr=encoder_lr[task.name],
        pooler_lr=pooler_lr[task.name],
        steps=125_000 if task.name == "vqa" else 100_000,
        batch_size={"vqa": 128, "snli_ve": 384, "nlvr2": 256, "coco": 256}[task.name],
        dropout=0.0 if task.captions else 0.5,
        rand_augment=task.name in ("vqa", "snli_ve"),
    )


def laptop(task: Task) -> Config:
    """A person with two cores and no GPU: every idea of the paper in minutes."""
    return Config(
        task=task.name,
        preset="laptop",
        image_size=48,
        patch_size=16,
        text_tokens=18,
        vocabulary=2000,
        answer_count=1,
        decoder="open_clip",
        image_queries=0,
        head_width=16,
        teacher_layers="4/2/2",
        teacher_width=64,
        base_layers="4/2/2",
        student_layers="2/1/1",
        student_width=48,
        scenes=6_000,
        pretrain_steps=600,
        base_steps=400,
        pretrain_batch=128,
        pretrain_lr=2e-3,
        finetune_steps={"vqa": 1000, "snli_ve": 400, "nlvr2": 1000, "coco": 200}[task.name],
        finetune_batch=128,
        encoder_lr=1e-3,
        pooler_lr=2e-3,
        finetune_warmup_steps=50,
        steps=400,
        round_steps=4,
        initial_plays=2,
        probe_size=128 // task.pictures,
        batch_size=64 // task.pictures,
        optimizer="adamw",
        lr=2e-3,
        warmup_steps=20,
        weight_decay=0.05,
        dropout=0.0 if task.captions else 0.1,
        rand_augment=False,
        evaluations=10,
        eval_examples=256 if task.captions else 512,
        eval_batch=256,
    )


def smoke(task: Task) -> Config:
    """Seconds: for tests and continuous integration. Its numbers mean nothing."""
    return Config(
        task=task.name,
        preset="smoke",
        image_size=24,
        patch_size=8,
        text_tokens=18,
        vocabulary=2000,
        answer_count=1,
        decoder="open_clip",
        image_queries=0,
        head_width=16,
        teacher_layers="2/1/1",
        teacher_width=32,
        base_layers="2/1/1",
        student_layers="1/1/1",
        student_width=32,
        scenes=256,
        limit=256,
        pretrain_steps=20,
        base_steps=20,
        pretrain_batch=32,
        pretrain_lr=2e-3,
        finetune_steps=20,
        finetune_batch=32,
        encoder_lr=1e-3,
        pooler_lr=2e-3,
        finetune_warmup_steps=5,
        steps=32,
        round_steps=2,
        initial_plays=1,
        probe_size=32,
        batch_size=16,
        optimizer="adamw",
        lr=2e-3,
        warmup_steps=4,
        dropout=0.0 if task.captions else 0.1,
        rand_augment=False,
        evaluations=3,
        eval_examples=48,
        eval_batch=64,
    )


PRESETS: Mapping[str, Callable[[Task], Config]] = {"smoke": smoke, "laptop": laptop, "paper": paper}
