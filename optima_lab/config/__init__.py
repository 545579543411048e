"""What to run: one frozen, typed, validated configuration, in groups.

A stage of an experiment is given the groups it needs, and what it makes is named by the hash of those groups.

Every field is an int, float, str or bool, so that the same name and type is a Python argument, a shell option and a
papermill parameter. Whatever is wrong with a value is said before anything loads.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from optima_lab.config.fields import (
    LAYERS,
    MAYBE_LAYERS,
    SAME,
    Checked,
    at_least,
    between,
    layers,
    one_of,
    parameter,
)
from optima_lab.errors import ConfigError, require


@dataclass(frozen=True)
class Task:
    """One of the paper's four tasks: its name, its title in figures, and the name of its score."""

    name: str
    title: str
    metric: str
    pictures: int = 1
    captions: bool = False


TASKS: Mapping[str, Task] = {
    "vqa": Task("vqa", "VQA", "accuracy (%)"),
    "snli_ve": Task("snli_ve", "SNLI-VE", "accuracy (%)"),
    "nlvr2": Task("nlvr2", "NLVR2", "accuracy (%)", pictures=2),
    "coco": Task("coco", "COCO Caption", "CIDEr × 100", captions=True),
}


@dataclass(frozen=True)
class Data(Checked):
    """What is read: which pictures and texts, and how they become numbers."""

    folder: str = parameter("", {"flat": "data", **SAME}, "folder in the official layouts; empty: the embedded world")
    links: bool = parameter(False, {}, "accept links to single files outside of the data folder")
    strict: bool = parameter(True, {}, "refuse bad records (else skip and count them)")
    world_seed: int = parameter(0, at_least(0), "of the scenes")
    scenes: int = parameter(12_000, at_least(64), "training scenes a task")
    test_scenes: int = parameter(0, at_least(0), "test scenes a task; 0: a sixth of the training scenes")
    world: str = parameter(
        "glyphs", one_of("glyphs", "study"), "what is said about scenes: one step, or several (study)"
    )
    depth: float = parameter(1.0, between(0, 100), "study: weight of sentences of several steps")
    limit: int = parameter(0, at_least(0), "examples read of each split; 0: all")
    answer_count: int = parameter(9, at_least(1), "VQA's classes are the answers given at least so often in training")
    image_size: int = parameter(576, at_least(8), "pixels a side")
    text_tokens: int = parameter(64, at_least(8), "longest text, in tokens")
    vocabulary: int = parameter(64_000, at_least(16), "pieces of the tokenizer")
    workers: int = parameter(0, at_least(0) | SAME, "processes that prepare batches ahead of a step; same batches")


@dataclass(frozen=True)
class Model(Checked):
    """What all models of an experiment share."""

    patch_size: int = parameter(18, at_least(2), "pixels a side")
    decoder: str = parameter("paper", one_of("paper", "open_clip"), "self-cross-MLP, or open_clip's with a second MLP")
    image_queries: int = parameter(256, at_least(0), "of the image pooler before the decoder; 0: none")
    position_scale: float = parameter(1.0, between(0, 100), "spread of the first picture positions, times open_clip's")
    head_width: int = parameter(64, at_least(4), "width of an attention head")
    grad_checkpointing: bool = parameter(
        False, SAME, "compute activations again on the way back, to save memory; same result"
    )
    device: str = parameter(
        "auto", one_of("auto", "cpu", "cuda", "mps") | SAME, "auto: a CUDA GPU where there is one; mps: Apple's GPU"
    )


@dataclass(frozen=True)
class Optim(Checked):
    """How any model is optimised."""

    optimizer: str = parameter("adafactor", one_of("adafactor", "adamw"), "with decoupled weight decay")
    weight_decay: float = parameter(0.1, at_least(0), "decoupled")
    clip: float = parameter(1.0, at_least(0), "of the gradient's norm; 0: none")


@dataclass(frozen=True)
class Pretraining(Checked):
    """The models before their task: the teacher, and the base whose layers students start from."""

    teacher_layers: str = parameter("24/12/12", LAYERS, "image/text/decoder")
    teacher_width: int = parameter(1024, at_least(8), "hidden size")
    teacher_weights: str = parameter("", {}, "released CoCa: a file, a folder or open_clip:MODEL/TAG; empty: pre-train")
    base_layers: str = parameter("12/12/12", LAYERS, "of the model whose layers the student starts from")
    student_width: int = parameter(768, at_least(8), "hidden size of base and student")
    base_weights: str = parameter("", {}, "the same for the model whose layers the student starts from")
    pretrain_steps: int = parameter(100_000, at_least(1), "contrastive + captioning, teacher")
    base_steps: int = parameter(100_000, at_least(1), "the same, base")
    pretrain_batch: int = parameter(128, at_least(2), "pairs a step")
    pretrain_lr: float = parameter(1e-3, between(0, 1), "peak learning rate")
    finetune_warmup_steps: int = parameter(1000, at_least(0), "linear warm-up of teachers")


@dataclass(frozen=True)
class Finetuning(Checked):
    """The teacher on its task, and what regularises a task wherever it is learnt."""

    finetune_steps: int = parameter(100_000, at_least(1), "of the teacher on the task")
    finetune_batch: int = parameter(64, at_least(1), "examples a step")
    encoder_lr: float = parameter(2e-5, between(0, 1), "fine-tuning, all but the head")
    pooler_lr: float = parameter(5e-4, between(0, 1), "fine-tuning, pooler and classifier")
    dropout: float = parameter(0.5, between(0, 0.95, closed=True), "of the task layer")
    rand_augment: bool = parameter(True, {}, "RandAugment(1, 10) on training pictures")


@dataclass(frozen=True)
class Training(Checked):
    """A student and how it is trained, whatever it is told beside its task."""

    student_layers: str = parameter("6/3/3", LAYERS, "image/text/decoder")
    steps: int = parameter(100_000, at_least(1), "T', optimizer updates in all")
    batch_size: int = parameter(128, at_least(1), "examples a step")
    student_texts: int = parameter(
        0, at_least(0), "training texts that students see, the first; 0: all, as their teacher"
    )
    lr: float = parameter(1e-3, between(0, 1), "peak learning rate, decays linearly to zero")
    warmup_steps: int = parameter(1000, at_least(0), "linear warm-up")


@dataclass(frozen=True)
class Distillation(Checked):
    """Algorithm 1: what is matched, when, and how it is rewarded."""

    round_steps: int = parameter(100, at_least(1), "P, updates in a round")
    initial_plays: int = parameter(10, at_least(0) | SAME, "T0, first plays of every arm")
    decay: float = parameter(0.98, between(0, 1) | SAME, "γ of the moving averages (Eq. 7)")
    alpha_kl: float = parameter(0.0, at_least(0), "α1 of Eq. 5")
    alpha_hidden: float = parameter(1.0, at_least(0), "α2 of Eq. 5")
    alpha_attention: float = parameter(1e-2, at_least(0), "α3 of Eq. 5")
    task_weight: float = parameter(1.0, at_least(0), "of the task's own loss in Eq. 5; the paper's is 1")
    kl_temperature: float = parameter(1.0, between(0.01, 100, closed=True), "T of training's KL, which is scaled by T²")
    attention: str = parameter(
        "scores", one_of("scores", "weights"), "matched before (scores) or after (weights) softmax"
    )
    decoder_attention: str = parameter("self", one_of("self", "cross"), "which attention of the decoder is matched")
    noise_module: str = parameter(
        "none",
        one_of("none", "image", "text", "decoder"),
        "a planted fault: its teacher signal is another example's",
    )
    full_rounds: int = parameter(0, at_least(0), "rounds of all modules before a bandit begins to choose")
    unchosen_weight: float = parameter(
        0.0, between(0, 1, closed=True), "weight of modules outside the arm against 1 inside; 0: they are not matched"
    )
    module_cost: float = parameter(0.0, at_least(0), "of a module beyond the first: rewards are divided by 1 + its sum")
    probe_size: int = parameter(256, at_least(1), "examples on which rewards are measured")
    probe_split: str = parameter("train", one_of("train", "dev"), "where the probe's examples are from")
    resample: bool = parameter(False, {}, "bring the teacher's picture grid to the student's where they differ")
    assistant_layers: str = parameter(
        "", MAYBE_LAYERS, "of a student distilled first, then teaching the student; empty: one stage"
    )
    assistant: str = parameter("optima", {}, "the strategy by which the assistant is distilled")
    accumulate: int = parameter(1, at_least(1) | SAME, "pieces a batch is computed in, to save memory; same result")
    precision: str = parameter(
        "fp32", one_of("fp32", "bf16"), "of a step's matrix products; losses and rewards are fp32"
    )
    compiled: bool = parameter(False, {}, "compile the step's forwards: seconds for every arm once, then faster steps")
    stacked: bool = parameter(False, {}, "students in one forward, for small models on a GPU; same result but rounding")


@dataclass(frozen=True)
class Evaluation(Checked):
    """When students are judged during a run."""

    evaluations: int = parameter(20, at_least(1), "evaluations during a run, the last at its end")
    eval_examples: int = parameter(0, at_least(0), "examples of an evaluation; 0: all (the last is always on all)")
    eval_batch: int = parameter(128, at_least(1) | SAME, "examples a forward")


@dataclass(frozen=True)
class PretrainingStage(Checked):
    """All that pre-training is given. What a stage makes is named by the hash of it: nothing else can
    change it."""

    data: Data = Data()
    model: Model = Model()
    optim: Optim = Optim()
    pretraining: Pretraining = Pretraining()


@dataclass(frozen=True)
class FinetuningStage(PretrainingStage):
    """All that a task's teacher is given."""

    task: str = parameter("vqa", one_of(*TASKS), "vqa, snli_ve, nlvr2 or coco")
    finetuning: Finetuning = Finetuning()


@dataclass(frozen=True)
class TrainingStage(FinetuningStage):
    """All that a student is given who is taught by nobody."""

    training: Training = Training()


@dataclass(frozen=True)
class Config(TrainingStage):
    """All that decides a run's result, in groups. Defaults are the paper's (Tables 2 and 3 of arXiv 2310.04550).

    At a shell, in notebooks and in records the fields of all groups have flat names (`optima_lab.config.parameters`).
    """

    preset: str = parameter(
        "paper", one_of("smoke", "laptop", "study", "paper") | SAME, "where the other values come from"
    )
    seed: int = parameter(0, at_least(0), "of the student: data order, head, projections, probe, bandit")
    distillation: Distillation = Distillation()
    evaluation: Evaluation = Evaluation()

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_together(self)

    def __repr__(self) -> str:
        size = f"student {self.training.student_layers}, {self.training.steps:,} steps in {self.rounds:,} rounds"
        return f"Config({self.task}, {self.preset}, seed {self.seed}: {size}, γ = {self.distillation.decay:g})"

    @property
    def rounds(self) -> int:
        """T = T' / P."""
        return self.training.steps // self.distillation.round_steps


def _multiple(name: str, value: int, of: str, unit: int) -> str:
    """What to say of a value that is no multiple: which are."""
    below = value // unit * unit
    fits = f"{below} or {below + unit}" if below else str(unit)
    return f"{name} must be a multiple of {of}={unit}, got {value}; {fits} would fit"


def _dividing(steps: int, p: int) -> str:
    """What to say of a P that does not divide the steps: which near it do."""
    near = range(max(2, p - 1_000), min(steps, p + 1_000) + 1)  # all would take for ever to try
    fitting = sorted([1, *(each for each in near if steps % each == 0)], key=lambda each: abs(each - p))
    return f", or round_steps={' or '.join(map(str, sorted(fitting[:2])))}"


def _check_together(config: Config) -> None:
    model, before, training, distillation = config.model, config.pretraining, config.training, config.distillation
    pixels, patch, steps, batch = config.data.image_size, model.patch_size, training.steps, training.batch_size
    p, pieces = distillation.round_steps, distillation.accumulate
    require(pixels % patch == 0, _multiple("image_size", pixels, "patch_size", patch))
    if steps % p:  # not by `must`, which would look for values that fit every time
        raise ConfigError(_multiple("steps", steps, "round_steps", p) + _dividing(steps, p))
    noise = distillation.noise_module
    require(noise == "none" or pieces == 1, f"accumulate must be 1 with noise_module={noise!r}, got {pieces}")
    for name, on in (("compiled", distillation.compiled), ("grad_checkpointing", model.grad_checkpointing)):
        require(not (on and distillation.stacked), f"stacked must be false where {name} is true, got both true")
    require(pieces <= batch, f"accumulate must not exceed batch_size={batch}, got {pieces}")
    for name, width in (("teacher_width", before.teacher_width), ("student_width", before.student_width)):
        require(width % model.head_width == 0, _multiple(name, width, "head_width", model.head_width))
    assistant = ("assistant_layers", distillation.assistant_layers)
    student = ("student_layers", training.student_layers)
    first = assistant if distillation.assistant_layers else student  # the first to be distilled
    limits = [(student, first)]
    # released weights have their own layers
    limits += [(first, ("base_layers", before.base_layers))] * (not before.base_weights)
    limits += [(first, ("teacher_layers", before.teacher_layers))] * (not before.teacher_weights)
    for (small, few), (large, many) in limits:
        fits = all(a <= b for a, b in zip(layers(few), layers(many), strict=True))
        require(fits, f"{small} must not exceed {large}={many}, got {few}")
