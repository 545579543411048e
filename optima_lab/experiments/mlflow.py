"""`--mlflow`: runs in MLflow, one of theirs for each of ours, where MLFLOW_TRACKING_URI says, else in this folder."""

import re
import time
from collections.abc import Iterable
from typing import Any

from optima_lab.experiments.watch import Number, NumberWatcher, WatchedRun

TAG = "optima_lab.id"
_MOST = 1000  # metrics in one request


class MLflow(NumberWatcher):
    """Runs of one experiment of theirs; one that is resumed, or sent again, goes on where it has the same id."""

    def __init__(self, experiment: str = "optima-lab") -> None:
        self.experiment = experiment
        self._client: Any = None
        self._runs: dict[str, str] = {}

    def start(self, run: WatchedRun) -> None:
        """Open a run of theirs, or the one that has begun."""
        from mlflow import MlflowClient  # pyright: ignore[reportMissingImports]  # an optional extra
        from mlflow.entities import Param  # pyright: ignore[reportMissingImports]

        self._client = self._client or MlflowClient()
        experiment = self._client.get_experiment_by_name(self.experiment)
        place = experiment.experiment_id if experiment else self._client.create_experiment(self.experiment)
        runs = self._client.search_runs([place], f"tags.`{TAG}` = '{run.id}'", max_results=1)
        theirs = runs[0] if runs else self._client.create_run(place, run_name=run.name, tags={TAG: run.id})
        self._runs[run.id] = theirs.info.run_id
        if not runs:
            parameters = [Param(name, str(value)) for name, value in run.parameters.items()]
            self._client.log_batch(theirs.info.run_id, params=parameters)

    def log(self, run: WatchedRun, numbers: Iterable[Number]) -> None:
        """Send them in as few requests as MLflow takes."""
        from mlflow.entities import Metric  # pyright: ignore[reportMissingImports]

        now = int(1000 * time.time())
        metrics = [Metric(_allowed(name), value, now, step) for name, value, step in numbers]
        for first in range(0, len(metrics), _MOST):
            self._client.log_batch(self._runs[run.id], metrics=metrics[first : first + _MOST])

    def end(self, run: WatchedRun, stopped: str) -> None:
        """Close it: finished, or failed where it was stopped or interrupted."""
        theirs = self._runs.pop(run.id)
        self._client.set_tag(theirs, "stopped", stopped)
        self._client.set_terminated(theirs, "FAILED" if stopped else "FINISHED")


def _allowed(name: str) -> str:
    """A metric's name in letters that MLflow takes: 'plays/Img-Txt' of 'plays/Img+Txt'."""
    return re.sub(r"[^\w\-. /]", "-", name, flags=re.ASCII)
