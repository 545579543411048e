"""From a configuration to finished runs: one population of students, taught, evaluated and recorded."""

from collections.abc import Sequence
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from optima_lab.coca.grids import require_same_tokens
from optima_lab.coca.model import TaskModel, build, coca_config, for_task, student_config
from optima_lab.config import Config
from optima_lab.config.parameters import flat
from optima_lab.data.datasets import TaskData, locate
from optima_lab.data.synthetic.write import write_world
from optima_lab.display import name_of
from optima_lab.distill import parallel
from optima_lab.distill.checkpoint import Checkpointer, Pupils, saved_students
from optima_lab.distill.parallel import device
from optima_lab.distill.seeds import stream_seed
from optima_lab.distill.strategies import OWN, Strategy
from optima_lab.distill.student import Student, make_student
from optima_lab.distill.trainer import distill
from optima_lab.experiments.code_fingerprint import code_fingerprint
from optima_lab.experiments.experiment import Experiment
from optima_lab.experiments.ids import content_hash
from optima_lab.experiments.records import Writer, read_lines, why_stopped, write_json
from optima_lab.experiments.teachers import TeacherCache, evaluation_rows, load_model, save_model
from optima_lab.experiments.watch import WatchedRun, Watching
from optima_lab.experiments.watchers import enabled_watchers
from optima_lab.files import drop_parts
from optima_lab.progress import progress
from optima_lab.tasks.distillation import CoCaDistillation
from optima_lab.tasks.metrics import evaluate
from optima_lab.tasks.recipes import new_student


def write_data(config: Config, runs: Path) -> None:
    """Write the task's part of the embedded world, where that is asked for and missing."""
    source = locate(config, runs)
    if source.world is not None:
        write_world(source.folder, source.world, (config.task,))


def pretrain_teacher(config: Config, runs: Path) -> None:
    """Pre-train the teacher that all tasks share, where it is missing."""
    if not config.pretraining.teacher_weights:
        TeacherCache(config, locate(config, runs)).make_pretrained("teacher")


def pretrain_base(configs: Sequence[Config], runs: Path) -> None:
    """The same for what students start from, and then what teachers are compared with, which needs no teacher.

    Together about as long as the teacher's pre-training, so that neither of two workers waits.
    """
    for config in configs:
        shop = TeacherCache(config, locate(config, runs))
        if not config.pretraining.base_weights:
            shop.make_pretrained("base")
        shop.baselines()


def teach(config: Config, runs: Path) -> None:
    """Fine-tune the task's teacher, where that is missing."""
    TeacherCache(config, locate(config, runs)).make_teacher()


def agreed(missing: Sequence[Strategy]) -> Sequence[Strategy]:
    """Those that the first of torchrun's processes found missing: all train the same, or none anything."""
    parallel.init_process_group()
    return parallel.broadcast(missing)


@torch.inference_mode(False)  # an interrupt that falls into a context's exit leaves a notebook without gradients
@torch.enable_grad()
def train_population(
    config: Config,
    runs: Path,
    folder: Path,
    strategies: Sequence[Strategy],
    assistant: Experiment | None = None,
    callbacks: Sequence[Any] = (),
) -> None:
    """Train the students of `strategies` together and leave their records below `folder`; `callbacks` watch.

    Their teacher is the task's, or the one student of `assistant`. Under torchrun all its processes come here; each
    learns from its part of every batch, the first one writes.
    """
    shop = TeacherCache(config, locate(config, runs))
    require_comparable(config, shop)
    teacher, facts = shop.teacher()
    facts |= shop.baselines()
    if assistant is not None:
        teacher, facts = _taught(assistant, shop), {**facts, "assistant": {"experiment": assistant.id}}
    first = parallel.rank() == 0
    if first:
        write_json(folder / "experiment.json", {**_experiment_info(config, shop), **facts})
    task, models, students = make_students(config, shop, teacher, strategies)
    keeper = Checkpointer(folder / f"resume-{content_hash(*sorted(s.id for s in strategies))}.pt", code_fingerprint())
    done = _restore(keeper, folder, students)
    parallel.barrier()  # until everyone knows where to go on: the first now cuts the records there
    with shop.stages.stage("students"), ExitStack() as stack:
        infos = [(folder / s.id, run_info(config, s)) for s in strategies] if first else []
        writers = [stack.enter_context(Writer(place, info, done)) for place, info in infos]
        watchers = [*enabled_watchers(), *callbacks]
        watched = [WatchedRun(place.resolve(), info, done) for place, info in infos if watchers]
        watching = [stack.enter_context(Watching(run, watchers)) for run in watched]
        _train(config, task, students, models, writers, keeper, done, watching)
    if first:
        drop_parts(folder)
        write_json(folder / "seconds.json", {k: round(v, 1) for k, v in shop.stages.seconds.items()})
    for student, writer in zip(students, writers, strict=False):
        save_model(student.model, writer.folder / "student.safetensors")
    for student, writer in zip(students, writers, strict=False):  # last: what is done is not looked at again
        write_json(writer.folder / "done.json", {"steps": config.training.steps, "stopped": student.stopped})
    for each in watching:
        each.tell("end", why_stopped(each.run.folder))
    if first:
        keeper.drop()
        _drop_finished(folder)
    parallel.barrier()


def require_comparable(config: Config, cache: TeacherCache) -> None:
    """Refuse a student and a teacher whose layers have unlike numbers of positions, before either is made."""
    small, large = student_config(config, cache.vocabulary), coca_config(config, "teacher", cache.vocabulary)
    require_same_tokens(small, large, config)


def make_students(
    config: Config, cache: TeacherCache, teacher: TaskModel, strategies: Sequence[Strategy]
) -> tuple[CoCaDistillation, list[TaskModel], list[Student]]:
    """What students learn from, and for each strategy a model and its student; all start alike."""
    base = cache.pretrained("base")
    models = [new_student(config, base, cache.data, stream_seed(config, "head")) for _ in strategies]
    task = CoCaDistillation(config, teacher, models[0], cache.data)
    shapes = [task.shapes(model) for model in (models[0], teacher)]
    students = [make_student(config, each, model, *shapes) for each, model in zip(strategies, models, strict=True)]
    return task, models, students


def _restore(keeper: Checkpointer, folder: Path, students: Sequence[Student]) -> int:
    """The steps that these students have behind them: by their own file, else by one that keeps others beside them,
    who have ended since."""
    parts, ids = {"students": Pupils(students)}, [student.strategy.id for student in students]
    for path in (keeper.path, *sorted(folder.glob("resume-*.pt"))):
        done = Checkpointer(path, keeper.code).restore(
            parts, lambda step: all(_recorded(folder / i, step) for i in ids)
        )
        if done:
            return done
    return 0


def _drop_finished(folder: Path) -> None:
    """Remove what is kept of students who have all ended: whoever was killed between their ends left it."""
    for path in folder.glob("resume-*.pt"):
        if all((folder / name / "done.json").exists() for name in saved_students(path)):
            path.unlink(missing_ok=True)


def _recorded(folder: Path, step: int) -> bool:
    """Whether a run's records reach so far."""
    lines = read_lines(folder / "steps.jsonl")
    return len(lines) >= step and lines[step - 1]["step"] == step


def _taught(assistant: Experiment, shop: TeacherCache) -> TaskModel:
    """The one student of an experiment, as a teacher."""
    shape = student_config(assistant.config, shop.vocabulary)
    model = for_task(build(shape, 0), shape, shop.data.task.pictures, len(shop.data.classes), 0)
    load_model(model, assistant.folder / assistant.only[0] / "student.safetensors")
    return model.to(device(shop.config.model.device)).eval().requires_grad_(False)


def _train(
    config: Config,
    task: CoCaDistillation,
    students: Sequence[Student],
    models: Sequence[TaskModel],
    writers: Sequence[Writer],
    keeper: Checkpointer,
    done: int,
    watching: Sequence[Watching],
) -> None:
    """The rounds after `done` steps; records reach the disk before the state that has them behind it.

    Without writers (a process that only helps) nothing is evaluated or written.
    """
    data = task.data
    when = evaluation_steps(config)
    description = f"{data.task.title}: {len(students)} students, seed {config.seed}, rounds"
    rounds = distill(config, task, students, done)
    for step, taken in progress(rounds, description, total=config.rounds, done=done // config.distillation.round_steps):
        if not writers:
            continue
        lines = evaluation_records(config, task.teacher, models, data, step) if step in when else [[] for _ in students]
        for writer, (rounds, steps), evals in zip(writers, taken, lines, strict=True):
            writer.append("rounds", rounds)
            writer.append("steps", steps)
            writer.append("evals", evals)
            writer.flush()
        for watched, (rounds, steps), evals in zip(watching, taken, lines, strict=False):
            watched.tell_records(rounds, steps, evals)
        if step < config.training.steps and all(student.ends(step) for student in students):
            keeper.keep(step, {"students": Pupils(students)})


def evaluation_steps(config: Config) -> set[int]:
    """The ends of `config.evaluation.evaluations` evenly spaced rounds, the last one among them."""
    rounds = {
        round(config.rounds * n / config.evaluation.evaluations) for n in range(1, config.evaluation.evaluations + 1)
    } - {0}
    return {number * config.distillation.round_steps for number in rounds}


def evaluation_records(
    config: Config, teacher: TaskModel, models: Sequence[TaskModel], data: TaskData, step: int
) -> list[list[dict[str, Any]]]:
    """Each model's lines for evals.jsonl: on dev, and after the last step on all of dev and test.

    Nothing before the end has seen the test split.
    """
    last = step == config.training.steps
    lines: list[list[dict[str, Any]]] = [[] for _ in models]
    for name, split in (("dev", data.dev), ("test", data.test)) if last else (("dev", data.dev),):
        rows = evaluation_rows(data, split, 0 if last else config.evaluation.eval_examples)
        for line, result in zip(
            lines, evaluate(models, teacher, data, split, rows, config.evaluation.eval_batch), strict=True
        ):
            moment = {"step": step, "round": step // config.distillation.round_steps, "split": name}
            line += [{**moment, "metric": metric, "value": value} for metric, value in result.metrics().items()]
    return lines


def _experiment_info(config: Config, shop: TeacherCache) -> dict[str, Any]:
    data = shop.data
    skipped = [reason for split in (data.train, data.dev, data.test) for reason in split.skipped]
    return {
        "config": flat(config),
        "code": code_fingerprint(),
        "data": str(shop.source.folder),
        "data_fingerprint": shop.source.fingerprint,
        "counts": {split.name: len(split.first_rows()) for split in (data.train, data.dev, data.test)},
        "classes": len(data.classes),
        "skipped": {"count": len(skipped), "first": skipped[:10]},
        "versions": {name: version(name) for name in ("torch", "open_clip_torch", "numpy", "timm")},
        "device": torch.cuda.get_device_name() if (where := device(config.model.device)).type == "cuda" else where.type,
    }


def run_info(config: Config, strategy: Strategy) -> dict[str, Any]:
    """What run.json says of a strategy's run."""
    own = strategy.configure(config)
    info = {
        "strategy": name_of(strategy.text),
        "code": code_fingerprint(),
        **{k: getattr(strategy, k) for k in ("text", "arm", "policy", "parameters", "reward")},
    }
    source = strategy.own.source
    info |= {"own": {"id": source.id, "source": source.texts}} if source.id else {}
    return {**info, **{name: getattr(own.distillation, name) for name in OWN}, "config": flat(own)}
