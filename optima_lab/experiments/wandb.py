"""`--wandb`: runs in Weights & Biases, one of theirs for each of ours; WANDB_MODE=offline keeps them here."""

from collections.abc import Sequence
from typing import Any

from optima_lab.experiments.watch import Line, WatchedRun, Watcher, scalars


class WandB(Watcher):
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

    def round(self, run: WatchedRun, record: Line, steps: Sequence[Line]) -> None:
        """Losses of the steps, reward, arm and beliefs."""
        self._log(run, record, steps, ())

    def evaluation(self, run: WatchedRun, records: Sequence[Line]) -> None:
        """Scores."""
        self._log(run, None, (), records)

    def _log(self, run: WatchedRun, record: Line | None, steps: Sequence[Line], evals: Sequence[Line]) -> None:
        for name, value, step in scalars(record, steps, evals, run.arms):
            self._runs[run.id].log({name: value}, step=step)

    def end(self, run: WatchedRun, stopped: str) -> None:
        """Close it; one that was stopped or interrupted is marked as failed."""
        theirs = self._runs.pop(run.id)
        theirs.summary["stopped"] = stopped
        theirs.finish(exit_code=1 if stopped else 0)
