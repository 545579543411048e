"""An experiment as the rest of the library knows it: where its records lie, what was asked, what is known of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optima_lab.config import Config


@dataclass(frozen=True)
class RecordFolder:
    """A folder of runs that share a task and a seed: all that reading records needs to know."""

    folder: Path
    only: tuple[str, ...]  # the runs asked for, by folder
    seed: int

    @property
    def task(self) -> str:
        """'vqa', 'snli_ve', 'nlvr2' or 'coco'."""
        return self.folder.parent.name

    @property
    def id(self) -> str:
        """The folder's name: preset, seed and a hash of everything that changes a result."""
        return self.folder.name


@dataclass(frozen=True)
class Experiment(RecordFolder):
    """One population: one task, one seed, many strategies that share a teacher and their batches."""

    config: Config
    summary: Mapping[str, Any]

    def __repr__(self) -> str:
        runs = f"{len(self.only)} run{'' if len(self.only) == 1 else 's'}"
        return f"Experiment({self.task}, seed {self.seed}, {runs} in {self.folder})"
