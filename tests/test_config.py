"""The configuration: every field's rule told by name, presets for all tasks, text cast, misspelt names answered."""

from dataclasses import FrozenInstanceError, fields
from typing import Any

import pytest

from optima_lab.config import TASKS, Config, Optim
from optima_lab.config.fields import cast, flat_name, layers
from optima_lab.config.parameters import GROUPS, about, flat, override, parameters
from optima_lab.errors import ConfigError, OptimaError
from optima_lab.presets import PRESETS, preset

# A value just outside of each field's range, and the rule that the message must state.
OUTSIDE: dict[str, tuple[Any, str]] = {
    "task": ("vqa2", "one of vqa, snli_ve, nlvr2, coco"),
    "preset": ("laptob", "one of smoke, laptop, study, paper"),
    "seed": (-1, "at least 0"),
    "image_size": (7, "at least 8"),
    "patch_size": (1, "at least 2"),
    "text_tokens": (7, "at least 8"),
    "vocabulary": (15, "at least 16"),
    "student_texts": (-1, "at least 0"),
    "full_rounds": (-1, "at least 0"),
    "unchosen_weight": (1.1, "from 0 to 1"),
    "module_cost": (-0.1, "at least 0"),
    "probe_split": ("test", "one of train, dev"),
    "noise_module": ("pictures", "one of none, image, text, decoder"),
    "decoder": ("papers", "one of paper, open_clip"),
    "image_queries": (-1, "at least 0"),
    "head_width": (3, "at least 4"),
    "position_scale": (0.0, "between 0 and 100"),
    "teacher_layers": ("4/2", "layers of image/text/decoder such as 4/2/2"),
    "teacher_width": (7, "at least 8"),
    "base_layers": ("4/2/0", "layers of image/text/decoder such as 4/2/2"),
    "student_layers": ("a/b/c", "layers of image/text/decoder such as 4/2/2"),
    "student_width": (7, "at least 8"),
    "world_seed": (-1, "at least 0"),
    "accumulate": (0, "at least 1"),
    "workers": (-1, "at least 0"),
    "device": ("gpu", "one of auto, cpu, cuda, mps"),
    "assistant_layers": ("2/1", "empty or layers of image/text/decoder such as 4/2/2"),
    "scenes": (63, "at least 64"),
    "test_scenes": (-1, "at least 0"),
    "world": ("glyph", "one of glyphs, study"),
    "depth": (0.0, "between 0 and 100"),
    "limit": (-1, "at least 0"),
    "answer_count": (0, "at least 1"),
    "pretrain_steps": (0, "at least 1"),
    "base_steps": (0, "at least 1"),
    "pretrain_batch": (1, "at least 2"),
    "pretrain_lr": (0.0, "between 0 and 1"),
    "finetune_steps": (0, "at least 1"),
    "finetune_batch": (0, "at least 1"),
    "encoder_lr": (1.0, "between 0 and 1"),
    "pooler_lr": (-0.1, "between 0 and 1"),
    "finetune_warmup_steps": (-1, "at least 0"),
    "steps": (0, "at least 1"),
    "round_steps": (0, "at least 1"),
    "initial_plays": (-1, "at least 0"),
    "decay": (1.0, "between 0 and 1"),
    "alpha_kl": (-0.1, "at least 0"),
    "alpha_hidden": (-0.1, "at least 0"),
    "alpha_attention": (-0.1, "at least 0"),
    "attention": ("score", "one of scores, weights"),
    "decoder_attention": ("both", "one of self, cross"),
    "precision": ("fp8", "one of fp32, bf16"),
    "probe_size": (0, "at least 1"),
    "batch_size": (0, "at least 1"),
    "task_weight": (-0.5, "at least 0"),
    "kl_temperature": (0.0, "from 0.01 to 100"),
    "optimizer": ("adam", "one of adafactor, adamw"),
    "lr": (0.0, "between 0 and 1"),
    "warmup_steps": (-1, "at least 0"),
    "weight_decay": (-0.1, "at least 0"),
    "clip": (-0.1, "at least 0"),
    "dropout": (0.96, "from 0 to 0.95"),
    "evaluations": (0, "at least 1"),
    "eval_examples": (-1, "at least 0"),
    "eval_batch": (0, "at least 1"),
}
WRONG_TYPE: dict[type, Any] = {int: "two", float: "much", bool: "maybe"}


def built(name: str, value: Any) -> None:
    """The group that has a parameter, or the configuration itself, made with this value."""
    (group,) = [group for group in (Config, *GROUPS) for f in fields(group) if flat_name(f) == name]
    group(**{next(f.name for f in fields(group) if flat_name(f) == name): value})


def test_every_field_with_a_rule_is_tested_here() -> None:
    ruled = {flat_name(f) for group in (Config, *GROUPS) for f in fields(group) if "check" in f.metadata}
    assert ruled == set(OUTSIDE)


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_value_out_of_range_is_refused_with_its_field_rule_and_value(name: str) -> None:
    value, must = OUTSIDE[name]
    with pytest.raises(ConfigError) as refused:
        built(name, value)
    assert str(refused.value).startswith(f"{name} must be {must}, got {value!r}")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", [name for name, kind in parameters().items() if kind is not str])
def test_text_of_the_wrong_type_is_refused_with_its_field(name: str) -> None:
    value = WRONG_TYPE[parameters()[name]]
    with pytest.raises(ConfigError, match=f"^{name} must be .*, got {value!r}$"):
        preset("vqa", "smoke", **{name: value})


@pytest.mark.parametrize(("name", "value"), [("seed", True), ("lr", 1), ("strict", 1), ("task", 3), ("steps", 100.0)])
def test_construction_converts_nothing(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"^{name} must be"):
        built(name, value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_numbers_are_finite(value: float) -> None:
    with pytest.raises(ConfigError, match=r"^weight_decay must be finite"):
        Optim(weight_decay=value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_size": 25}, "image_size must be a multiple of patch_size=8, got 25; 24 or 32 would fit"),
        ({"steps": 33}, "steps must be a multiple of round_steps=2, got 33; 32 or 34 would fit, or round_steps=1 or 3"),
        ({"teacher_width": 40}, "teacher_width must be a multiple of head_width=16, got 40; 32 or 48 would fit"),
        ({"student_width": 40}, "student_width must be a multiple of head_width=16, got 40; 32 or 48 would fit"),
        ({"student_layers": "1/1/2"}, "student_layers must not exceed base_layers=2/1/1, got 1/1/2"),
        ({"assistant_layers": "3/1/1"}, "assistant_layers must not exceed base_layers=2/1/1, got 3/1/1"),
        (
            {"student_layers": "2/1/1", "assistant_layers": "1/1/1"},
            "student_layers must not exceed assistant_layers=1/1/1, got 2/1/1",
        ),
    ],
)
def test_fields_must_go_together(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        preset("vqa", "smoke", **changes)
    assert str(refused.value) == message


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_complete_for_all_tasks(task: str, name: str) -> None:
    config = preset(task, name)
    assert (config.task, config.preset, config.seed, config.data.folder) == (task, name, 0, "")
    assert config.rounds * config.distillation.round_steps == config.training.steps
    assert 7 * config.distillation.initial_plays < config.rounds, (
        "the bandit must be left rounds of its own after T0 plays of each arm"
    )


def test_the_papers_preset_has_the_papers_numbers() -> None:
    """Tables 1 to 3 and Section 5.1 of arXiv 2310.04550, typed here by hand."""
    vqa, snli_ve, nlvr2, coco = (preset(task, "paper") for task in ("vqa", "snli_ve", "nlvr2", "coco"))
    assert (vqa.pretraining.teacher_layers, vqa.pretraining.base_layers, vqa.training.student_layers) == (
        "24/12/12",
        "12/12/12",
        "6/3/3",
    )
    assert (vqa.data.image_size // vqa.model.patch_size) ** 2 == 1024
    assert (vqa.distillation.decay, vqa.distillation.round_steps, vqa.distillation.initial_plays) == (0.98, 100, 10)
    assert (vqa.distillation.alpha_kl, vqa.distillation.alpha_hidden, vqa.distillation.alpha_attention) == (
        0.0,
        1.0,
        0.01,
    )
    all_four = (vqa, snli_ve, nlvr2, coco)
    for name, values in {  # of Table 3, and at the end of Table 2: by task
        "batch_size": [128, 384, 256, 256],
        "steps": [125_000, 100_000, 100_000, 100_000],
        "dropout": [0.5, 0.5, 0.5, 0.0],
        "rand_augment": [True, True, False, False],
        "finetune_steps": [100_000, 50_000, 50_000, 50_000],
        "finetune_batch": [64, 128, 64, 128],
        "encoder_lr": [2e-5, 5e-5, 2e-5, 1e-5],
    }.items():
        assert [flat(config)[name] for config in all_four] == values, name
    assert [config.finetuning.pooler_lr for config in all_four[:3]] == [
        5e-4,
        1e-3,
        5e-3,
    ]  # captions have no pooler of a head
    for name, value in {  # the same for all tasks
        "optimizer": "adafactor",
        "lr": 1e-3,
        "warmup_steps": 1000,
        "finetune_warmup_steps": 1000,
        "weight_decay": 0.1,
        "clip": 1.0,
        "text_tokens": 64,
        "vocabulary": 64_000,
        "teacher_width": 1024,
        "student_width": 768,
        "answer_count": 9,
    }.items():
        assert {flat(config)[name] for config in all_four} == {value}, name


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (int, "7", 7),
        (int, "007", 7),
        (int, 7, 7),
        (float, "1e-3", 1e-3),
        (float, 1, 1.0),
        (str, "007", "007"),
        (str, "", ""),
        (bool, "yes", True),
        (bool, " False ", False),
        (bool, "0", False),
        (bool, True, True),
    ],
)
def test_what_is_typed_gets_its_parameters_type(kind: type, text: object, value: object) -> None:
    result = cast(kind, text, "name")
    assert result == value
    assert type(result) is kind


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (int, "two"),
        (int, "1.0"),
        (int, 1.0),
        (int, True),
        (int, ""),
        (float, "x"),
        (float, True),
        (bool, "2"),
        (bool, 1),
    ],
)
def test_nothing_is_guessed(kind: type, text: object) -> None:
    with pytest.raises(ConfigError, match=r"^name must be"):
        cast(kind, text, "name")


def test_overrides_come_as_text_and_leave_the_original_alone() -> None:
    before = preset("coco", "smoke")
    after = override(before, {"lr": "0.01", "steps": "64", "strict": "no", "data": "007"})
    assert (after.training.lr, after.training.steps) == (0.01, 64)
    assert (after.data.strict, after.data.folder) == (False, "007")
    assert before == preset("coco", "smoke")
    back = {"lr": before.training.lr, "steps": before.training.steps, "strict": True, "data": ""}
    assert override(after, back) == before


@pytest.mark.parametrize(
    ("call", "nearest"),
    [
        (lambda: preset("vqa", "smoke", decya=0.9), "'decay'"),
        (lambda: preset("vqa", "smoke", batchsize=1), "'batch_size'"),
        (lambda: preset("snli", "smoke"), "'snli_ve'"),
        (lambda: preset("vqa", "labtop"), "'laptop'"),
        (lambda: Optim(optimizer="adamww"), "'adamw'"),
    ],
)
def test_a_misspelt_name_is_answered_with_the_nearest(call: Any, nearest: str) -> None:
    with pytest.raises(ConfigError, match=f"did you mean {nearest}"):
        call()


def test_a_configuration_is_frozen_and_plain() -> None:
    config = Config()
    with pytest.raises(FrozenInstanceError):
        config.training.lr = 0.1  # pyright: ignore[reportAttributeAccessIssue]
    assert set(parameters().values()) == {int, float, str, bool}
    assert list(about()) == list(parameters()) == list(flat(config))
    assert all(about().values())
    assert hash(config) == hash(Config())


def test_errors_are_value_errors_too() -> None:
    """So that a notebook's reader who catches ValueError catches it, and the command line one base."""
    assert issubclass(ConfigError, ValueError)
    assert issubclass(ConfigError, OptimaError)


def test_layers_are_read() -> None:
    assert layers("24/12/6") == (24, 12, 6)
