"""What to run: one frozen, typed, validated configuration, and the presets that fill it.

Every field is an int, float, str or bool, so that the same name and type is a Python argument, a shell option and a
papermill parameter. Whatever is wrong with a value is said before anything loads.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from math import isfinite
from typing import Any, Protocol, get_type_hints

from optima_lab.errors import ConfigError, nearest

Value = int | float | str | bool


@dataclass(frozen=True)
class Task:
    """One of the paper's four tasks: its name, its title in figures, and the name of its score."""

    name: str
    title: str
    metric: str
    pictures: int = 1
    captions: bool = False


TASKS: Mapping[str, Task] = {
    "vqa": Task("vqa", "VQA", "VQA accuracy (%)"),
    "snli_ve": Task("snli_ve", "SNLI-VE", "accuracy (%)"),
    "nlvr2": Task("nlvr2", "NLVR2", "accuracy (%)", pictures=2),
    "coco": Task("coco", "COCO Caption", "CIDEr × 100", captions=True),
}


class Named(Protocol):
    """An experiment by name: what every record, message and figure calls it by."""

    @property
    def task(self) -> str: ...
    @property
    def seed(self) -> int: ...
    @property
    def id(self) -> str: ...


def _at_least(low: float) -> dict[str, Any]:
    return {"check": lambda value: value >= low, "must": f"at least {low:g}"}


def _between(low: float, high: float, *, closed: bool = False) -> dict[str, Any]:
    inside: Callable[[float], bool] = (lambda v: low <= v <= high) if closed else (lambda v: low < v < high)
    return {"check": inside, "must": f"{'from' if closed else 'between'} {low:g} {'to' if closed else 'and'} {high:g}"}


def _one_of(*names: str) -> dict[str, Any]:
    return {"check": lambda value: value in names, "must": f"one of {', '.join(names)}", "names": names}


def _layers(text: str) -> bool:
    parts = text.split("/")
    return len(parts) == 3 and all(part.isdecimal() and int(part) > 0 for part in parts)


_LAYERS = {"check": _layers, "must": "layers of image/text/decoder such as 4/2/2"}
_MAYBE_LAYERS = {"check": lambda text: not text or _layers(text), "must": f"empty or {_LAYERS['must']}"}


def _f(default: Any, rule: dict[str, Any], about: str) -> Any:
    return field(default=default, metadata={**rule, "about": about})


@dataclass(frozen=True)
class Config:
    """All that decides a run's result. Defaults are the paper's (Tables 2 and 3 of arXiv 2310.04550)."""

    task: str = _f("vqa", _one_of(*TASKS), "vqa, snli_ve, nlvr2 or coco")
    preset: str = _f("paper", _one_of("smoke", "laptop", "paper"), "where the other values come from")
    seed: int = _f(0, _at_least(0), "of the student: data order, head, projections, probe, bandit")
    data: str = _f("", {}, "folder in the official layouts; empty: the embedded world")
    strict: bool = _f(True, {}, "refuse bad records (else skip and count them)")
    # models
    image_size: int = _f(576, _at_least(8), "pixels a side")
    patch_size: int = _f(18, _at_least(2), "pixels a side")
    text_tokens: int = _f(64, _at_least(8), "longest text, in tokens")
    vocabulary: int = _f(64_000, _at_least(16), "pieces of the tokenizer")
    decoder: str = _f("paper", _one_of("paper", "open_clip"), "self-cross-MLP, or open_clip's with a second MLP")
    image_queries: int = _f(256, _at_least(0), "of the image pooler before the decoder; 0: none")
    head_width: int = _f(64, _at_least(4), "width of an attention head")
    teacher_layers: str = _f("24/12/12", _LAYERS, "image/text/decoder")
    teacher_width: int = _f(1024, _at_least(8), "hidden size")
    base_layers: str = _f("12/12/12", _LAYERS, "of the model whose layers the student starts from")
    student_layers: str = _f("6/3/3", _LAYERS, "image/text/decoder")
    student_width: int = _f(768, _at_least(8), "hidden size of base and student")
    assistant_layers: str = _f(
        "", _MAYBE_LAYERS, "of a student distilled first, then teaching the student; empty: one stage"
    )
    assistant: str = _f("optima", {}, "the strategy by which the assistant is distilled")
    teacher_weights: str = _f("", {}, "released CoCa: a file, a folder or open_clip:MODEL/TAG; empty: pre-train")
    base_weights: str = _f("", {}, "the same for the model whose layers the student starts from")
    resample: bool = _f(False, {}, "bring the teacher's picture grid to the student's where they differ")
    # the embedded world
    world_seed: int = _f(0, _at_least(0), "of the scenes")
    scenes: int = _f(12_000, _at_least(64), "training scenes a task")
    limit: int = _f(0, _at_least(0), "examples read of each split; 0: all")
    answer_count: int = _f(9, _at_least(1), "VQA's classes are the answers given at least so often in training")
    # teachers
    pretrain_steps: int = _f(100_000, _at_least(1), "contrastive + captioning, teacher")
    base_steps: int = _f(100_000, _at_least(1), "the same, base")
    pretrain_batch: int = _f(128, _at_least(2), "pairs a step")
    pretrain_lr: float = _f(1e-3, _between(0, 1), "peak learning rate")
    finetune_steps: int = _f(100_000, _at_least(1), "of the teacher on the task")
    finetune_batch: int = _f(64, _at_least(1), "examples a step")
    encoder_lr: float = _f(2e-5, _between(0, 1), "fine-tuning, all but the head")
    pooler_lr: float = _f(5e-4, _between(0, 1), "fine-tuning, pooler and classifier")
    finetune_warmup_steps: int = _f(1000, _at_least(0), "linear warm-up of teachers")
    # distillation: Algorithm 1
    steps: int = _f(100_000, _at_least(1), "T', optimizer updates in all")
    round_steps: int = _f(100, _at_least(1), "P, updates in a round")
    initial_plays: int = _f(10, _at_least(0), "T0, first plays of every arm")
    decay: float = _f(0.98, _between(0, 1), "γ of the moving averages (Eq. 7)")
    alpha_kl: float = _f(0.0, _at_least(0), "α1 of Eq. 5")
    alpha_hidden: float = _f(1.0, _at_least(0), "α2 of Eq. 5")
    alpha_attention: float = _f(1e-2, _at_least(0), "α3 of Eq. 5")
    attention: str = _f("scores", _one_of("scores", "weights"), "matched before (scores) or after (weights) softmax")
    decoder_attention: str = _f("self", _one_of("self", "cross"), "which attention of the decoder is matched")
    probe_size: int = _f(256, _at_least(1), "examples on which rewards are measured")
    batch_size: int = _f(128, _at_least(1), "examples a step")
    accumulate: int = _f(1, _at_least(1), "pieces a batch is computed in, to save memory; same result")
    optimizer: str = _f("adafactor", _one_of("adafactor", "adamw"), "with decoupled weight decay")
    lr: float = _f(1e-3, _between(0, 1), "peak learning rate, decays linearly to zero")
    warmup_steps: int = _f(1000, _at_least(0), "linear warm-up")
    weight_decay: float = _f(0.1, _at_least(0), "decoupled")
    clip: float = _f(1.0, _at_least(0), "of the gradient's norm; 0: none")
    dropout: float = _f(0.5, _between(0, 0.95, closed=True), "of the task layer")
    rand_augment: bool = _f(True, {}, "RandAugment(1, 10) on training pictures")
    precision: str = _f("fp32", _one_of("fp32", "bf16"), "of a step's matrix products; losses and rewards are fp32")
    compiled: bool = _f(False, {}, "compile the step's forwards: seconds for every arm once, then faster steps")
    grad_checkpointing: bool = _f(False, {}, "compute activations again on the way back, to save memory; same result")
    plain: bool = _f(False, {}, "for debugging: full padding, no key/value cache, nothing fused; same result")
    # evaluation
    evaluations: int = _f(20, _at_least(1), "evaluations during a run, the last at its end")
    eval_examples: int = _f(0, _at_least(0), "examples of an evaluation; 0: all (the last is always on all)")
    eval_batch: int = _f(128, _at_least(1), "examples a forward")

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for f in fields(self):
            _check_field(f.name, hints[f.name], f.metadata, getattr(self, f.name))
        _check_together(self)

    @property
    def rounds(self) -> int:
        """T = T' / P."""
        return self.steps // self.round_steps


def _check_field(name: str, kind: type, rule: Mapping[str, Any], value: Any) -> None:
    if type(value) is not kind:
        raise ConfigError(f"{name} must be {_kind(kind)}, got {value!r} ({type(value).__name__})")
    if kind is float and not isfinite(value):
        raise ConfigError(f"{name} must be finite, got {value!r}")
    if "check" in rule and not rule["check"](value):
        hint = nearest(value, rule["names"]) if "names" in rule else ""
        raise ConfigError(f"{name} must be {rule['must']}, got {value!r}{hint}")


def _check_together(config: Config) -> None:
    def must(holds: bool, text: str) -> None:
        if not holds:
            raise ConfigError(text)

    c = config
    must(
        c.image_size % c.patch_size == 0,
        f"image_size must be a multiple of patch_size={c.patch_size}, got {c.image_size}",
    )
    must(c.steps % c.round_steps == 0, f"steps must be a multiple of round_steps={c.round_steps}, got {c.steps}")
    must(c.accumulate <= c.batch_size, f"accumulate must not exceed batch_size={c.batch_size}, got {c.accumulate}")
    for name in ("teacher_width", "student_width"):
        width = getattr(c, name)
        must(width % c.head_width == 0, f"{name} must be a multiple of head_width={c.head_width}, got {width}")
    student = "assistant_layers" if c.assistant_layers else "student_layers"
    released = {"base_layers": c.base_weights, "teacher_layers": c.teacher_weights}  # those have their own layers
    limits = [(student, name) for name, weights in released.items() if not weights]
    for small, large in (*limits, ("student_layers", student)):
        few, many = getattr(c, small), getattr(c, large)
        fits = all(a <= b for a, b in zip(layers(few), layers(many), strict=True))
        must(fits, f"{small} must not exceed {large}={many}, got {few}")


def _kind(kind: type) -> str:
    return {int: "a whole number", float: "a number", str: "text", bool: "true or false"}[kind]


def layers(text: str) -> tuple[int, int, int]:
    """(image, text, decoder) layers of '4/2/2'."""
    image, words, decoder = (int(part) for part in text.split("/"))
    return image, words, decoder


def cast(kind: type, text: Any, name: str) -> Value:
    """A value typed in a shell or notebook as the type its parameter has; nothing is evaluated.

    Raises ConfigError where the text is not of that type.
    """
    if isinstance(text, bool) or not isinstance(text, str):
        fits = type(text) is kind or (kind is float and type(text) is int)
        with suppress(OverflowError):  # a whole number may be too large for a float
            if fits:
                return kind(text)
    else:
        words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
        try:
            return words[text.strip().lower()] if kind is bool else kind(text)
        except (KeyError, ValueError):
            pass
    raise ConfigError(f"{name} must be {_kind(kind)}, got {text!r}")


def parameters() -> dict[str, type]:
    """Every parameter's name and type, in the order of the class."""
    return dict(get_type_hints(Config))


def about() -> dict[str, str]:
    """One line for every parameter: what it is."""
    return {f.name: f.metadata["about"] for f in fields(Config)}


def override(config: Config, changes: Mapping[str, Any]) -> Config:
    """`config` with some fields changed; text is cast to the field's type, names are checked."""
    kinds = parameters()
    for name in changes:
        if name not in kinds:
            raise ConfigError(f"unknown parameter {name!r}{nearest(name, list(kinds))}")
    return replace(config, **{name: cast(kinds[name], value, name) for name, value in changes.items()})


def preset(task: str = "vqa", name: str = "laptop", **changes: Any) -> Config:
    """The configuration of a task at a size: 'smoke' (tests), 'laptop' (2 cores, no GPU) or 'paper' (a GPU).

    Raises ConfigError for an unknown task, preset or parameter and for values out of range.
    """
    from optima_lab.presets import PRESETS

    if task not in TASKS:
        raise ConfigError(f"task must be one of {', '.join(TASKS)}, got {task!r}{nearest(str(task), list(TASKS))}")
    if name not in PRESETS:
        raise ConfigError(
            f"preset must be one of {', '.join(PRESETS)}, got {name!r}{nearest(str(name), list(PRESETS))}"
        )
    return override(PRESETS[name](TASKS[task]), changes)
