"""One student of a population: its model, its own configuration, its bandit, and what it has to say of each round."""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from optima_lab.bandits.arms import ARMS, LWD, Arm, label, parse_arm
from optima_lab.bandits.policies import Policy, Selection, State
from optima_lab.config import Config
from optima_lab.distill.layers import ModuleShape, Projections
from optima_lab.distill.losses import Losses
from optima_lab.distill.optim import build_optimizer, schedule
from optima_lab.distill.own import short_name
from optima_lab.distill.parallel import device
from optima_lab.distill.rewards import ProbeLosses, per_cost, reward
from optima_lab.distill.rounds import round_record
from optima_lab.distill.seeds import stream_seed
from optima_lab.distill.strategies import Strategy
from optima_lab.distill.trace import AttentionSpec

LOSSES = ("train", "kl", "hidden", "attention", "total")


@dataclass
class Student:
    """A model being taught, how its arms are chosen, and what it is about to learn from.

    `config` is the population's with the strategy's changes. `steps` holds the open round's losses on the device;
    `rounds` and `lines` the records of finished rounds and their steps that nobody has taken yet. `good` is the state
    before the open round; `stopped` says why a student whose numbers went wrong learns no more.
    """

    strategy: Strategy
    config: Config
    model: nn.Module
    projections: Projections
    optimizer: torch.optim.Optimizer
    policy: Policy | None
    state: State
    generator: np.random.Generator
    arm: Arm = frozenset()
    selection: Selection | None = None
    before: ProbeLosses | None = None
    steps: list[Tensor] = field(default_factory=list)
    rounds: list[dict[str, Any]] = field(default_factory=list)
    lines: list[dict[str, Any]] = field(default_factory=list)
    good: dict[str, Any] = field(default_factory=dict)
    stopped: dict[str, Any] = field(default_factory=dict)

    @property
    def alpha(self) -> tuple[float, float, float]:
        """α1, α2, α3 of Eq. 5; a student without arms matches nothing layer by layer."""
        c, layered = self.config.distillation, bool(self.strategy.arm or self.policy)
        return c.alpha_kl, c.alpha_hidden * layered, c.alpha_attention * layered

    @property
    def losses(self) -> tuple[str, ...]:
        """The names of what a step records: `LOSSES`, and those of the user's own."""
        return LOSSES + tuple(f"own_{short_name(loss)}" for loss in self.strategy.own.losses)

    def matched(self, arm: Arm) -> Arm:
        """The modules that are matched where `arm` is played: its own, and the others where they weigh something."""
        return LWD if arm and self.config.distillation.unchosen_weight else arm

    @property
    def spec(self) -> AttentionSpec:
        """What of the attention this student matches."""
        return AttentionSpec(self.config.distillation.attention, self.config.distillation.decoder_attention)

    def begins(self, step: int) -> bool:
        """Whether a round of this student begins with `step` (from 1)."""
        return (step - 1) % self.config.distillation.round_steps == 0

    def ends(self, step: int) -> bool:
        """Whether a round of this student ends with `step`."""
        return step % self.config.distillation.round_steps == 0

    def is_full(self, step: int) -> bool:
        """Whether `step` is in one of the first `full_rounds`."""
        return step <= self.config.distillation.full_rounds * self.config.distillation.round_steps

    def parts(self) -> dict[str, Any]:
        """What training changes: model, projections, optimizer."""
        return {"model": self.model, "projections": self.projections, "optimizer": self.optimizer}

    def go_back(self) -> None:
        """To the state before the open round."""
        for name, part in self.parts().items():
            part.load_state_dict(deepcopy(self.good[name]))  # optimizers keep what they are given

    def choose(self, step: int) -> None:
        """Lines 5–8: draw r̂_k for every arm and take the largest; a fixed strategy has nothing to draw.

        Departure, where `full_rounds` asks for it: so many first rounds are of all modules, and no bandit sees them.
        """
        self._keep_good()
        if self.policy is not None and self.is_full(step):
            unasked = np.full((1, len(ARMS)), np.nan)
            self.arm, self.selection = LWD, Selection(np.array([ARMS.index(LWD)]), unasked, True)
        elif self.policy is not None:
            self.selection = self.policy.select(self.state, self.generator)
            self.arm = ARMS[int(self.selection.arm[0])]
        elif self.strategy.arm:
            self.arm = parse_arm(self.strategy.arm)

    def _keep_good(self) -> None:
        """Note the state before the round, over the last one's where it has the same tensors."""
        now = {name: part.state_dict() for name, part in self.parts().items()}
        last, new = [*_tensors(self.good)], [*_tensors(now)]
        if len(last) == len(new):
            for old, tensor in zip(last, new, strict=True):
                old.copy_(tensor)
        else:  # the first rounds: optimizers make their moments when they need them
            self.good = _copied(now)

    def begin_step(self) -> None:
        """No gradient and no loss so far."""
        self.optimizer.zero_grad(set_to_none=True)
        self.steps.append(torch.zeros(len(self.losses), device=next(self.projections.parameters()).device))

    def note(self, row: Tensor) -> None:
        """Add a piece's losses, a `loss_row` of them, to the open step's."""
        self.steps[-1] = self.steps[-1] + row

    def learn(self, step: int, rows: list[list[float]]) -> None:
        """Lines 16–18: reward the round's arm (Eq. 6), update the bandit (Eq. 7), and note what happened.

        rows: the losses of the round's steps, and last those on the probe.
        """
        before, after = self.before, ProbeLosses(*rows[-1][:4])
        assert before is not None
        value = reward(before, after, self.strategy.own.reward or self.strategy.reward)
        value = per_cost(value, self.arm, self.config.distillation.module_cost)
        old, self.before = self.state, after
        if self.policy is not None and self.selection is not None and not self.is_full(step):
            self.state = self.policy.update(self.state, self.selection.arm, np.array([value.value]))
        self.lines += [self._step_record(first, row) for first, row in enumerate(rows[:-1], step - len(rows) + 2)]
        number, arm = step // self.config.distillation.round_steps, label(self.arm)
        self.rounds.append(round_record(number, step, arm, self.selection, old, self.state, value, after))

    def _step_record(self, step: int, row: list[float]) -> dict[str, Any]:
        """One step's losses; None where a loss was not computed."""
        absent = (*(["kl"] * (not self.alpha[0])), *(["hidden", "attention"] * (not self.arm)))
        values = {name: None if name in absent and np.isnan(v) else v for name, v in zip(self.losses, row, strict=True)}
        return {
            "step": step,
            **values,
            "lr": self.config.training.lr
            * schedule(step, self.config.training.steps, self.config.training.warmup_steps),
        }

    def pop_records(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """(round records, step records) since the last call."""
        taken = self.rounds, self.lines
        self.rounds, self.lines = [], []
        return taken


def make_student(
    config: Config,
    strategy: Strategy,
    model: nn.Module,
    own: Mapping[str, ModuleShape],
    teacher: Mapping[str, ModuleShape],
) -> Student:
    """A student ready for its first round; its W^i and its bandit have random streams of their own.

    `own` and `teacher`: layers and widths of both models' modules.
    """
    projections = Projections(own, teacher, seed=stream_seed(config, "projections")).to(device(config.model.device))
    optimizer = build_optimizer(config.optim, [(model, config.training.lr), (projections, config.training.lr)])
    policy = strategy.make_policy()
    generator = np.random.default_rng(stream_seed(config, "policy"))
    state = policy.init(len(ARMS), 1, generator) if policy else {}
    return Student(strategy, strategy.configure(config), model, projections, optimizer, policy, state, generator)


def loss_row(losses: Losses, total: Tensor) -> Tensor:
    """(5 + own,): train, kl, hidden, attention, total, the user's; NaN stands for a loss that was not computed."""
    missing = torch.full_like(losses.train, float("nan"))
    parts = (losses.train, losses.kl, losses.hidden, losses.attention, total, *losses.own)
    return torch.stack([missing if part is None else part.detach() for part in parts])


def _copied(state: Any) -> Any:
    """A state of its own: of tensors that are parts of larger ones just these parts, which `deepcopy` would not."""
    if isinstance(state, Tensor):
        return state.clone()
    return {key: _copied(part) for key, part in state.items()} if isinstance(state, Mapping) else deepcopy(state)


def _tensors(state: Any) -> Iterator[Tensor]:
    """All tensors of a state, in its order."""
    if isinstance(state, Tensor):
        yield state
    elif isinstance(state, Mapping):
        for part in state.values():
            yield from _tensors(part)
