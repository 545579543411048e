"""Algorithm 1 of arXiv 2310.04550, for a population of students that share one teacher.

All students see the same batches; the teacher runs once a batch for all of them, and only the modules that some arm of
the moment needs. Inside a round nothing waits for the device; its end is one transfer.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from optima_lab.bandits.arms import MODULES, Arm
from optima_lab.config import Config
from optima_lab.data.batches import probe
from optima_lab.data.corpus import TaskData
from optima_lab.distill import losses as eq
from optima_lab.distill import together
from optima_lab.distill.compiled import compiled
from optima_lab.distill.failures import explain, sound
from optima_lab.distill.grids import between, resampled
from optima_lab.distill.losses import Losses, Shares
from optima_lab.distill.models import TaskModel, matched_layer
from optima_lab.distill.optimize import apply, schedule
from optima_lab.distill.rewards import ProbeLosses
from optima_lab.distill.student import Student, stack
from optima_lab.distill.tasks import (
    DeviceBatch,
    device,
    head_dropout,
    logits,
    prediction_kl,
    real_next_tokens,
    to_device,
    training_batch,
    training_loss,
)
from optima_lab.distill.walk import Trace, View, decoded, every_layer, mask_counts, walk

EVERYTHING = frozenset(MODULES)
ENCODERS = EVERYTHING - {"decoder"}
Records = list[dict[str, Any]]


def distill(
    config: Config, teacher: TaskModel, students: Sequence[Student], data: TaskData, done: int = 0
) -> Iterator[tuple[int, list[tuple[Records, Records]]]]:
    """Algorithm 1 after `done` steps: every P steps (the step, each student's new round records and step records).

    A strategy with a P of its own has more or fewer rounds than the others, and no record in the middle of one. A
    student whose numbers go wrong stops alone (`Student.stopped`), with the last good state.
    """
    bench = Bench(config, teacher, students, data)
    if not done:
        for student in students:
            student.before = ProbeLosses(*bench.measure(student).tolist()[:4])

    for step in range(done + 1, config.steps + 1):  # line 4, and line 10 within a round
        active = [student for student in students if not student.stopped]
        for student in active:
            if student.begins(step):
                student.choose()  # lines 5–8

        bench.step(active, step)  # lines 9–13
        bench.close_rounds([student for student in active if student.ends(step)], step)  # lines 16–18
        if step % config.round_steps == 0:
            yield step, [student.take() for student in students]


@dataclass(frozen=True)
class Target:
    """What the teacher says to one batch; `logits` only where a KL is wanted."""

    trace: Trace
    logits: Tensor | None


@dataclass(frozen=True)
class Lesson:
    """What all students learn from: a batch or a piece of it, the teacher's answers, dropout, its share of means."""

    batch: DeviceBatch
    targets: Mapping[View, Target]
    keep: Tensor | None = None
    shares: Mapping[View, Shares] = field(default_factory=dict)


def wanted(students: Sequence[Student]) -> dict[View, tuple[Arm, bool]]:
    """What the teacher must say now: for every view of attention the modules to match, and whether to predict."""
    views: dict[View, tuple[Arm, bool]] = {}
    for student in students:
        arm, predict = views.get(student.view, (frozenset(), False))
        views[student.view] = (arm | student.arm, predict or bool(student.alpha[0]))
    return views


class Bench:
    """What all students of a population share: the teacher, and the probe batch with the teacher's answers."""

    def __init__(self, config: Config, teacher: TaskModel, students: Sequence[Student], data: TaskData) -> None:
        self.config, self.teacher, self.data = config, teacher, data
        fast = config.compiled and not config.plain
        self.walk, self.decoded = (compiled(walk), compiled(decoded)) if fast else (walk, decoded)
        self.model = students[0].model  # they are all of one shape
        self.student_layers = every_layer(self.model.coca)
        self.teacher_layers = {
            module: [matched_layer(i, len(layers), teacher.depth(module)) for i in layers]
            for module, layers in self.student_layers.items()
        }
        self.grid = between(teacher, self.model) if config.resample else None
        rows = probe(config.seed, len(data.train.tokens), config.probe_size)
        batch = to_device(data.train.take(rows), device())
        self.probe = Lesson(batch, self.ask_teacher(batch, dict.fromkeys(wanted(students), (EVERYTHING, True))))

    def step(self, students: Sequence[Student], step: int) -> None:
        """One step of these students with the arms they have chosen: nothing here waits for the device.

        In bf16 the matrix products of both models are; weights, losses and updates, and the probe, stay in fp32.
        """
        for student in students:
            student.begin_step()
        for lesson in self.lessons(step, students):  # one, unless the batch comes in pieces
            for student in students:
                with self.precision():
                    losses = self.compare(student, student.arm, lesson)  # line 11
                total = eq.total_loss(losses, student.alpha)
                total.backward()
                student.note(losses, total)
        share = schedule(step, self.config.steps, self.config.warmup_steps)
        for student in students:
            together.add_up_gradients(student.optimizer)
            apply(student.optimizer, share, self.config.clip)  # lines 12–13

    def precision(self) -> torch.autocast:
        """Where matrix products of a step are computed as the configuration says."""
        return torch.autocast(device().type, torch.bfloat16, enabled=self.config.precision == "bf16")

    def lessons(self, step: int, students: Sequence[Student]) -> Iterator[Lesson]:
        """A step's batch, this process's pieces of it, with what the teacher says: decided by step and arms alone."""
        c, views = self.config, wanted(students)
        whole = training_batch(c, self.data, c.batch_size, c.seed, step)
        keep = head_dropout(self.model, whole, c.dropout, c.seed, step)
        for rows in together.parts(len(whole), c.accumulate):
            batch = whole if rows == slice(0, len(whole)) else whole.part(rows)
            shares = {} if batch is whole else {view: self._shares(batch, whole, view) for view in views}
            with self.precision():
                targets = self.ask_teacher(batch, views)
            yield Lesson(batch, targets, None if keep is None else keep[rows], shares)

    def _shares(self, part: DeviceBatch, whole: DeviceBatch, view: View) -> Shares:
        """How much of the whole batch's means belongs to a part, so that the parts' losses add up to its own."""
        ours, all = (mask_counts(self.model.coca, b.tokens, self.data.task.pictures, view) for b in (part, whole))
        examples = len(part) / len(whole)
        tokens, pairs = ({m: ours[m][kind] / all[m][kind] for m in ours} | {"image": examples} for kind in (0, 1))
        pad = self.data.tokenizer.pad
        words = [real_next_tokens(b.tokens, pad).sum() for b in (part, whole)] if self.data.task.captions else []
        return Shares(words[0] / words[1] if words else examples, tokens, pairs)

    @torch.inference_mode()
    def ask_teacher(self, batch: DeviceBatch, views: Mapping[View, tuple[Arm, bool]]) -> dict[View, Target]:
        """The teacher's hidden states and attention of the views' modules, nothing else is run.

        Views of the same attention share one walk of the encoders; the decoder is walked once a view.
        """
        coca, layers, pictures = self.teacher.coca, self.teacher_layers["decoder"], batch.images.shape[1]
        encoded = {kind: self._encode(batch, kind, views) for kind in {view.attention for view in views}}
        targets = {}
        for view, (arm, predict) in views.items():
            trace, noted = encoded[view.attention], layers if "decoder" in arm else ()
            if predict or noted:
                trace = self.decoded(coca, batch.tokens, pictures, trace, noted, view)
            targets[view] = Target(trace, logits(self.teacher, trace) if predict else None)
        return targets

    def _encode(self, batch: DeviceBatch, kind: str, views: Mapping[View, tuple[Arm, bool]]) -> Trace:
        """One walk of the encoders that views of this kind of attention match or decode from, on the student's grid."""
        needs = [need for view, need in views.items() if view.attention == kind]
        matched = frozenset[str]().union(*(arm for arm, _ in needs))
        run = ENCODERS if "decoder" in matched or any(predict for _, predict in needs) else matched
        collect = {module: self.teacher_layers[module] for module in matched & ENCODERS}
        patches = batch.patches(self.teacher.patch_size)
        trace = self.walk(self.teacher.coca, patches, batch.tokens, run=run, collect=collect, view=View(kind))
        return resampled(trace, self.grid)

    def compare(self, student: Student, arm: Arm, lesson: Lesson) -> Losses:
        """One student's losses on a batch, hidden states and attention over the layers of `arm`."""
        model, batch, target = student.model, lesson.batch, lesson.targets[student.view]
        pictures = batch.patches(model.patch_size)
        collect = {module: self.student_layers[module] for module in arm}
        trace = self.walk(model.coca, pictures, batch.tokens, collect=collect, view=student.view)
        prediction = logits(model, trace, lesson.keep)
        pad = self.data.tokenizer.pad
        shares = lesson.shares.get(student.view, eq.WHOLE)
        train = eq.scaled(training_loss(self.data.task, prediction, batch, pad), shares.train)
        kl = None
        if target.logits is not None and (student.alpha[0] or not torch.is_grad_enabled()):
            kl = eq.scaled(prediction_kl(self.data.task, prediction, target.logits, batch, pad), shares.train)
        if not arm:
            return Losses(train, kl)
        plain = self.config.plain
        hidden = eq.hidden_loss(trace, target.trace, student.projections, arm, shares, plain)
        return Losses(train, kl, hidden, eq.attention_loss(trace, target.trace, arm, shares, plain))

    @torch.inference_mode()
    def measure(self, student: Student) -> Tensor:
        """(5,): the losses of Eq. 6 on the probe, over all layers, then a copy of the first."""
        losses = self.compare(student, EVERYTHING, self.probe)
        return stack(losses, losses.train)

    def close_rounds(self, students: Sequence[Student], step: int) -> None:
        """Reward every student whose round ends here, from one transfer of all their losses."""
        if not students:
            return
        tables = [torch.stack([*student.steps, self.measure(student) / together.count()]) for student in students]
        together.add_up(tables)
        rows = iter(torch.cat(tables).tolist())  # the round's one wait for the device
        for student, table in zip(students, tables, strict=True):
            student.steps.clear()
            values = [next(rows) for _ in table]
            student.learn(step, values)
            if not sound(values):
                student.stopped = explain(self, student, step)
