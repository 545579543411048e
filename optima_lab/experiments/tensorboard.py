"""`--tensorboard`: losses, rewards, posteriors, arms and hyper-parameters as event files in each run's own folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from optima_lab.experiments.watch import Line, WatchedRun, Watcher, scalars

FOLDER = "tensorboard"  # within a run's folder


class TensorBoard(Watcher):
    """Look with `tensorboard --logdir runs`: a run is called by its folder, its hyper-parameters are under HPARAMS."""

    def __init__(self) -> None:
        self._boards: dict[Path, Any] = {}

    def start(self, run: WatchedRun) -> None:
        """Open the run's event file; what an earlier one says of later steps is hidden."""
        from torch.utils.tensorboard import SummaryWriter
        from torch.utils.tensorboard.summary import hparams

        board = SummaryWriter(str(run.folder / FOLDER), purge_step=run.done + 1)
        self._boards[run.folder] = board
        for summary in hparams(run.parameters, {}):
            board._get_file_writer().add_summary(summary)
        board.add_text("run", run.name)

    def round(self, run: WatchedRun, record: Line, steps: Sequence[Line]) -> None:
        """Losses of the steps, reward, arm and beliefs."""
        self._log(run, record, steps, ())

    def evaluation(self, run: WatchedRun, records: Sequence[Line]) -> None:
        """Scores."""
        self._log(run, None, (), records)

    def _log(self, run: WatchedRun, record: Line | None, steps: Sequence[Line], evals: Sequence[Line]) -> None:
        board = self._boards[run.folder]
        for name, value, step in scalars(record, steps, evals, run.arms):
            board.add_scalar(name, value, step)
        board.flush()

    def end(self, run: WatchedRun, stopped: str) -> None:
        """Close the event file."""
        self._boards.pop(run.folder).close()
