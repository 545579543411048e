"""Algorithm 1 of arXiv 2310.04550, for a population of students that share one teacher.

All students see the same batches; the teacher runs once a batch for all of them, and only the modules that some arm of
the round needs. Inside a round nothing waits for the device; each round ends with one transfer.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from optima_lab.bandits.arms import ARMS, MODULES, Arm, label, parse_arm
from optima_lab.bandits.policies import Policy, Selection, State, make_policy
from optima_lab.config import Config
from optima_lab.data.batches import probe
from optima_lab.data.corpus import TaskData
from optima_lab.distill import losses as eq
from optima_lab.distill.grids import between, resampled
from optima_lab.distill.losses import Losses
from optima_lab.distill.models import Projections, TaskModel, matched_layer
from optima_lab.distill.optimize import build_optimizer, schedule, update
from optima_lab.distill.rewards import ProbeLosses, reward
from optima_lab.distill.strategies import Strategy
from optima_lab.distill.tasks import (
    DeviceBatch,
    device,
    head_dropout,
    logits,
    mix,
    prediction_kl,
    to_device,
    training_batch,
    training_loss,
)
from optima_lab.distill.walk import Trace, View, every_layer, walk

EVERYTHING = frozenset(MODULES)


@dataclass
class Student:
    """One student of a population: its model, how its arms are chosen, and what it is about to learn from."""

    strategy: Strategy
    model: TaskModel
    projections: Projections
    optimizer: torch.optim.Optimizer
    alpha: tuple[float, float, float]
    policy: Policy | None
    state: State
    generator: np.random.Generator
    arm: Arm = frozenset()
    selection: Selection | None = None
    before: ProbeLosses | None = None
    steps: list[Tensor] = field(default_factory=list)

    def choose(self) -> None:
        """Lines 5–8: draw r̂_k for every arm and take the largest; a fixed strategy has nothing to draw."""
        if self.policy is not None:
            self.selection = self.policy.select(self.state, self.generator)
            self.arm = ARMS[int(self.selection.arm[0])]
        elif self.strategy.arm:
            self.arm = parse_arm(self.strategy.arm)


@dataclass(frozen=True)
class Target:
    """What the teacher says to one batch; `logits` only where a KL is wanted."""

    trace: Trace
    logits: Tensor | None


def make_student(config: Config, strategy: Strategy, model: TaskModel, teacher: TaskModel) -> Student:
    """A student ready for its first round; its W^i and its bandit have random streams of their own."""
    projections = Projections(model, teacher, seed=mix(config.seed, 1)).to(device())
    optimizer = build_optimizer(config.optimizer, [(model, config.lr), (projections, config.lr)], config.weight_decay)
    policy = make_policy(strategy.policy, **strategy.parameters) if strategy.policy else None
    generator = np.random.default_rng(mix(config.seed, 2))
    state = policy.init(len(ARMS), 1, generator) if policy else {}
    layered = bool(strategy.arm or policy)
    alpha_kl = config.alpha_kl if strategy.alpha_kl is None else strategy.alpha_kl
    alpha = (alpha_kl, config.alpha_hidden * layered, config.alpha_attention * layered)
    return Student(strategy, model, projections, optimizer, alpha, policy, state, generator)


def distill(
    config: Config, teacher: TaskModel, students: Sequence[Student], data: TaskData
) -> Iterator[tuple[int, list[dict[str, Any]], list[list[dict[str, Any]]]]]:
    """Algorithm 1: after every round, (round, one record a student, the round's step records of each student)."""
    bench = Bench(config, teacher, students, data)
    for student in students:
        student.before = bench.measure(student)

    for round in range(1, config.rounds + 1):  # line 4
        for student in students:
            student.choose()  # lines 5–8
        needed = frozenset().union(*(student.arm for student in students))

        # ---- one round: P steps with the chosen arms, no wait for the device --------------------------------------
        for step in range((round - 1) * config.round_steps + 1, round * config.round_steps + 1):  # line 10
            batch = training_batch(config, data, config.batch_size, config.seed, step)
            keep = head_dropout(students[0].model, batch, config.dropout, config.seed, step)
            target = bench.ask_teacher(batch, needed)
            share = schedule(step, config.steps, config.warmup_steps)
            for student in students:
                losses = bench.compare(student, student.arm, batch, target, keep)  # line 11
                total = eq.total_loss(losses, student.alpha)
                update(student.optimizer, total, share, config.clip)  # lines 12–13
                student.steps.append(stack(losses, total))
        # -----------------------------------------------------------------------------------------------------------

        records = [bench.close_round(student, round) for student in students]  # lines 16–18
        yield round, records, [bench.step_records(student, round) for student in students]


class Bench:
    """What all students of a population share: the teacher, the probe batch with the teacher's answers, the view."""

    def __init__(self, config: Config, teacher: TaskModel, students: Sequence[Student], data: TaskData) -> None:
        self.config, self.teacher, self.data = config, teacher, data
        self.view = View(config.attention, config.decoder_attention)
        self.student_layers = every_layer(students[0].model.coca)
        self.teacher_layers = {
            module: [matched_layer(i, len(layers), teacher.depth(module)) for i in layers]
            for module, layers in self.student_layers.items()
        }
        self.grid = between(teacher, students[0].model) if config.resample else None
        self.wants_kl = any(student.alpha[0] for student in students)
        rows = probe(config.seed, len(data.train.tokens), config.probe_size)
        self.probe = to_device(data.train.take(rows), device())
        self.probe_target = self.ask_teacher(self.probe, EVERYTHING, predict=True)

    @torch.no_grad()
    def ask_teacher(self, batch: DeviceBatch, arm: Arm, predict: bool = False) -> Target:
        """The teacher's hidden states and attention of an arm's modules; nothing else is run."""
        predict = predict or self.wants_kl
        run = EVERYTHING if predict else arm
        collect = {module: self.teacher_layers[module] for module in arm}
        trace = walk(self.teacher.coca, batch.images, batch.tokens, run=run, collect=collect, view=self.view)
        return Target(resampled(trace, self.grid), logits(self.teacher, trace) if predict else None)

    def compare(
        self, student: Student, arm: Arm, batch: DeviceBatch, target: Target, keep: Tensor | None = None
    ) -> Losses:
        """One student's losses on a batch, hidden states and attention over the layers of `arm`."""
        collect = {module: self.student_layers[module] for module in arm}
        trace = walk(student.model.coca, batch.images, batch.tokens, collect=collect, view=self.view)
        prediction = logits(student.model, trace, keep)
        pad = self.data.tokenizer.pad
        train = training_loss(self.data.task, prediction, batch, pad)
        kl = None
        if target.logits is not None and (student.alpha[0] or not torch.is_grad_enabled()):
            kl = prediction_kl(self.data.task, prediction, target.logits, batch, pad)
        if not arm:
            return Losses(train, kl)
        hidden = eq.hidden_loss(trace, target.trace, student.projections, arm)
        return Losses(train, kl, hidden, eq.attention_loss(trace, target.trace, arm))

    @torch.no_grad()
    def measure(self, student: Student) -> ProbeLosses:
        """The losses of Eq. 6 on the probe, over all layers: one wait for the device."""
        losses = self.compare(student, EVERYTHING, self.probe, self.probe_target)
        values = stack(losses, losses.train).tolist()
        return ProbeLosses(*values[:4])

    def close_round(self, student: Student, round: int) -> dict[str, Any]:
        """Reward the round's arm (Eq. 6), update the bandit (Eq. 7), and say what happened as a record."""
        before, after = student.before, self.measure(student)
        assert before is not None
        value = reward(before, after, student.strategy.reward)
        old, student.before = student.state, after
        if student.policy is not None and student.selection is not None:
            student.state = student.policy.update(student.state, student.selection.arm, np.array([value.value]))
        return {
            "round": round,
            "step": round * self.config.round_steps,
            "arm": label(student.arm) or None,
            "initial": bool(student.selection.initial) if student.selection else False,
            "draws": _row(student.selection.scores) if student.selection else None,
            "mean_before": _row(old.get("mean")),
            "mean_after": _row(student.state.get("mean")),
            "plays_before": _row(old.get("plays")),
            "plays_after": _row(student.state.get("plays")),
            "reward": value.value,
            **{f"ratio_{name}": getattr(value, name) for name in ("kl", "hidden", "attention")},
            **{f"probe_{name}": getattr(after, name) for name in ProbeLosses._fields},
        }

    def step_records(self, student: Student, round: int) -> list[dict[str, Any]]:
        """The round's losses, brought to the host in one transfer; None where a loss was not computed."""
        rows = torch.stack(student.steps).tolist()
        student.steps.clear()
        first = (round - 1) * self.config.round_steps + 1
        names = ("train", "kl", "hidden", "attention", "total")
        records = []
        for step, row in enumerate(rows, first):
            values = {
                name: None if np.isnan(v) and name in _absent(student) else v
                for name, v in zip(names, row, strict=True)
            }
            lr = self.config.lr * schedule(step, self.config.steps, self.config.warmup_steps)
            records.append({"step": step, **values, "lr": lr})
        return records


def _absent(student: Student) -> tuple[str, ...]:
    return (*(["kl"] * (not student.alpha[0])), *(["hidden", "attention"] * (not student.arm)))


def stack(losses: Losses, total: Tensor) -> Tensor:
    """(5,): train, kl, hidden, attention, total; NaN stands for a loss that was not computed."""
    missing = torch.full_like(losses.train, float("nan"))
    parts = (losses.train, losses.kl, losses.hidden, losses.attention, total)
    return torch.stack([missing if part is None else part.detach() for part in parts])


def _row(array: np.ndarray | None) -> list[float | None] | None:
    """The one replication's row of a bandit array as plain numbers; None where there is none."""
    if array is None:
        return None
    return [float(value) if np.isfinite(value) else None for value in array[0]]
