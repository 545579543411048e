"""Students of one shape in one forward: their parameters lie in one tensor each, and batched products serve them all.

Small models one after the other leave most of a GPU idle. Losses, gradients, clipping and optimizers stay each
student's own: those who stop, or whose arms differ, are what they would be alone.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from optima_lab.bandits.arms import Arm
from optima_lab.distill.losses import WHOLE, Losses, emphasis, scaled
from optima_lab.distill.student import Student

Compare = Callable[[Student, Arm, Any], Losses]  # `Population.compare`: a student, modules, a `TeacherBatch`


class Stack:
    """Students whose shapes and kinds of losses are equal; the parameters of each are slices of the stack's own."""

    def __init__(self, students: Sequence[Student]) -> None:
        self.students = list(students)
        self._learner = _Learner(students[0])
        self._own = [dict(_Learner(student).named_parameters()) for student in students]
        self._whole = {
            name: nn.Parameter(torch.stack([own[name].detach() for own in self._own]), one.requires_grad)
            for name, one in self._own[0].items()
        }
        for name, whole in self._whole.items():
            for own, part in zip(self._own, whole.detach(), strict=True):
                own[name].data = part
        self._arms: list[Arm] = []
        self._matched: Arm = frozenset()
        self._shares: dict[str, Tensor] = {}
        self._weights = self._noted = torch.empty(0)

    def begin_step(self) -> None:
        """No gradient and no loss so far."""
        for whole in self._whole.values():
            whole.grad = None
        for student in self.students:
            student.begin_step()
        if self._arms != [student.arm for student in self.students]:
            self._choose()

    def _choose(self) -> None:
        """What follows from the arms, until they change: modules to match, and what each student makes of them."""
        self._arms = [student.arm for student in self.students]
        self._matched = frozenset[str]().union(*(student.matched(student.arm) for student in self.students))
        layers = {module: len(getattr(self._learner.projections, module)) for module in sorted(self._matched)}
        shares = [emphasis(layers, s.arm, s.config.distillation.unchosen_weight) for s in self.students]
        where = next(iter(self._whole.values())).device
        self._shares = {m: torch.tensor([share[m] for share in shares], device=where) for m in layers}
        weights = [(s.config.distillation.task_weight, *s.alpha) for s in self.students]
        self._weights = torch.tensor(weights, device=where)
        noted = [(True, bool(s.alpha[0]), bool(s.arm), bool(s.arm)) for s in self.students]
        self._noted = torch.tensor(noted, device=where)

    def learn(self, compare: Compare, piece: Any) -> None:
        """A piece's losses and gradients, added to the open step's."""
        table = self._losses(compare, self._matched, piece, self._shares)
        total = torch.where(self._weights != 0.0, self._weights * table, 0.0).sum(1)
        total.sum().backward()
        rows = torch.cat([table.where(self._noted, float("nan")), total[:, None]], 1).detach()
        for student, row in zip(self.students, rows, strict=True):
            student.note(row)

    def measure(self, compare: Compare, arm: Arm, batch: Any) -> Tensor:
        """(student, 5): the losses of Eq. 6 on a batch over all layers of `arm`, and a copy of the first."""
        table = self._losses(compare, arm, batch, {})
        return torch.cat([table, table[:, :1]], 1)

    def hand_out(self) -> None:
        """Every student its gradients; what its own losses do not reach has none, as alone."""
        bridged = [s.matched(s.arm) if s.alpha[1] else frozenset[str]() for s in self.students]
        for name, whole in self._whole.items():
            part, module, *_ = name.split(".")
            gradients = [None] * len(self._own) if whole.grad is None else whole.grad.unbind()
            for own, modules, gradient in zip(self._own, bridged, gradients, strict=True):
                own[name].grad = gradient if part == "model" or module in modules else None

    def _losses(self, compare: Compare, arm: Arm, piece: Any, shares: dict[str, Tensor]) -> Tensor:
        """(student, 4): train, kl, hidden, attention; 0 for what is not computed. `shares` (student,) weigh modules."""
        student = self.students[0]
        weights = piece.weights.get(student.spec, WHOLE)

        def one(parameters: Mapping[str, Tensor], share: dict[str, Tensor]) -> Tensor:
            tokens, pairs = (
                {**of, **{m: scaled(s, of.get(m, 1.0)) for m, s in share.items()}}
                for of in (weights.tokens, weights.pairs)
            )
            own = replace(piece, weights={student.spec: replace(weights, tokens=tokens, pairs=pairs)})
            with _batching(parameters):
                losses = functional_call(self._learner, dict(parameters), (lambda: compare(student, arm, own),))
            parts = (losses.train, losses.kl, losses.hidden, losses.attention)
            return torch.stack([torch.zeros_like(losses.train) if part is None else part for part in parts])

        return vmap(one)(self._whole, shares)


class _Learner(nn.Module):
    """What of a student has parameters; its forward is what it is called with."""

    def __init__(self, student: Student) -> None:
        super().__init__()
        self.model, self.projections = student.model, student.projections

    def forward(self, run: Callable[[], Losses]) -> Losses:
        return run()


def _batching(parameters: Mapping[str, Tensor]) -> AbstractContextManager[Any]:
    """Attention by a kernel that many models can share: the CPU's fused one would be called for each in turn."""
    on_cpu = all(parameter.device.type == "cpu" for parameter in parameters.values())
    return sdpa_kernel(SDPBackend.MATH) if on_cpu else nullcontext()


def make_stacks(students: Sequence[Student]) -> list[Stack]:
    """Those of them that can be stacked: two at least whose kinds of losses are equal, and none of the user's own."""
    kinds: dict[Any, list[Student]] = {}
    for student in students:
        if not student.strategy.own.losses:
            c = student.config.distillation
            kinds.setdefault((student.spec, bool(student.alpha[0]), c.kl_temperature), []).append(student)
    return [Stack(group) for group in kinds.values() if len(group) > 1]
