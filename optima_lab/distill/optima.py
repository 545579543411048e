"""OPTIMA (Algorithm 1 of arXiv 2310.04550) in a training loop of one's own, for any student and teacher.

One forward of the probe finds out what the models do not say: widths, depths, lengths, which attention can be seen.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from optima_lab.bandits.arms import Arm, Arms
from optima_lab.bandits.policies import Policy
from optima_lab.distill import losses as eq
from optima_lab.distill import parallel
from optima_lab.distill.layers import Projections
from optima_lab.distill.losses import Losses
from optima_lab.distill.options import Globs, as_layers, check_names, policy_for
from optima_lab.distill.pairs import Call, Calls, Mask, Pair, call_model
from optima_lab.distill.population import TeacherOutput
from optima_lab.distill.rewards import VARIANTS, ProbeLosses
from optima_lab.distill.rounds import Rounds
from optima_lab.distill.seeds import derive_seed
from optima_lab.distill.student import LOSSES, loss_row
from optima_lab.distill.terms import Terms
from optima_lab.errors import ConfigError
from optima_lab.files import expand, json_text, write_text


class Optima:
    """Which modules a student imitates is chosen anew every `round_steps` steps, by what that brought before.

        loss = optima.loss(batch)      the user's loss, and the matching terms of the round's arm (Eq. 5)
        loss.backward(); optimizer.step(); optimizer.zero_grad()
        optima.step()                  counts; at a round's end: the reward (Eq. 6) and the next arm (Eqs. 2 and 7)

    The W^i of Eq. 3 are `parameters()`: give them to the optimizer.

    probe: a batch on which rewards are measured, with the student in evaluation mode.
    modules: a glob, or `Layers`, for each module of the student; teacher_modules: the teacher's where they differ.
    masks: which part of a batch is True (or 1) at a module's real tokens.  logits, task, alpha, temperature: `Terms`.
    groups: cut one module into this many groups of layers.  call, teacher_call: (model, batch) → output.
    policy: a name or a policy; by default OPTIMA's own up to four modules, `linear_ts` above.
    attention: 'auto' matches what can be seen, 'scores' insists on all, '' matches none.
    reward: one of `rewards.VARIANTS`.  seed: of the W^i and the policy.  The teacher is put in evaluation mode.
    Raises ConfigError for what does not fit, in one line.
    """

    def __init__(
        self,
        student: nn.Module,
        teacher: nn.Module,
        *,
        probe: Any,
        modules: Globs,
        round_steps: int = 100,
        teacher_modules: Globs | None = None,
        masks: Mapping[str, Mask] | None = None,
        logits: str | Callable[[Any], Tensor] = "",
        groups: int = 0,
        policy: str | Policy = "",
        task: Callable[[Any, Any], Tensor] | None = None,
        call: Call = call_model,
        teacher_call: Call | None = None,
        attention: str = "auto",
        alpha: tuple[float, float, float] = (1.0, 1.0, 1e-2),
        temperature: float = 1.0,
        reward: str = "all",
        seed: int = 0,
    ) -> None:
        check_names(modules, teacher_modules or {}, masks or {}, attention, reward, round_steps)
        self.round_steps, self.probe, self.steps = round_steps, probe, 0
        self.terms = Terms(task, logits, alpha, temperature)
        own = {name: as_layers(glob) for name, glob in modules.items()}
        theirs = own | {name: as_layers(glob) for name, glob in (teacher_modules or {}).items()}
        self.pair = Pair(student, teacher.eval(), (own, theirs), Calls(call, teacher_call or call, masks or {}), groups)
        self.arms = Arms(tuple(self.pair.names))
        chosen = policy_for(policy, len(self.pair.names))

        by_name = {name for name in own if own[name].attention or theirs[name].attention}
        self.exists = {"train": False, "kl": bool(logits), "hidden": True, "attention": False, "total": True}
        self._lesson = self._first_look(by_name, attention)
        self.projections = Projections(*self.pair.shapes, seed=derive_seed(seed, 0)).to(_device(student))
        _share_gradients(self.projections)
        if not any(self.exists[name] for name in VARIANTS[reward]):
            raise ConfigError(f"reward={reward!r} must have a loss to measure: give logits=, or take 'layers'")
        self.rounds = Rounds(self.arms, chosen, reward, derive_seed(seed, 1))
        self._open, self._rows = list[Tensor](), list[Tensor]()
        self._lines: list[dict[str, Any]] = []
        self.before = self._probe_losses(_synced([self._measure()])[0])

    @property
    def arm(self) -> Arm:
        """The modules that are matched now."""
        return self.rounds.arm

    def parameters(self) -> list[nn.Parameter]:
        """The W^i, one for every layer of the student."""
        return list(self.projections.parameters())

    def loss(self, batch: Any) -> Tensor:
        """L_total of Eq. 5 on a batch, a scalar."""
        return self.total(self.compare(batch)[1])

    def compare(self, batch: Any, call: Call | None = None) -> tuple[Any, Losses]:
        """What the student returns, by another `call` where one is given, and the losses of the arm on a batch."""
        lesson = self._ask(batch, self.arm)
        output = self.pair.student_forward(batch, call)
        losses = self._losses(output, batch, lesson, self.arm)
        self.pair.forget()
        return output, losses

    def total(self, losses: Losses) -> Tensor:
        """L_total of these losses, which are noted as a part of the open step."""
        total = eq.total_loss(losses, self.terms.alpha)
        self._open.append(loss_row(losses, total))
        return total

    def step(self) -> None:
        """One update is done. At a round's end this waits for the device; no other call of this class does.

        Raises ConfigError where no loss was asked for since the last.
        """
        if not self._open:
            raise ConfigError("optima.step() must follow an optima.loss(batch), got none since the last step")
        self._rows.append(torch.stack(self._open).mean(0))
        self._open.clear()
        self.steps += 1
        if self.steps % self.round_steps == 0:
            self._close_round()

    def _close_round(self) -> None:
        *rows, probe = _synced([*self._rows, self._measure()])
        self._rows.clear()
        arm = self.arm
        self._lines += [self._line(step, row, arm) for step, row in enumerate(rows, self.steps - len(rows) + 1)]
        before, self.before = self.before, self._probe_losses(probe)
        self.rounds.learn(self.steps, before, self.before)

    def _line(self, step: int, row: list[float], arm: Arm) -> dict[str, Any]:
        """A line of steps.jsonl; None where a loss was not computed. The learning rate is the user's."""
        computed = self.exists | {"kl": bool(self.terms.logits and self.terms.alpha[0])}
        computed["attention"] = bool(arm & self.pair.attended)
        values = {name: value if computed[name] else None for name, value in zip(LOSSES, row, strict=True)}
        return {"step": step, **values, "lr": None}

    def _probe_losses(self, row: list[float]) -> ProbeLosses:
        return ProbeLosses(
            *(value if self.exists[name] else None for name, value in zip(LOSSES[:4], row, strict=False))
        )

    @torch.no_grad()
    def _measure(self) -> Tensor:
        """(5,): the losses of Eq. 6 on the probe, over all modules."""
        with _evaluating(self.pair.student):
            output = self.pair.student_forward(self.probe)
        losses = self._losses(output, self.probe, self._lesson, frozenset(self.arms.modules))
        self.pair.forget()
        return loss_row(losses, losses.hidden if losses.hidden is not None else losses.train)

    def state_dict(self) -> dict[str, Any]:
        """All that the coming rounds depend on, and the records so far: tensors and text, without pickles."""
        return {
            "modules": list(self.arms.modules),
            "projections": self.projections.state_dict(),
            "rounds": self.rounds.state_dict(),
            "steps": self.steps,
            "rows": torch.stack(self._rows) if self._rows else None,
            "before": list(self.before),
            "lines": json.dumps(self._lines),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on as the one that was saved. Raises ConfigError where it has other modules."""
        if tuple(state["modules"]) != self.arms.modules:
            raise ConfigError(
                f"modules must be those that were saved, {state['modules']}, got {list(self.arms.modules)}"
            )
        self.projections.load_state_dict(state["projections"])
        self.rounds.load_state_dict(state["rounds"])
        self.steps, self.before = state["steps"], ProbeLosses(*state["before"])
        self._rows = [] if state["rows"] is None else [*state["rows"].to(_device(self.projections))]
        self._lines, self._open = json.loads(state["lines"]), []

    def remove_hooks(self) -> None:
        """Leave both models as they came, once the training is over."""
        self.pair.remove_hooks()

    def records(self, folder: str | Path) -> Path:
        """Write `run.json`, `rounds.jsonl` and `steps.jsonl`, what has happened so far, and return the folder.

        Raises RecordError where they cannot be written. Of several processes the first writes.
        """
        place, policy = expand(folder), self.rounds.policy
        if parallel.rank() == 0:
            parameters = asdict(policy) if is_dataclass(policy) else {}
            run_info = {"strategy": policy.name, "arm": "", "policy": policy.name, "parameters": parameters}
            run_info |= {"reward": self.rounds.variant, "modules": self.arms.modules, "round_steps": self.round_steps}
            write_text(place / "run.json", json_text(run_info, indent=1) + "\n")
            for name, lines in (("rounds", self.rounds.records), ("steps", self._lines)):
                write_text(place / f"{name}.jsonl", "".join(json_text(line) + "\n" for line in lines))
        return place

    @torch.no_grad()
    def _first_look(self, wanted: set[str], attention: str) -> TeacherOutput:
        """Run the probe through both models and keep what the teacher says to it."""
        with _evaluating(self.pair.student):
            output = self.pair.student_forward(self.probe)
        answer = self.pair.teacher_forward(self.probe)
        self.pair.probe(attention, wanted)
        self.exists["attention"] = bool(self.pair.attended)
        self.exists["train"] = self.terms.training_loss(output, self.probe) is not None
        logits = self.terms.prediction(answer)
        if logits is not None:
            ours = self.terms.prediction(output)
            assert ours is not None
            if ours.shape != logits.shape:
                raise ConfigError(f"logits must agree in shape, got {tuple(ours.shape)} and {tuple(logits.shape)}")
        return TeacherOutput(self.pair.teacher_features(self.pair.names), logits)

    def _ask(self, batch: Any, arm: Arm) -> TeacherOutput:
        answer = self.pair.teacher_forward(batch)
        logits = self.terms.prediction(answer) if self.terms.alpha[0] else None
        return TeacherOutput(self.pair.teacher_features(sorted(arm)), logits)

    def _losses(self, output: Any, batch: Any, lesson: TeacherOutput, arm: Arm) -> Losses:
        """The terms of Eq. 5 for an arm, each where both models give it."""
        theirs, ours = lesson.features, self.pair.student_features(sorted(arm), batch, lesson.features)
        train, kl = self.terms.training_loss(output, batch), None
        if lesson.logits is not None:
            logits = self.terms.prediction(output)
            assert logits is not None
            kl = eq.kl_divergence(logits, lesson.logits, self._logit_mask(logits, batch), self.terms.temperature)
        hidden = eq.hidden_loss(ours, theirs, self.projections, arm)
        attended = arm & self.pair.attended
        attention = eq.attention_loss(ours, theirs, attended) if attended else None
        return Losses(torch.zeros_like(hidden) if train is None else train, kl, hidden, attention)

    def _logit_mask(self, logits: Tensor, batch: Any) -> Tensor | None:
        """Where predictions of tokens count: the mask of the last module that has one of their shape."""
        masks = [self.pair.calls.mask(module, batch) for module in self.pair.calls.masks]
        fitting = [mask for mask in masks if mask is not None and mask.shape == logits.shape[:-1]]
        return fitting[-1] if fitting else None


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """The model in evaluation mode, for forwards without a backward; every part of it then in the mode that it had."""
    modes = {part: part.training for part in model.modules()}
    model.eval()
    try:
        yield
    finally:
        parallel.reshard(model)
        for part, training in modes.items():
            part.training = training


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def _synced(rows: list[Tensor]) -> list[list[float]]:
    """Rows of losses as numbers, the mean over processes: one exchange and one wait."""
    table = torch.stack(rows) / parallel.world_size()
    parallel.all_reduce_sum([table])
    return table.tolist()


def _share_gradients(projections: Projections) -> None:
    """Average the W^i's gradients over processes as they are made: no wrapper of the student knows of them."""
    if parallel.world_size() > 1:
        for matrix in projections.parameters():
            matrix.register_post_accumulate_grad_hook(_average)


def _average(matrix: Tensor) -> None:
    if matrix.grad is not None:
        matrix.grad /= parallel.world_size()
        parallel.all_reduce_sum([matrix.grad])
