"""Ids: whatever a stage is given is in the name of what it makes, and nothing else is."""

from dataclasses import fields

import pytest

from optima_lab.config import Config, FinetuningStage, PretrainingStage, TrainingStage
from optima_lab.config.fields import flat_name
from optima_lab.config.parameters import GROUPS, flat, narrow, override
from optima_lab.experiments.ids import stage_id
from optima_lab.presets import preset

STAGES = (PretrainingStage, FinetuningStage, TrainingStage, Config)
# What is said by something else in an id, or changes no record: the data's content, and what is in a strategy's id.
UNHEARD = {
    "preset",
    "data",
    "decay",
    "initial_plays",
    "eval_batch",
    "accumulate",
    "workers",
    "grad_checkpointing",
    "device",
}
WEIGHTS = {"teacher_weights", "base_weights"}  # named by their content: tests/coca/test_checkpoints.py
OTHER = {
    "task": "coco",
    "preset": "laptop",
    "world": "study",
    "decoder": "paper",
    "optimizer": "adafactor",
    "attention": "weights",
    "decoder_attention": "cross",
    "noise_module": "text",
    "probe_split": "dev",
    "precision": "bf16",
    "teacher_layers": "3/2/2",
    "base_layers": "2/1/2",
    "student_layers": "2/1/1",
    "assistant_layers": "1/1/1",
    "assistant": "random",
    "data": "elsewhere",
    "decay": 0.5,
    "device": "cpu",
    "image_size": 48,
    "patch_size": 12,
    "head_width": 8,
    "teacher_width": 64,
    "student_width": 64,
}
CONFIG = override(preset("vqa", "smoke"), {"teacher_layers": "2/2/2", "base_layers": "2/1/1"})


def changed(name: str) -> Config:
    value = flat(CONFIG)[name]
    other = not value if isinstance(value, bool) else value / 2 if isinstance(value, float) and value else None
    return override(CONFIG, {name: OTHER.get(name, value * 2 or 1 if other is None else other)})


def test_every_parameter_belongs_to_one_group() -> None:
    names = [flat_name(f) for group in GROUPS for f in fields(group)]
    assert sorted([*names, "task", "preset", "seed"]) == sorted(flat(CONFIG))


@pytest.mark.parametrize("name", [name for name in flat(CONFIG) if name not in WEIGHTS])
def test_a_parameter_changes_the_ids_of_exactly_the_stages_that_are_given_it(name: str) -> None:
    other = changed(name)
    assert flat(other)[name] != flat(CONFIG)[name]
    for stage in STAGES:
        before, after = (stage_id(narrow(config, stage), "data") for config in (CONFIG, other))
        groups = {type(getattr(CONFIG, f.name)) for f in fields(stage)}
        given = any(flat_name(f) == name for group in groups & set(GROUPS) for f in fields(group))
        given |= any(f.name == name for f in fields(stage) if "about" in f.metadata)
        assert (before != after) == (given and name not in UNHEARD), stage.__name__


def test_stages_of_the_same_parameters_have_ids_of_their_own_and_the_data_are_in_them() -> None:
    ids = {stage_id(narrow(CONFIG, stage), data) for stage in STAGES for data in ("one", "other")}
    assert len(ids) == 2 * len(STAGES)
