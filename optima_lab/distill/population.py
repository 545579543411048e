"""Many students, one teacher: all see the same batches, and the teacher runs once a batch for all of them.

Nothing here knows which models these are: a `DistillationTask` runs them and says what a batch is.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from optima_lab.bandits.arms import Arm
from optima_lab.config import Config
from optima_lab.distill import losses as eq
from optima_lab.distill import parallel
from optima_lab.distill.layers import ModuleShape
from optima_lab.distill.losses import Losses, Matched, MicrobatchWeights
from optima_lab.distill.optim import apply, schedule
from optima_lab.distill.parallel import device
from optima_lab.distill.stacked import Stack, make_stacks
from optima_lab.distill.student import Student, loss_row
from optima_lab.distill.trace import AttentionSpec, Features

B = TypeVar("B", bound="Batch")


class Batch(ABC):
    """Examples on the device."""

    @abstractmethod
    def __len__(self) -> int:
        """How many."""

    @abstractmethod
    def part(self: B, rows: slice) -> B:
        """Some of them."""


Required = Mapping[AttentionSpec, tuple[Arm, bool]]  # for each kind of attention: modules to match, whether to predict


@dataclass(frozen=True)
class TeacherOutput:
    """What the teacher says to one batch; `logits` only where a KL is wanted."""

    features: Features
    logits: Tensor | None


class DistillationTask(ABC, Generic[B]):
    """A teacher, models of one shape to be its students, and the batches they learn from.

    Batches are functions of the step alone, so that a run goes on anywhere. Modules are named by `modules`.
    """

    modules: tuple[str, ...]

    @abstractmethod
    def shapes(self, model: nn.Module) -> dict[str, ModuleShape]:
        """Layers and width of every module of a student or the teacher."""

    @abstractmethod
    def probe_batch(self) -> B:
        """The fixed training examples on which rewards are measured."""

    @abstractmethod
    def batch(self, step: int) -> B:
        """The whole batch of a step (from 1)."""

    @abstractmethod
    def dropout(self, batch: B, step: int) -> Tensor | None:
        """(example, feature): the task layer's scaled dropout mask of a step, the same for every student."""

    @abstractmethod
    def microbatch_weights(self, part: B, whole: B, spec: AttentionSpec) -> MicrobatchWeights:
        """How much of the whole batch's means belongs to a part, so that the parts' losses add up to its own."""

    @abstractmethod
    def teacher_forward(self, batch: B, required: Required) -> dict[AttentionSpec, TeacherOutput]:
        """The teacher's hidden states and attention of the required modules; nothing else is run."""

    @abstractmethod
    def student_forward(
        self, model: nn.Module, batch: B, arm: Arm, spec: AttentionSpec, keep: Tensor | None = None
    ) -> tuple[Features, Tensor]:
        """A student's features of the arm's modules, all layers, and its prediction."""

    @abstractmethod
    def training_loss(self, prediction: Tensor, batch: B) -> Tensor:
        """L_train of Eq. 1, a scalar."""

    @abstractmethod
    def prediction_kl(self, student: Tensor, teacher: Tensor, batch: B, temperature: float) -> Tensor:
        """D_KL of Eq. 1 between two predictions, a scalar; both are softened by the temperature."""


@dataclass(frozen=True)
class TeacherBatch(Generic[B]):
    """What all students learn from: a batch or a piece of it, the teacher's answers, dropout, its share of means."""

    batch: B
    answers: Mapping[AttentionSpec, TeacherOutput]
    keep: Tensor | None = None
    weights: Mapping[AttentionSpec, MicrobatchWeights] = field(default_factory=dict)


def required_outputs(students: Sequence[Student]) -> dict[AttentionSpec, tuple[Arm, bool]]:
    """What the teacher must say now: for every kind of attention the modules to match, and whether to predict."""
    required: dict[AttentionSpec, tuple[Arm, bool]] = {}
    for student in students:
        arm, predict = required.get(student.spec, (frozenset(), False))
        asked = bool(student.alpha[0] or student.strategy.own.losses)
        required[student.spec] = (arm | student.matched(student.arm), predict or asked)
    return required


class Population(Generic[B]):
    """Students that share a teacher, their batches, and the probe batch with the teacher's answers."""

    def __init__(self, config: Config, task: DistillationTask[B], students: Sequence[Student]) -> None:
        self.config, self.task = config, task
        self.everything = frozenset(task.modules)
        batch = task.probe_batch()
        required = dict.fromkeys(required_outputs(students), (self.everything, True))
        self.probe = TeacherBatch(batch, task.teacher_forward(batch, required))
        self._stacks: list[Stack] = []
        self._stacked: set[int] = set()

    def step(self, students: Sequence[Student], step: int) -> None:
        """One step of these students with the arms they have chosen: nothing here waits for the device.

        In bf16 the matrix products of both models are; weights, losses and updates, and the probe, stay in fp32.
        """
        training, optim = self.config.training, self.config.optim
        stacks, lone = self._together(students)
        for each in (*stacks, *lone):
            each.begin_step()
        for piece in self.pieces(step, students):  # one, unless the batch is accumulated
            for each in stacks:
                with self.precision():
                    each.learn(self.compare, piece)
            for student in lone:
                with self.precision():
                    losses = self.compare(student, student.arm, piece)  # line 11
                total = eq.total_loss(losses, student.alpha, student.config.distillation.task_weight)
                total.backward()
                student.note(loss_row(losses, total))
        for each in stacks:
            each.hand_out()
        share = schedule(step, training.steps, training.warmup_steps)
        for student in students:
            parallel.all_reduce_gradients(student.optimizer)
            apply(student.optimizer, share, optim.clip)  # lines 12–13

    def precision(self) -> torch.autocast:
        """Where matrix products of a step are computed as the configuration says."""
        where, half = device(self.config.model.device), self.config.distillation.precision == "bf16"
        return torch.autocast(where.type, torch.bfloat16, enabled=half)

    def pieces(self, step: int, students: Sequence[Student]) -> Iterator[TeacherBatch[B]]:
        """A step's batch, this process's pieces of it, with what the teacher says: decided by step and arms alone."""
        required = required_outputs(students)
        whole = self.task.batch(step)
        keep = self.task.dropout(whole, step)
        for rows in parallel.parts(len(whole), self.config.distillation.accumulate):
            batch = whole if rows == slice(0, len(whole)) else whole.part(rows)
            weights = (
                {} if batch is whole else {spec: self.task.microbatch_weights(batch, whole, spec) for spec in required}
            )
            with self.precision():
                answers = self.task.teacher_forward(batch, required)
            yield TeacherBatch(batch, answers, None if keep is None else keep[rows], weights)

    def compare(self, student: Student, arm: Arm, piece: TeacherBatch[B]) -> Losses:
        """One student's losses on a batch, hidden states and attention over the layers of `arm`, and of the other
        modules where they weigh something."""
        batch, answer, matched = piece.batch, piece.answers[student.spec], student.matched(arm)
        features, prediction = self.task.student_forward(student.model, batch, matched, student.spec, piece.keep)
        weights = piece.weights.get(student.spec, eq.WHOLE)
        train = eq.scaled(self.task.training_loss(prediction, batch), weights.train)
        kl = None
        if answer.logits is not None and (student.alpha[0] or not torch.is_grad_enabled()):
            temperature = student.config.distillation.kl_temperature
            kl = eq.scaled(self.task.prediction_kl(prediction, answer.logits, batch, temperature), weights.train)
        functions, own = student.strategy.own.losses, ()
        if functions:
            said = None if answer.logits is None else answer.logits.clone()
            theirs = eq.differentiable(answer.features, arm)
            seen = Matched(arm, features, theirs, student.projections, prediction, said)
            own = tuple(eq.scaled(loss, weights.train) for loss in eq.own_losses(functions, seen))
        if not arm:
            return Losses(train, kl, own=own)
        if matched != arm:
            weights = eq.emphasized(weights, features, arm, student.config.distillation.unchosen_weight)
        hidden = eq.hidden_loss(features, answer.features, student.projections, matched, weights)
        return Losses(train, kl, hidden, eq.attention_loss(features, answer.features, matched, weights), own)

    def _together(self, students: Sequence[Student]) -> tuple[list[Stack], list[Student]]:
        """Those who go through one forward, where the configuration says so, and the others."""
        if not self.config.distillation.stacked:
            return [], list(students)
        ids = {id(student) for student in students}
        if ids != self._stacked:  # the first step, and after somebody has stopped
            self._stacked, self._stacks = ids, make_stacks(students)
        among = {id(student) for each in self._stacks for student in each.students}
        return self._stacks, [student for student in students if id(student) not in among]

    @torch.inference_mode()
    def measure(self, students: Sequence[Student]) -> list[Tensor]:
        """Of each (5 + own,): the losses of Eq. 6 on the probe over all layers, a copy of the first, the user's own."""
        rows: dict[int, Tensor] = {}
        asked = {id(student) for student in students}
        for each in self._stacks:
            ids = [id(student) for student in each.students]
            if asked.issuperset(ids):
                rows |= zip(ids, each.measure(self.compare, self.everything, self.probe), strict=True)
        return [rows[id(student)] if id(student) in rows else self._measure(student) for student in students]

    def _measure(self, student: Student) -> Tensor:
        losses = self.compare(student, self.everything, self.probe)
        return loss_row(losses, losses.train)
