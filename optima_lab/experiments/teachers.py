"""The models of one task: pre-trained, fine-tuned and judged once, then found again by what they depend on."""

from collections.abc import Callable, Iterator, Mapping
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

from optima_lab.coca.model import TaskModel, build, coca_config, for_task, load_released
from optima_lab.config import TASKS, Config, FinetuningStage, PretrainingStage, TrainingStage
from optima_lab.config.parameters import narrow
from optima_lab.data.batches import Split
from optima_lab.data.datasets import DataSource, TaskData, blank, has_captions, load, pretraining_pairs
from optima_lab.distill.checkpoint import Checkpointer
from optima_lab.distill.finite import first_not_finite
from optima_lab.distill.parallel import device
from optima_lab.errors import ConfigError, RecordError
from optima_lab.experiments.code_fingerprint import code_fingerprint, tell_once
from optima_lab.experiments.ids import stage_id
from optima_lab.experiments.records import read_json, write_json
from optima_lab.files import drop_parts, locked, replacing
from optima_lab.tasks.baselines import constant_scores, human_score, kind_scores, retrieval_score
from optima_lab.tasks.metrics import evaluate
from optima_lab.tasks.recipes import finetune, pretrain, text_only

Model = TypeVar("Model", bound=nn.Module)


class StageTimer:
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


class TeacherCache:
    """The models of one task and configuration, each trained once and then found again by what it depends on.

    `make_…` only trains what is missing: where it is there, not even the data are read.
    """

    def __init__(self, config: Config, source: DataSource) -> None:
        self.config, self.source, self.stages = config, source, StageTimer()

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
        stage = narrow(self.config, PretrainingStage)
        if stage.pretraining.teacher_weights if which == "teacher" else stage.pretraining.base_weights:
            return load_released(stage, which, self.vocabulary).to(device(stage.model.device))
        folder = self.make_pretrained(which)
        return _filled(build(coca_config(stage, which, self.vocabulary), 0), folder, stage)

    def make_pretrained(self, which: str) -> Path:
        """The folder of our pre-trained 'teacher' or 'base'."""
        stage = narrow(self.config, PretrainingStage)
        shared = TASKS[self.config.task].captions or has_captions(self.source)
        task = "" if shared else self.config.task

        def make(keeper: Checkpointer) -> tuple[CoCa, dict[str, Any]]:
            pairs = pretraining_pairs(self.config, self.source, self.data)
            return pretrain(stage, which, pairs, self.data.tokenizer, keeper), {}

        return self._once(f"{which}-{self._id(stage, which, task)}", "pre-training", make)

    def teacher(self) -> tuple[TaskModel, dict[str, Any]]:
        """The fine-tuned teacher of the task, and what it reaches."""
        folder, shape = self.make_teacher(), coca_config(self.config, "teacher", self.vocabulary)
        shell = for_task(build(shape, 0), shape, self.data.task.pictures, len(self.data.classes), 0)
        return _filled(shell, folder, self.config).eval().requires_grad_(False), _facts(folder)

    def make_teacher(self) -> Path:
        """The folder of the task's teacher."""
        stage = narrow(self.config, FinetuningStage)

        def make(keeper: Checkpointer) -> tuple[TaskModel, dict[str, Any]]:
            model = finetune(stage, self.pretrained("teacher"), self.data, keeper)
            return model, {"teacher": self._judge(model, self.data)}

        return self._once(f"{stage.task}-teacher-{self._id(stage)}", "teacher", make)

    def baselines(self) -> dict[str, Any]:
        """What no model at all reaches, and a student-sized one that sees no picture (captions: one person)."""
        stage = narrow(self.config, TrainingStage)
        name = f"{stage.task}-baselines-{self._id(stage)}"
        return _facts(self._once(name, "baselines", lambda keeper: (None, self._baselines(stage, keeper))))

    def _judge(self, model: TaskModel, data: TaskData) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for name, split in (("dev", data.dev), ("test", data.test)):
            rows = evaluation_rows(data, split)
            evaluation = evaluate([model], None, data, split, rows, self.config.evaluation.eval_batch)[0]
            result |= {f"{metric}_{name}": value for metric, value in evaluation.metrics().items()}
            result |= {} if np.isfinite(evaluation.score) else {f"score_{name}": None}  # CIDEr of one picture
            if name == "test" and not data.task.captions:
                result["kinds"] = kind_scores(split, rows, evaluation.right)
        return result

    def _baselines(self, stage: TrainingStage, keeper: Checkpointer) -> dict[str, Any]:
        if self.data.task.captions:
            scores = (retrieval_score(self.data), human_score(self.data))
            score, human = (value if np.isfinite(value) else None for value in scores)  # CIDEr of one picture
            return {"baseline": {"name": "retrieval", "score": score}, "human": {"score": human}}
        constant = constant_scores(self.data)
        model = text_only(stage, self.pretrained("base"), self.data, keeper)
        judged = self._judge(model, blank(self.data))
        if first_not_finite(model.state_dict()):  # it judges no one: a gap, and no score of broken numbers
            judged = {"score_test": None, "kinds": {}}
        return {
            "baseline": {"name": "majority", "score": constant["all"], "kinds": constant},
            "text_only": {"score": judged["score_test"], "kinds": judged["kinds"]},
        }

    def _id(self, stage: PretrainingStage, *more: str) -> str:
        return stage_id(stage, self.source.fingerprint, *more)

    def _once(self, name: str, stage: str, make: Callable[[Checkpointer], tuple[nn.Module | None, Mapping]]) -> Path:
        """The folder `<cache>/models/<name>`; where it is missing `make` gives a model, if any, and facts to keep."""
        folder = self.source.cache / "models" / name
        if not (folder / "about.json").exists():
            with locked(folder, name):
                if not (folder / "about.json").exists():  # else another process was faster
                    keeper = Checkpointer(folder / "resume.pt", code_fingerprint())
                    with self.stages.stage(stage):
                        model, facts = make(keeper)
                    if model is not None:
                        _require_finite(model, f"{stage} ({name})", keeper)
                        save_model(model, folder / "model.safetensors")
                    content = {**facts, "code": code_fingerprint()}
                    write_json(folder / "about.json", content)  # last: what is there now is whole
                    keeper.drop()
                    drop_parts(folder)
        return folder


def _facts(folder: Path) -> dict[str, Any]:
    """What is known of a model of ours; that other code made it is said."""
    facts = read_json(folder / "about.json")
    if not isinstance(facts, dict):
        raise RecordError(f"{folder / 'about.json'} must hold an object; remove {folder} to make it anew")
    if facts.pop("code", "") != code_fingerprint():
        tell_once(
            f"note: {folder} was made by other code than this: students taught now may differ from this code's; "
            "keep it, or remove that folder to make it anew"
        )
    return facts


def _require_finite(model: nn.Module, what: str, keeper: Checkpointer) -> None:
    """A model that went wrong is not kept, nor what it would go on from: whoever learned from it would be blamed."""
    if problem := first_not_finite(model.state_dict()):
        keeper.drop()
        raise ConfigError(f"{what} must end with finite numbers; {problem}; smaller learning rates may help")


def _filled(model: Model, folder: Path, stage: PretrainingStage) -> Model:
    """`model` with the weights that lie in a folder of ours, on the device."""
    load_model(model, folder / "model.safetensors")
    return model.to(device(stage.model.device))


def evaluation_rows(data: TaskData, split: Split, most: int = 0) -> np.ndarray:
    """The rows a split is judged on: all, or always the same `most`; one caption of every picture."""
    rows = split.first_rows() if data.task.captions else np.arange(len(split))
    if not 0 < most < len(rows):
        return rows
    return np.sort(np.random.default_rng(17).permutation(rows)[:most])


def save_model(model: nn.Module, path: Path) -> None:
    """Write parameters as safetensors, whole or not at all. Raises RecordError where they cannot be written."""
    try:
        with replacing(path, durable=True) as part:
            part.touch()
            allowed = part.stat().st_mode
            save_file({name: tensor.contiguous().cpu() for name, tensor in model.state_dict().items()}, part)
            part.chmod(allowed)  # safetensors lets nobody but its writer read
    except SafetensorError as error:  # a full disk
        raise RecordError(f"{path} cannot be written: {error}") from None


def load_model(model: nn.Module, path: Path) -> None:
    """Fill `model` with what `save_model` wrote.

    Raises RecordError for a file that is missing, is no safetensors file (pickles are not opened), or holds other
    tensors than the model's or numbers that are not finite.
    """
    if not path.is_file():  # a named pipe would be waited for
        raise RecordError(f"{path} must be a file with this model's weights, got none")
    try:
        state = load_file(path)
        model.load_state_dict(state)
    except (OSError, SafetensorError, RuntimeError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())[:160]
        raise RecordError(f"{path} must hold this model's weights as safetensors: {reason}") from None
    if problem := first_not_finite(state):
        raise RecordError(f"{path} must hold finite numbers; {problem}; remove {path.parent} to make it anew")
