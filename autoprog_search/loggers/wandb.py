"""Weights & Biases: a run a run, in a group a study; WANDB_PROJECT, WANDB_MODE and the like are its own variables."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING
from uuid import uuid4

from autoprog_search.loggers.logger import BY_COST, FLOPS, End, LoggedRun, Point

if TYPE_CHECKING:
    import wandb

PATIENCE = 30.0  # seconds, with a server that is away: W&B's own is 90, in which nothing trains
PROJECT = "autoprog-search"


class WandB:
    """Values a step and an epoch, growth under `growth/event`, results in the summary, the weights as an artifact."""

    def __init__(self) -> None:
        self._run: wandb.Run | None = None

    def start(self, run: LoggedRun, known_as: str | None) -> str:
        """Make a run, or go on with it; curves of accuracy are drawn against FLOPs, all others against steps."""
        import wandb

        known_as = known_as or uuid4().hex
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            group=run.group or None,
            name=run.name,
            id=known_as,
            resume="allow",
            config=dict(run.settings),
            settings=wandb.Settings(silent=True, console="off", init_timeout=PATIENCE),
        )
        for name in BY_COST:
            self._open.define_metric(name, step_metric=FLOPS)
        return known_as

    def log(self, points: Sequence[Point]) -> None:
        """Rows by step; what was told before W&B leaves out."""
        for point in points:
            self._open.log({**point.values, FLOPS: float(point.flops)}, step=point.step)

    def event(self, step: int, text: str) -> None:
        """A text in the row of that step."""
        self._open.log({"growth/event": text}, step=step)

    def finish(self, end: End) -> None:
        """Results in the summary; the weights as an artifact of type `model`."""
        import wandb

        self._open.summary.update({f"result/{name}": value for name, value in end.results.items()})
        if end.weights is not None:
            artifact = wandb.Artifact(f"run-{self._open.id}-weights", type="model")
            artifact.add_file(str(end.weights))
            self._open.log_artifact(artifact)
        self._open.finish(exit_code=int(end.outcome == "failed"))

    @property
    def _open(self) -> wandb.Run:
        assert self._run is not None, "it was started"
        return self._run
