"""`--tensorboard`: losses, rewards, posteriors, arms and hyper-parameters as event files in each run's own folder."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from optima_lab.experiments.watch import Number, NumberWatcher, WatchedRun

FOLDER = "tensorboard"  # within a run's folder


class TensorBoard(NumberWatcher):
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

    def log(self, run: WatchedRun, numbers: Iterable[Number]) -> None:
        """Add them to the event file."""
        board = self._boards[run.folder]
        for name, value, step in numbers:
            board.add_scalar(name, value, step)
        board.flush()

    def end(self, run: WatchedRun, stopped: str) -> None:
        """Close the event file."""
        self._boards.pop(run.folder).close()
