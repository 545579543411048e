"""From data to finished runs: what is pre-trained and fine-tuned once and kept, then one population of students."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
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
from optima_lab.distill.evaluate import evaluate
from optima_lab.distill.models import TaskModel, build, for_task, require_same_tokens, size
from optima_lab.distill.resume import Keeper, Pupils
from optima_lab.distill.strategies import OWN, Strategy
from optima_lab.distill.student import Student, make_student
from optima_lab.distill.tasks import device, mix
from optima_lab.distill.teacher import finetune, new_student, pretrain, text_only
from optima_lab.distill.trainer import distill
from optima_lab.experiment import RECORD_VERSION, content_hash, run_seed, unusual
from optima_lab.progress import progress
from optima_lab.records import Writer, read_json, read_lines, write_json

_SHAPE = ("image_size", "patch_size", "text_tokens", "vocabulary", "decoder", "image_queries", "head_width")
_DATA = ("world_seed", "scenes", "limit", "strict")
_OPTIMIZER = ("optimizer", "weight_decay", "clip", "finetune_warmup_steps")
_PRETRAIN = (*_SHAPE, *_DATA, *_OPTIMIZER, "pretrain_batch", "pretrain_lr")
_STUDENT = ("student_layers", "student_width", "steps", "batch_size", "lr", "warmup_steps", "dropout", "rand_augment")
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
        """The pre-trained 'teacher' or 'base'."""
        fields = (*_PRETRAIN, *(("teacher_layers", "teacher_width", "pretrain_steps") if which == "teacher" else ()))
        fields = (*fields, *(("base_layers", "student_width", "base_steps") if which == "base" else ()))
        own = self.pairs is self.data.train and not self.data.task.captions
        task = self.config.task if own else ""
        coca, _ = self._kept(
            f"{which}-{self._id(which, fields, task)}",
            lambda keeper: (pretrain(self.config, which, self.pairs, self.data.tokenizer, keeper), {}),
            lambda: build(size(self.config, which, self.vocabulary), 0),
            "pre-training",
        )
        return coca

    def teacher(self) -> tuple[TaskModel, dict[str, Any]]:
        """The fine-tuned teacher of the task, and what it reaches."""
        fields = (*_PRETRAIN, *_FINETUNE, "teacher_layers", "teacher_width", "pretrain_steps", "rand_augment")
        shape = size(self.config, "teacher", self.vocabulary)
        pictures, classes = self.data.task.pictures, len(self.data.classes)
        model, facts = self._kept(
            f"{self.config.task}-teacher-{self._id('teacher', fields)}",
            self._new_teacher,
            lambda: for_task(build(shape, 0), shape, pictures, classes, 0),
            "teacher",
        )
        return model.eval().requires_grad_(False), facts

    def _new_teacher(self, keeper: Keeper) -> tuple[TaskModel, dict[str, Any]]:
        model = finetune(self.config, self.pretrained("teacher"), self.data, keeper)
        return model, {"teacher": self._judge(model, self.data)}

    def baselines(self) -> dict[str, Any]:
        """What no model at all reaches, and a student-sized one that sees no picture (captions: one person)."""
        fields = (*_PRETRAIN, *_STUDENT, "task", "answer_count", "base_layers", "base_steps")
        path = self.source.cache / "models" / f"{self.config.task}-baselines-{self._id('baselines', fields)}.json"
        if not path.exists():
            keeper = Keeper(path.with_suffix(".resume.pt"))
            with self.stages.stage("baselines"):
                write_json(path, self._baselines(keeper))
            keeper.drop()
        return read_json(path)

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
        return content_hash(RECORD_VERSION, which, parts, self.source.fingerprint, *more)

    def _kept(
        self, name: str, make: Callable[[Keeper], tuple[Any, Mapping]], shell: Callable[[], Any], stage: str
    ) -> tuple[Any, dict]:
        """A model and its facts from `<cache>/models/<name>`, made and kept there where it is missing."""
        folder = self.source.cache / "models" / name
        if (folder / "about.json").exists():
            model = shell()
            model.load_state_dict(load_file(folder / "model.safetensors"))
            return model.to(device()), read_json(folder / "about.json")
        keeper = Keeper(folder / "resume.pt")
        with self.stages.stage(stage):
            model, facts = make(keeper)
        folder.mkdir(parents=True, exist_ok=True)
        save_model(model, folder / "model.safetensors")
        write_json(folder / "about.json", facts)
        keeper.drop()
        drop_parts(folder)
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
    require_same_tokens(*(size(config, which, shop.vocabulary) for which in ("student", "teacher")))
    base = shop.pretrained("base")
    teacher, facts = shop.teacher()
    facts |= shop.baselines()
    if config.assistant_layers:
        teacher, facts = _assistant(config, runs, shop, facts)
    summary = {**_about(config, shop), **facts}
    write_json(folder / "experiment.json", summary)
    students = [
        make_student(config, strategy, new_student(config, base, shop.data, mix(config.seed, 0)), teacher)
        for strategy in strategies
    ]
    keeper = Keeper(folder / f"resume-{content_hash(*sorted(s.id for s in strategies))}.pt")
    done = keeper.restore(
        {"students": Pupils(students)}, lambda step: all(_recorded(folder / s.id, step) for s in strategies)
    )
    with shop.stages.stage("students"), ExitStack() as stack:
        writers = [stack.enter_context(Writer(folder / s.id, _run_about(config, s), done)) for s in strategies]
        _train(config, teacher, students, shop.data, writers, keeper, done)
    for student, writer in zip(students, writers, strict=True):
        save_model(student.model, writer.folder / "student.safetensors")
        write_json(writer.folder / "done.json", {"steps": config.steps, "stopped": student.stopped})
    keeper.drop()
    drop_parts(folder)
    write_json(folder / "seconds.json", {k: round(v, 1) for k, v in shop.stages.seconds.items()})


def _recorded(folder: Path, step: int) -> bool:
    """Whether a run's records reach so far."""
    lines = read_lines(folder / "steps.jsonl")
    return len(lines) >= step and lines[step - 1]["step"] == step


def _assistant(
    config: Config, runs: Path, shop: Workshop, facts: Mapping[str, Any]
) -> tuple[TaskModel, dict[str, Any]]:
    """First of two stages (A.4): a student of `assistant_layers`, distilled as an experiment of its own, teaches."""
    first = replace(config, student_layers=config.assistant_layers, assistant_layers="", assistant=Config.assistant)
    stage = run_seed(first, runs, config.assistant)
    shape = size(first, "student", shop.vocabulary)
    model = for_task(build(shape, 0), shape, shop.data.task.pictures, len(shop.data.classes), 0)
    model.load_state_dict(load_file(stage.folder / stage.only[0] / "student.safetensors"))
    return model.to(device()).eval().requires_grad_(False), {**facts, "assistant": {"experiment": stage.id}}


def _train(
    config: Config,
    teacher: TaskModel,
    students: Sequence[Student],
    data: TaskData,
    writers: Sequence[Writer],
    keeper: Keeper,
    done: int,
) -> None:
    """The rounds after `done` steps; records reach the disk before the state that has them behind it."""
    models = [student.model for student in students]
    when = evaluation_steps(config)
    about = f"{data.task.title}: {len(students)} students, seed {config.seed}, rounds"
    rounds = distill(config, teacher, students, data, done)
    for step, taken in progress(rounds, about, total=config.rounds, done=done // config.round_steps):
        found = evaluation_records(config, teacher, models, data, step) if step in when else [[] for _ in students]
        for writer, (rounds, steps), evals in zip(writers, taken, found, strict=True):
            writer.append("rounds", rounds)
            writer.append("steps", steps)
            writer.append("evals", evals)
            writer.flush()
        if step < config.steps and all(student.ends(step) for student in students):
            keeper.keep(step, {"students": Pupils(students)})


def evaluation_steps(config: Config) -> set[int]:
    """The ends of `config.evaluations` evenly spaced rounds, the last one among them."""
    rounds = {round(config.rounds * n / config.evaluations) for n in range(1, config.evaluations + 1)} - {0}
    return {number * config.round_steps for number in rounds}


def evaluation_records(
    config: Config, teacher: TaskModel, models: Sequence[TaskModel], data: TaskData, step: int
) -> list[list[dict[str, Any]]]:
    """Each model's lines for evals.jsonl: on dev, and after the last step on all of dev and test.

    Nothing before the end has seen the test split.
    """
    last = step == config.steps
    lines: list[list[dict[str, Any]]] = [[] for _ in models]
    for name, split in (("dev", data.dev), ("test", data.test)) if last else (("dev", data.dev),):
        rows = evaluation_rows(data, split, 0 if last else config.eval_examples)
        for line, result in zip(lines, evaluate(models, teacher, data, split, rows, config.eval_batch), strict=True):
            known = {"step": step, "round": step // config.round_steps, "split": name}
            line += [{**known, "metric": metric, "value": value} for metric, value in result.metrics().items()]
    return lines


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
    own = strategy.configure(config)
    about = {"strategy": strategy.name, **{k: getattr(strategy, k) for k in ("arm", "policy", "parameters", "reward")}}
    return {**about, **{name: getattr(own, name) for name in OWN}, "config": asdict(own)}
