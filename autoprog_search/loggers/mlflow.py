"""MLflow: an experiment a study, a run a run; the server or file is the one that MLFLOW_TRACKING_URI names."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from autoprog_search.loggers.logger import BY_COST, LOSS, End, LoggedRun, Outcome, Point

if TYPE_CHECKING:
    from mlflow import MlflowClient

MOST_METRICS, MOST_PARAMS, LONGEST = 1000, 100, 500
"""Of one request; characters of a value: what any of MLflow's stores takes."""
BY_MFLOPS = "by_mflops/"
"""Begins the names of metrics whose `step` is training and search MFLOPs: MLflow's are whole numbers."""
STATUS: dict[Outcome, str] = {
    "finished": "FINISHED", "stopped early": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"
}  # fmt: skip
PATIENCE = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "10", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}
"""With a server that is away, unless the user says otherwise: MLflow's own is some minutes, in which nothing trains."""


class MLflow:
    """Metrics a step and an epoch, settings as parameters, growth as tags `event STEP`, the weights as an artifact."""

    def __init__(self) -> None:
        for name, value in PATIENCE.items():
            os.environ.setdefault(name, value)
        self._client: MlflowClient | None = None
        self._run = ""
        self._told = 0  # the last step that an earlier session told

    def start(self, run: LoggedRun, known_as: str | None) -> str:
        """Make a run in the experiment MLFLOW_EXPERIMENT_NAME, by default the study's; or go on with it."""
        from mlflow import MlflowClient

        self._client = MlflowClient()
        if known_as is not None:
            self._run = known_as
            self._open.update_run(known_as, status="RUNNING")
            self._told = max((m.step for m in self._open.get_metric_history(known_as, LOSS)), default=0)
            return known_as
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or run.group or "autoprog-search"
        found = self._open.get_experiment_by_name(name)
        experiment = found.experiment_id if found is not None else self._open.create_experiment(name)
        self._run = self._open.create_run(experiment, run_name=run.name).info.run_id
        self._log_settings(run)
        return self._run

    def log(self, points: Sequence[Point]) -> None:
        """Metrics by step, and those worth it by MFLOPs; not again what was told before the run was killed."""
        from mlflow.entities import Metric

        now, metrics = int(1000 * time.time()), []
        for point in (p for p in points if p.step >= self._told):
            for name, value in point.values.items():
                metrics.append(Metric(name, value, now, point.step))
                if name in BY_COST:
                    metrics.append(Metric(BY_MFLOPS + name, value, now, point.flops // 10**6))
        for begin in range(0, len(metrics), MOST_METRICS):
            self._open.log_batch(self._run, metrics=metrics[begin : begin + MOST_METRICS])

    def event(self, step: int, text: str) -> None:
        """A tag, in order of steps."""
        self._open.set_tag(self._run, f"event {step:09}", text[:LONGEST])

    def finish(self, end: End) -> None:
        """Results as metrics `result/...`, the weights as an artifact."""
        for name, value in end.results.items():
            self._open.log_metric(self._run, f"result/{name}", value)
        if end.weights is not None:
            self._open.log_artifact(self._run, str(end.weights))
        self._open.set_terminated(self._run, STATUS[end.outcome])

    def _log_settings(self, run: LoggedRun) -> None:
        from mlflow.entities import Param

        params = [Param(name, str(value)[:LONGEST]) for name, value in run.settings.items()]
        for begin in range(0, len(params), MOST_PARAMS):
            self._open.log_batch(self._run, params=params[begin : begin + MOST_PARAMS])

    @property
    def _open(self) -> MlflowClient:
        assert self._client is not None, "it was started"
        return self._client
