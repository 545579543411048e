"""Going on where a killed run stopped: parameters, moments, bandits and random streams, kept whole or not at all.

Batches, dropout and augmentation are functions of (seed, step), so a step number and these parts are all there is.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from pickle import UnpicklingError
from time import monotonic
from typing import Any, BinaryIO, Protocol, runtime_checkable
from unittest.mock import patch

import numpy as np
import torch

from optima_lab.distill.rewards import ProbeLosses
from optima_lab.distill.student import Student
from optima_lab.errors import RecordError
from optima_lab.files import replacing
from optima_lab.progress import progress

EVERY_SECONDS = 15.0


class _Brief(UnpicklingError):
    """torch searches such messages in time that grows with their square, and strangers' files write into them."""

    def __str__(self) -> str:
        return super().__str__()[:1000]


def load_tensors(file: Path | BinaryIO, where: str = "cpu") -> Any:
    """A pickle of tensors and plain values; nothing else in it is made, nothing executed.

    Raises UnpicklingError for what else it holds, and whatever damaged bytes may raise.
    """
    with patch("torch._weights_only_unpickler.UnpicklingError", _Brief):
        return torch.load(file, map_location=where, weights_only=True)


@runtime_checkable
class Stateful(Protocol):
    """A module or an optimizer."""

    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state_dict: dict[str, Any], /) -> Any: ...


class Checkpointer:
    """Keeps the parts of a running loop in one file, at most every EVERY_SECONDS; the file goes when all is done.

    What other `code` (a fingerprint) has left is not gone on with: a run is made by one code from its start to its end.
    """

    def __init__(self, path: Path, code: str = "") -> None:
        self.path, self.code, self._last = path, code, monotonic()

    def restore(self, parts: Mapping[str, Stateful], holds: Callable[[int], bool] = lambda step: True) -> int:
        """Load the parts and return the steps they have behind them; 0, and the parts as they are, without a file.

        A file that is damaged, of other parts or of a step that no longer `holds` is as good as none. Nothing in it is
        executed.
        """
        if not self.path.is_file() or self.path.is_symlink():
            return 0
        fresh = {name: deepcopy(part.state_dict()) for name, part in parts.items()}
        try:
            saved = load_tensors(self.path)
            step = int(saved["step"]) if saved.get("code", "") == self.code else 0
            if not step:
                return 0
            for name, part in parts.items() if holds(step) else ():
                part.load_state_dict(saved["parts"][name])
            return step if holds(step) else 0
        except Exception:  # damaged bytes may raise anything
            for name, part in parts.items():
                part.load_state_dict(fresh[name])
            return 0

    def keep(self, step: int, parts: Mapping[str, Stateful]) -> None:
        """Write the parts after `step` steps, where that is due. Raises RecordError where they cannot be written."""
        if monotonic() - self._last < EVERY_SECONDS:
            return
        content = {"step": step, "code": self.code, "parts": {name: part.state_dict() for name, part in parts.items()}}
        try:
            with replacing(self.path, durable=True) as target, target.open("wb") as file:
                torch.save(content, file)
        except RuntimeError as error:  # a full disk, as torch's writer tells it
            raise RecordError(f"{self.path} cannot be written: {' '.join(str(error).split())[:120]}") from None
        self._last = monotonic()

    def drop(self) -> None:
        """Nothing is left to be done."""
        for path in self.path.parent.glob(f"{self.path.name}*"):
            path.unlink(missing_ok=True)

    def steps(self, total: int, parts: Mapping[str, Stateful], description: str) -> Iterator[int]:
        """The steps (from 1) that are still to be done, with a progress bar; what they change is kept on the way."""
        done = self.restore(parts)
        for step in progress(range(done + 1, total + 1), description, total=total, done=done):
            yield step
            if step < total:
                self.keep(step, parts)


class Pupils:
    """The students of a population as one part: everything that the next round depends on."""

    def __init__(self, students: Sequence[Student]) -> None:
        self.students = students

    def state_dict(self) -> dict[str, Any]:
        """By strategy; only between two rounds of all students."""
        return {student.strategy.id: _state(student) for student in self.students}

    def load_state_dict(self, state_dict: dict[str, Any], /) -> None:
        """The students as they were."""
        for student in self.students:
            saved = state_dict[student.strategy.id]
            for name, part in student.parts().items():
                part.load_state_dict(saved[name])
            student.state = {name: array.numpy() for name, array in saved["bandit"].items()}
            student.generator.bit_generator.state = json.loads(saved["generator"])
            student.before = ProbeLosses(*saved["before"]) if saved["before"] else None
            student.stopped = saved["stopped"]


def _state(student: Student) -> dict[str, Any]:
    return {
        **{name: part.state_dict() for name, part in student.parts().items()},
        "bandit": {name: torch.from_numpy(np.array(array)) for name, array in student.state.items()},
        "generator": json.dumps(student.generator.bit_generator.state),
        "before": list(student.before or ()),
        "stopped": student.stopped,
    }


def saved_students(path: Path) -> frozenset[str]:
    """The strategies whose students a file keeps, by id; none where it is damaged. Nothing in it is executed."""
    try:
        return frozenset(load_tensors(path)["parts"]["students"])
    except Exception:  # damaged bytes may raise anything
        return frozenset()
