"""From a configuration to finished runs: one population of students, taught, evaluated and recorded."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from optima_lab.boards import show
from optima_lab.config import Config
from optima_lab.data.corpus import TaskData, locate
from optima_lab.data.scenes import write_world
from optima_lab.distill import together
from optima_lab.distill.evaluate import evaluate
from optima_lab.distill.grids import require_same_tokens
from optima_lab.distill.models import TaskModel, build, for_task, size
from optima_lab.distill.resume import Keeper, Pupils
from optima_lab.distill.strategies import OWN, Strategy
from optima_lab.distill.student import Student, make_student
from optima_lab.distill.tasks import device, mix
from optima_lab.distill.teacher import new_student
from optima_lab.distill.trainer import distill
from optima_lab.experiment import content_hash, run_seed
from optima_lab.progress import progress
from optima_lab.records import Writer, read_lines, write_json
from optima_lab.workshop import Workshop, drop_parts, evaluation_rows, load_model, save_model


def write_data(config: Config, runs: Path) -> None:
    """Write the task's part of the embedded world, where that is asked for and missing."""
    source = locate(config, runs)
    if source.world is not None:
        write_world(source.folder, source.world, (config.task,))


def pretrain_teacher(config: Config, runs: Path) -> None:
    """Pre-train the teacher that all tasks share, where it is missing."""
    if not config.teacher_weights:
        Workshop(config, locate(config, runs)).make_pretrained("teacher")


def pretrain_base(configs: Sequence[Config], runs: Path) -> None:
    """The same for what students start from, and then what teachers are compared with, which needs no teacher.

    Together about as long as the teacher's pre-training, so that neither of two workers waits.
    """
    for config in configs:
        shop = Workshop(config, locate(config, runs))
        if not config.base_weights:
            shop.make_pretrained("base")
        shop.baselines()


def teach(config: Config, runs: Path) -> None:
    """Fine-tune the task's teacher, where that is missing."""
    Workshop(config, locate(config, runs)).make_teacher()


def agreed(missing: Sequence[Strategy]) -> Sequence[Strategy]:
    """Those that the first of torchrun's processes found missing: all train the same, or none anything."""
    together.join()
    return together.first_says(missing)


def train_population(config: Config, runs: Path, folder: Path, strategies: Sequence[Strategy]) -> None:
    """Train the students of `strategies` together and leave their records below `folder`.

    Under torchrun all its processes come here; each learns from its part of every batch, the first one writes.
    """
    shop = Workshop(config, locate(config, runs))
    small, large = (size(config, which, shop.vocabulary) for which in ("student", "teacher"))
    require_same_tokens(small, large, config)
    base = shop.pretrained("base")
    teacher, facts = shop.teacher()
    facts |= shop.baselines()
    if config.assistant_layers:
        teacher, facts = _assistant(config, runs, shop, facts)
    first = together.number() == 0
    if first:
        write_json(folder / "experiment.json", {**_about(config, shop), **facts})
    students = [
        make_student(config, strategy, new_student(config, base, shop.data, mix(config.seed, 0)), teacher)
        for strategy in strategies
    ]
    keeper = Keeper(folder / f"resume-{content_hash(*sorted(s.id for s in strategies))}.pt")
    done = keeper.restore(
        {"students": Pupils(students)}, lambda step: all(_recorded(folder / s.id, step) for s in strategies)
    )
    together.wait_for_all()  # until everyone knows where to go on: the first now cuts the records there
    with shop.stages.stage("students"), ExitStack() as stack:
        abouts = [(folder / s.id, _run_about(config, s)) for s in strategies] if first else []
        writers = [stack.enter_context(Writer(place, about, done)) for place, about in abouts]
        _train(config, teacher, students, shop.data, writers, keeper, done)
    if first:
        drop_parts(folder)
        write_json(folder / "seconds.json", {k: round(v, 1) for k, v in shop.stages.seconds.items()})
    for student, writer in zip(students, writers, strict=False):
        save_model(student.model, writer.folder / "student.safetensors")
    for student, writer in zip(students, writers, strict=False):  # last: what is done is not looked at again
        write_json(writer.folder / "done.json", {"steps": config.steps, "stopped": student.stopped})
    if first:
        keeper.drop()
    together.wait_for_all()


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
    load_model(model, stage.folder / stage.only[0] / "student.safetensors")
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
    """The rounds after `done` steps; records reach the disk before the state that has them behind it.

    Without writers (a process that only helps) nothing is evaluated or written.
    """
    models = [student.model for student in students]
    when = evaluation_steps(config)
    about = f"{data.task.title}: {len(students)} students, seed {config.seed}, rounds"
    rounds = distill(config, teacher, students, data, done)
    for step, taken in progress(rounds, about, total=config.rounds, done=done // config.round_steps):
        if not writers:
            continue
        found = evaluation_records(config, teacher, models, data, step) if step in when else [[] for _ in students]
        for writer, (rounds, steps), evals in zip(writers, taken, found, strict=True):
            writer.append("rounds", rounds)
            writer.append("steps", steps)
            writer.append("evals", evals)
            writer.flush()
            show(writer.folder, rounds, steps, evals)
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
