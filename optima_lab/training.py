"""From data to finished runs: what is pre-trained and fine-tuned once and kept, then one population of students."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from open_clip import CoCa
from safetensors.torch import load_file, save_file
from torch import nn

from optima_lab.config import Config
from optima_lab.data.batches import Split
from optima_lab.data.corpus import Source, TaskData, blank, load, locate
from optima_lab.data.scenes import write_world
from optima_lab.distill.baselines import constant_scores, human_score, kind_scores, retrieval_score
from optima_lab.distill.checkpoints import fingerprint
from optima_lab.distill.evaluate import evaluate
from optima_lab.distill.grids import require_same_tokens
from optima_lab.distill.models import TaskModel, build, for_task, load_released, size
from optima_lab.distill.strategies import Strategy
from optima_lab.distill.tasks import device, mix
from optima_lab.distill.teacher import finetune, new_student, pretrain, text_only
from optima_lab.distill.trainer import Student, distill, make_student
from optima_lab.experiment import RECORD_VERSION, content_hash
from optima_lab.progress import progress
from optima_lab.records import Writer, read_json, write_json

_SHAPE = ("image_size", "patch_size", "text_tokens", "vocabulary", "decoder", "image_queries", "head_width")
_DATA = ("world_seed", "scenes", "limit", "strict")
_OPTIMIZER = ("optimizer", "weight_decay", "clip", "finetune_warmup_steps")
_PRETRAIN = (*_SHAPE, *_DATA, *_OPTIMIZER, "pretrain_batch", "pretrain_lr")
_FINETUNE = ("task", "answer_count", "finetune_steps", "finetune_batch", "encoder_lr", "pooler_lr", "dropout")


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
    """The models of one task and configuration, each trained once and then found again by what it depends on."""

    def __init__(self, config: Config, source: Source) -> None:
        self.config, self.source, self.stages = config, source, Stages()
        with self.stages.stage("data"):
            self.data, self.pairs = load(config, source)
        self.vocabulary = self.data.tokenizer.vocab_size

    def pretrained(self, which: str) -> CoCa:
        """The pre-trained 'teacher' or 'base': ours, or released weights."""
        if getattr(self.config, f"{which}_weights"):
            return load_released(self.config, which, self.vocabulary).to(device())
        fields = (*_PRETRAIN, *(("teacher_layers", "teacher_width", "pretrain_steps") if which == "teacher" else ()))
        fields = (*fields, *(("base_layers", "student_width", "base_steps") if which == "base" else ()))
        own = self.pairs is self.data.train and not self.data.task.captions
        task = self.config.task if own else ""
        coca, _ = self._kept(
            f"{which}-{self._id(which, fields, task)}",
            lambda: (pretrain(self.config, which, self.pairs, self.data.tokenizer), {}),
            lambda: build(size(self.config, which, self.vocabulary), 0),
            "pre-training",
        )
        return coca

    def teacher(self) -> tuple[TaskModel, dict[str, Any]]:
        """The fine-tuned teacher of the task, and what it and the baselines reach."""
        fields = (*_PRETRAIN, *_FINETUNE, "teacher_layers", "teacher_width", "pretrain_steps", "rand_augment")
        fields = (*fields, "base_layers", "student_layers", "student_width", "base_steps")
        fields = (*fields, "steps", "batch_size", "lr", "warmup_steps")
        shape = size(self.config, "teacher", self.vocabulary)
        pictures, classes = self.data.task.pictures, len(self.data.classes)
        model, facts = self._kept(
            f"{self.config.task}-teacher-{self._id('teacher', fields)}",
            self._new_teacher,
            lambda: for_task(build(shape, 0), shape, pictures, classes, 0),
            "teacher",
        )
        return model.eval().requires_grad_(False), facts

    def _new_teacher(self) -> tuple[TaskModel, dict[str, Any]]:
        model = finetune(self.config, self.pretrained("teacher"), self.data)
        return model, {"teacher": self._judge(model, self.data), **self._baselines()}

    def _judge(self, model: TaskModel, data: TaskData) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for name, split in (("dev", data.dev), ("test", data.test)):
            rows = evaluation_rows(data, split)
            found = evaluate([model], None, data, split, rows, self.config.eval_batch)[0]
            result |= {f"score_{name}": found.score, f"prediction_loss_{name}": found.prediction_loss}
            if name == "test" and not data.task.captions:
                result["kinds"] = kind_scores(split, rows, found.right)
        return result

    def _baselines(self) -> dict[str, Any]:
        if self.data.task.captions:
            score = retrieval_score(self.data)
            return {"baseline": {"name": "retrieval", "score": score}, "human": {"score": human_score(self.data)}}
        constant = constant_scores(self.data)
        judged = self._judge(text_only(self.config, self.pretrained("base"), self.data), blank(self.data))
        return {
            "baseline": {"name": "majority", "score": constant["all"], "kinds": constant},
            "text_only": {"score": judged["score_test"], "kinds": judged["kinds"]},
        }

    def _id(self, which: str, fields: Sequence[str], *more: Any) -> str:
        parts = {name: getattr(self.config, name) for name in fields}
        known = [fingerprint(self.config)] if fingerprint(self.config) else []  # of released weights, if any
        return content_hash(RECORD_VERSION, which, parts, self.source.fingerprint, *more, *known)

    def _kept(
        self, name: str, make: Callable[[], tuple[Any, Mapping]], shell: Callable[[], Any], stage: str
    ) -> tuple[Any, dict]:
        """A model and its facts from `<cache>/models/<name>`, made and kept there where it is missing."""
        folder = self.source.cache / "models" / name
        if (folder / "about.json").exists():
            model = shell()
            model.load_state_dict(load_file(folder / "model.safetensors"))
            return model.to(device()), read_json(folder / "about.json")
        with self.stages.stage(stage):
            model, facts = make()
        folder.mkdir(parents=True, exist_ok=True)
        save_model(model, folder / "model.safetensors")
        write_json(folder / "about.json", facts)
        return model, dict(facts)


def write_data(config: Config, runs: Path) -> None:
    """Write the task's part of the embedded world, where that is asked for and missing."""
    source = locate(config, runs)
    if source.world is not None:
        write_world(source.folder, source.world, (config.task,))


def pretrain_shared(config: Config, runs: Path, which: str) -> None:
    """Pre-train the 'teacher' or 'base' that all tasks share, where it is missing."""
    Workshop(config, locate(config, runs)).pretrained(which)


def train_population(config: Config, runs: Path, folder: Path, strategies: Sequence[Strategy]) -> None:
    """Train the students of `strategies` together and leave their records below `folder`."""
    shop = Workshop(config, locate(config, runs))
    small, large = (size(config, which, shop.vocabulary) for which in ("student", "teacher"))
    require_same_tokens(small, large, config)
    base = shop.pretrained("base")
    teacher, facts = shop.teacher()
    summary = {**_about(config, shop), **facts}
    write_json(folder / "experiment.json", summary)
    students = [
        make_student(config, strategy, new_student(config, base, shop.data, mix(config.seed, 0)), teacher)
        for strategy in strategies
    ]
    with shop.stages.stage("students"), ExitStack() as stack:
        writers = [stack.enter_context(Writer(folder / s.id, _run_about(config, s))) for s in strategies]
        _train(config, teacher, students, shop.data, writers)
    for student, writer in zip(students, writers, strict=True):
        save_model(student.model, writer.folder / "student.safetensors")
        write_json(writer.folder / "done.json", {"steps": config.steps})
    write_json(folder / "seconds.json", {k: round(v, 1) for k, v in shop.stages.seconds.items()})


def _train(
    config: Config, teacher: TaskModel, students: Sequence[Student], data: TaskData, writers: Sequence[Writer]
) -> None:
    models = [student.model for student in students]
    when = evaluation_rounds(config)
    rounds = distill(config, teacher, students, data)
    about = f"{data.task.title}: {len(students)} students, seed {config.seed}, rounds"
    for number, records, steps in progress(rounds, about, total=config.rounds):
        lines: list[list[dict[str, Any]]] = [[] for _ in students]
        if number in when:
            lines = evaluation_records(config, teacher, models, data, number)
        for writer, record, step, line in zip(writers, records, steps, lines, strict=True):
            writer.append("rounds", [record])
            writer.append("steps", step)
            writer.append("evals", line)
            writer.flush()


def evaluation_rounds(config: Config) -> set[int]:
    """`config.evaluations` evenly spaced rounds, the last one among them."""
    return {round(config.rounds * n / config.evaluations) for n in range(1, config.evaluations + 1)} - {0}


def evaluation_records(
    config: Config, teacher: TaskModel, models: Sequence[TaskModel], data: TaskData, number: int
) -> list[list[dict[str, Any]]]:
    """Each model's lines for evals.jsonl; the last round's are on whole splits."""
    last = number == config.rounds
    lines: list[list[dict[str, Any]]] = [[] for _ in models]
    for name, split in (("dev", data.dev), ("test", data.test)):
        rows = evaluation_rows(data, split, 0 if last else config.eval_examples)
        captions = last or name == "test"
        found = evaluate(models, teacher, data, split, rows, config.eval_batch, captions=captions)
        for line, result in zip(lines, found, strict=True):
            for metric, value in result.metrics().items():
                known = {"step": number * config.round_steps, "round": number, "split": name}
                line.append({**known, "metric": metric, "value": value})
    return lines


def evaluation_rows(data: TaskData, split: Split, most: int = 0) -> np.ndarray:
    """The rows a split is judged on: all, or always the same `most`; one caption of every picture."""
    rows = split.first_rows() if data.task.captions else np.arange(len(split))
    if not 0 < most < len(rows):
        return rows
    return np.sort(np.random.default_rng(17).permutation(rows)[:most])


def save_model(model: nn.Module, path: Path) -> None:
    """Write parameters as safetensors, whole or not at all."""
    part = path.with_name(path.name + ".part")
    save_file({name: tensor.contiguous().cpu() for name, tensor in model.state_dict().items()}, part)
    part.replace(path)


def _about(config: Config, shop: Workshop) -> dict[str, Any]:
    data = shop.data
    skipped = [reason for split in (data.train, data.dev, data.test) for reason in split.skipped]
    return {
        "config": asdict(config),
        "data": str(shop.source.folder),
        "data_fingerprint": shop.source.fingerprint,
        "counts": {split.name: len(split.first_rows()) for split in (data.train, data.dev, data.test)},
        "classes": len(data.classes),
        "skipped": {"count": len(skipped), "first": skipped[:10]},
        "versions": {name: version(name) for name in ("torch", "open_clip_torch", "numpy", "timm")},
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
    }


def _run_about(config: Config, strategy: Strategy) -> dict[str, Any]:
    about = {k: v for k, v in asdict(strategy).items() if k != "name"}
    return {"strategy": strategy.name, **about, "config": asdict(config)}
