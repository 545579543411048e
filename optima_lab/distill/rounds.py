"""The rounds of a run: choose an arm (Eq. 2), learn from its reward (Eqs. 6 and 7), note what happened."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from optima_lab.bandits.arms import Arm, Arms, masks_of
from optima_lab.bandits.policies import Policy, Selection, State
from optima_lab.distill.rewards import ProbeLosses, Reward, reward


class Rounds:
    """One bandit over the arms of a run, the arm of the open round, and the records of those that ended."""

    def __init__(self, arms: Arms, policy: Policy, variant: str, seed: int) -> None:
        self.arms, self.policy, self.variant = arms, policy, variant
        self.generator = np.random.default_rng(seed)
        self.state: State = policy.init(arms.count, 1, self.generator)
        self.records: list[dict[str, Any]] = []
        self.choose()

    @property
    def arm(self) -> Arm:
        """The modules of the open round."""
        (members,) = masks_of(self.selection.arm, len(self.arms.modules))
        return frozenset(module for module, member in zip(self.arms.modules, members, strict=True) if member)

    def choose(self) -> None:
        """Lines 5–8: open a round."""
        self.selection = self.policy.select(self.state, self.generator)

    def learn(self, step: int, before: ProbeLosses, after: ProbeLosses) -> None:
        """Lines 16–18: close the round that ended with `step`, reward its arm, open the next."""
        value = reward(before, after, self.variant)
        old, played = self.state, self.selection
        self.state = self.policy.update(old, played.arm, np.array([value.value]))
        beliefs = self.policy.summary(old), self.policy.summary(self.state)
        number, label = len(self.records) + 1, self.arms.label(self.arm)
        self.records.append(round_record(number, step, label, played, *beliefs, value, after))
        self.choose()

    def state_dict(self) -> dict[str, Any]:
        """All that the coming rounds depend on: tensors and text."""
        return {
            "bandit": {name: torch.from_numpy(np.array(array)) for name, array in self.state.items()},
            "generator": json.dumps(self.generator.bit_generator.state),
            "selection": {name: torch.from_numpy(np.array(part)) for name, part in self.selection._asdict().items()},
            "records": json.dumps(self.records),
        }

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """The rounds as they were."""
        self.state = {name: tensor.numpy().copy() for name, tensor in saved["bandit"].items()}
        self.generator.bit_generator.state = json.loads(saved["generator"])
        arm, scores, initial = (saved["selection"][name].numpy().copy() for name in Selection._fields)
        self.selection = Selection(arm, scores, bool(initial))
        self.records = json.loads(saved["records"])


def round_record(
    number: int,
    step: int,
    label: str,
    selection: Selection | None,
    before: Mapping[str, np.ndarray],
    after: Mapping[str, np.ndarray],
    value: Reward,
    probe: ProbeLosses,
) -> dict[str, Any]:
    """A line of rounds.jsonl; `before` and `after` hold what is believed of the arms, as far as it is held.

    Where modules are believed in, `theta` and its deviation hold one number for each and the base, `module_plays` how
    often each was in an arm; above 64 arms there is no number for each arm beside them.
    """
    names = ("mean", "plays", *(("theta", "theta_deviation", "module_plays") if "theta" in after else ()))
    beliefs = {
        f"{name}_{when}": row(belief.get(name))
        for name in names
        for when, belief in (("before", before), ("after", after))
    }
    return {
        "round": number,
        "step": step,
        "arm": label or None,
        "initial": bool(selection.initial) if selection else False,
        "draws": row(selection.scores) if selection else None,
        **beliefs,
        "reward": value.value,
        **{f"ratio_{name}": getattr(value, name) for name in ("kl", "hidden", "attention")},
        **{f"probe_{name}": getattr(probe, name) for name in ProbeLosses._fields},
    }


def row(array: np.ndarray | None) -> list[float | None] | None:
    """The one replication's row of a bandit array as plain numbers; None where there is none."""
    if array is None:
        return None
    return [float(value) if np.isfinite(value) else None for value in array[0]]
