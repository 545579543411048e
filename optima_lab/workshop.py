"""The models of one task: pre-trained, fine-tuned and judged once, then found again by what they depend on."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

import numpy as np
from open_clip import CoCa
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from optima_lab.config import TASKS, Config
from optima_lab.data.batches import Split
from optima_lab.data.corpus import Source, TaskData, blank, has_captions, load, pretraining_pairs
from optima_lab.distill.baselines import constant_scores, human_score, kind_scores, retrieval_score
from optima_lab.distill.checkpoints import fingerprint
from optima_lab.distill.evaluate import evaluate
from optima_lab.distill.models import TaskModel, build, for_task, load_released, size
from optima_lab.distill.resume import Keeper
from optima_lab.distill.tasks import device
from optima_lab.distill.teacher import finetune, pretrain, text_only
from optima_lab.errors import RecordError
from optima_lab.experiment import RECORD_VERSION, content_hash, unusual
from optima_lab.locks import alone, part_of
from optima_lab.records import read_json, write_json

_SHAPE = ("image_size", "patch_size", "text_tokens", "vocabulary", "decoder", "image_queries", "head_width")
_DATA = ("world_seed", "scenes", "limit", "strict")
_OPTIMIZER = ("optimizer", "weight_decay", "clip", "finetune_warmup_steps")
_PRETRAIN = (*_SHAPE, *_DATA, *_OPTIMIZER, "pretrain_batch", "pretrain_lr")
_STUDENT = ("student_layers", "student_width", "steps", "batch_size", "lr", "warmup_steps", "dropout", "rand_augment")
_FINETUNE = ("task", "answer_count", "finetune_steps", "finetune_batch", "encoder_lr", "pooler_lr", "dropout")


Model = TypeVar("Model", bound=nn.Module)


class Stages:
    """Seconds spent in each stage of a command, by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time inside to `name`."""
        start = perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + perf_counter() - start


class Workshop:
    """The models of one task and configuration, each trained once and then found again by what it depends on.

    `make_…` only trains what is missing: where it is there, not even the data are read.
    """

    def __init__(self, config: Config, source: Source) -> None:
        self.config, self.source, self.stages = config, source, Stages()

    @cached_property
    def data(self) -> TaskData:
        """The task's data, read when first looked at."""
        with self.stages.stage("data"):
            return load(self.config, self.source)

    @property
    def vocabulary(self) -> int:
        """How many tokens there are."""
        return self.data.tokenizer.vocab_size

    def pretrained(self, which: str) -> CoCa:
        """The pre-trained 'teacher' or 'base': ours, or released weights."""
        if getattr(self.config, f"{which}_weights"):
            return load_released(self.config, which, self.vocabulary).to(device())
        folder = self.make_pretrained(which)
        return _filled(build(size(self.config, which, self.vocabulary), 0), folder)

    def make_pretrained(self, which: str) -> Path:
        """The folder of our pre-trained 'teacher' or 'base'."""
        fields = (*_PRETRAIN, *(("teacher_layers", "teacher_width", "pretrain_steps") if which == "teacher" else ()))
        fields = (*fields, *(("base_layers", "student_width", "base_steps") if which == "base" else ()))
        shared = TASKS[self.config.task].captions or has_captions(self.source)
        task = "" if shared else self.config.task

        def make(keeper: Keeper) -> tuple[CoCa, dict[str, Any]]:
            pairs = pretraining_pairs(self.config, self.source, self.data)
            return pretrain(self.config, which, pairs, self.data.tokenizer, keeper), {}

        return self._once(f"{which}-{self._id(which, fields, task)}", "pre-training", make)

    def teacher(self) -> tuple[TaskModel, dict[str, Any]]:
        """The fine-tuned teacher of the task, and what it reaches."""
        folder, shape = self.make_teacher(), size(self.config, "teacher", self.vocabulary)
        shell = for_task(build(shape, 0), shape, self.data.task.pictures, len(self.data.classes), 0)
        return _filled(shell, folder).eval().requires_grad_(False), read_json(folder / "about.json")

    def make_teacher(self) -> Path:
        """The folder of the task's teacher."""
        fields = (*_PRETRAIN, *_FINETUNE, "teacher_layers", "teacher_width", "pretrain_steps", "rand_augment")
        return self._once(f"{self.config.task}-teacher-{self._id('teacher', fields)}", "teacher", self._new_teacher)

    def _new_teacher(self, keeper: Keeper) -> tuple[TaskModel, dict[str, Any]]:
        model = finetune(self.config, self.pretrained("teacher"), self.data, keeper)
        return model, {"teacher": self._judge(model, self.data)}

    def baselines(self) -> dict[str, Any]:
        """What no model at all reaches, and a student-sized one that sees no picture (captions: one person)."""
        fields = (*_PRETRAIN, *_STUDENT, "task", "answer_count", "base_layers", "base_steps")
        name = f"{self.config.task}-baselines-{self._id('baselines', fields)}"
        folder = self._once(name, "baselines", lambda keeper: (None, self._baselines(keeper)))
        return read_json(folder / "about.json")

    def _judge(self, model: TaskModel, data: TaskData) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for name, split in (("dev", data.dev), ("test", data.test)):
            rows = evaluation_rows(data, split)
            found = evaluate([model], None, data, split, rows, self.config.eval_batch)[0]
            result |= {f"score_{name}": found.score, f"prediction_loss_{name}": found.prediction_loss}
            if name == "test" and not data.task.captions:
                result["kinds"] = kind_scores(split, rows, found.right)
        return result

    def _baselines(self, keeper: Keeper) -> dict[str, Any]:
        if self.data.task.captions:
            score = retrieval_score(self.data)
            return {"baseline": {"name": "retrieval", "score": score}, "human": {"score": human_score(self.data)}}
        constant = constant_scores(self.data)
        model = text_only(self.config, self.pretrained("base"), self.data, keeper)
        judged = self._judge(model, blank(self.data))
        return {
            "baseline": {"name": "majority", "score": constant["all"], "kinds": constant},
            "text_only": {"score": judged["score_test"], "kinds": judged["kinds"]},
        }

    def _id(self, which: str, fields: Sequence[str], *more: Any) -> str:
        parts = unusual(self.config, fields)
        known = [fingerprint(self.config)] if fingerprint(self.config) else []  # of released weights, if any
        return content_hash(RECORD_VERSION, which, parts, self.source.fingerprint, *more, *known)

    def _once(self, name: str, stage: str, make: Callable[[Keeper], tuple[nn.Module | None, Mapping]]) -> Path:
        """The folder `<cache>/models/<name>`; where it is missing `make` gives a model, if any, and facts to keep."""
        folder = self.source.cache / "models" / name
        if not (folder / "about.json").exists():
            with alone(folder, name):
                if not (folder / "about.json").exists():  # else another process was faster
                    keeper = Keeper(folder / "resume.pt")
                    with self.stages.stage(stage):
                        model, facts = make(keeper)
                    if model is not None:
                        save_model(model, folder / "model.safetensors")
                    write_json(folder / "about.json", facts)  # last: what is there now is whole
                    keeper.drop()
                    drop_parts(folder)
        return folder


def _filled(model: Model, folder: Path) -> Model:
    """`model` with the weights that lie in a folder of ours, on the device."""
    load_model(model, folder / "model.safetensors")
    return model.to(device())


def evaluation_rows(data: TaskData, split: Split, most: int = 0) -> np.ndarray:
    """The rows a split is judged on: all, or always the same `most`; one caption of every picture."""
    rows = split.first_rows() if data.task.captions else np.arange(len(split))
    if not 0 < most < len(rows):
        return rows
    return np.sort(np.random.default_rng(17).permutation(rows)[:most])


def drop_parts(folder: Path) -> None:
    """Remove the half-written files that a killed process left."""
    for path in folder.rglob("*.part"):
        path.unlink()


def save_model(model: nn.Module, path: Path) -> None:
    """Write parameters as safetensors, whole or not at all. Raises RecordError where they cannot be written."""
    part = part_of(path)
    try:
        save_file({name: tensor.contiguous().cpu() for name, tensor in model.state_dict().items()}, part)
    except SafetensorError as error:  # a full disk
        part.unlink(missing_ok=True)
        raise RecordError(f"{path} cannot be written: {error}") from None
    part.replace(path)


def load_model(model: nn.Module, path: Path) -> None:
    """Fill `model` with what `save_model` wrote.

    Raises RecordError for a file that is missing, is no safetensors file (pickles are not opened), or holds other
    tensors than the model's.
    """
    if not path.is_file():  # a named pipe would be waited for
        raise RecordError(f"{path} must be a file with this model's weights, got none")
    try:
        model.load_state_dict(load_file(path))
    except (OSError, SafetensorError, RuntimeError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())[:160]
        raise RecordError(f"{path} must hold this model's weights as safetensors: {reason}") from None
