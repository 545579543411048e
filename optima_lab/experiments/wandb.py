"""`--wandb`: runs in Weights & Biases, one of theirs for each of ours; WANDB_MODE=offline keeps them here."""

from collections.abc import Iterable
from typing import Any

from optima_lab.experiments.watch import Number, NumberWatcher, WatchedRun


class WandB(NumberWatcher):
    """Runs of one project, grouped by experiment; one that is resumed, or sent again, goes on under its id."""

    def __init__(self, project: str = "optima-lab") -> None:
        self.project = project
        self._runs: dict[str, Any] = {}

    def start(self, run: WatchedRun) -> None:
        """Open a run of theirs beside those that are open."""
        import wandb  # pyright: ignore[reportMissingImports]  # an optional extra

        self._runs[run.id] = wandb.init(
            project=self.project,
            id=run.id,
            name=run.name,
            group=run.folder.parent.name,
            config=run.parameters,
            resume="allow",
            reinit="create_new",
        )

    def log(self, run: WatchedRun, numbers: Iterable[Number]) -> None:
        """Log them under their steps."""
        for name, value, step in numbers:
            self._runs[run.id].log({name: value}, step=step)

    def end(self, run: WatchedRun, stopped: str) -> None:
        """Close it; one that was stopped or interrupted is marked as failed."""
        theirs = self._runs.pop(run.id)
        theirs.summary["stopped"] = stopped
        theirs.finish(exit_code=1 if stopped else 0)
