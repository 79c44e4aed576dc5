"""The protocol between a run and whatever logs it: plain values, no torch.

A logger is told where the run stands as it is found out, in order. Whatever it raises, the run goes on (`logbook.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

Setting = str | int | float | bool | None
Outcome = Literal["finished", "stopped early", "failed", "interrupted"]
"""How a session of a run ended: only what was interrupted goes on."""

LOSS, RATE, FLOPS = "train/loss", "train/lr", "train/flops"
"""Values of every optimiser step: nats, learning rate, training and search FLOPs of the run so far."""
OF_EPOCHS = {
    "epoch": "epoch",
    "stage": "growth/stage",
    "depth": "growth/depth",
    "patches": "growth/patches",
    "train_loss": "train/epoch_loss",
    "val_loss": "val/loss",
    "val_top1": "val/top1",
}
"""Values of every epoch: a curve row's fields (`runs.row.CurveRow`) and what loggers call them."""
BY_COST = ("val/loss", "val/top1")
"""Those of them that are worth a curve against FLOPs."""


@dataclass(frozen=True)
class LoggedRun:
    """What a logger is told of a run when it begins, or goes on.

    Attributes:
        name: such as `autoprog seed 0 trial 1`.
        group: of runs that belong together: a study's name; empty for a run alone.
        folder: the run's own, for what is kept in files; None: it leaves none.
        settings: all that decides its result, flat (`recipe.lr`); passwords in URLs are left out.
        step: optimiser steps that it has taken; above 0 where it goes on.
        flops: of training and search that it has spent.
    """

    name: str
    group: str
    folder: Path | None
    settings: Mapping[str, Setting]
    step: int
    flops: int


@dataclass(frozen=True)
class Point:
    """Values at one point of a run.

    Attributes:
        step: optimiser steps taken.
        flops: training and search FLOPs spent.
    """

    step: int
    flops: int
    values: Mapping[str, float]


@dataclass(frozen=True)
class End:
    """How a session of a run ended.

    Attributes:
        results: numbers of the result row (`runs.row.ResultRow`), of a run that is over.
        weights: file of the full model's, as `timm.create_model(..., checkpoint_path=...)` loads it.
    """

    outcome: Outcome
    results: Mapping[str, float] = field(default_factory=dict)
    weights: Path | None = None


class Logger(Protocol):
    """Where a run's log goes. A run that was killed tells again what came after its checkpoint: the same values."""

    def start(self, run: LoggedRun, known_as: str | None) -> str | None:
        """Begin, or go on.

        Args:
            known_as: what it returned when the run began, if this goes on with it.

        Returns:
            By what it knows the run, to go on with it in another process.
        """

    def log(self, points: Sequence[Point]) -> None:
        """Keep values, many steps' at once."""

    def event(self, step: int, text: str) -> None:
        """Keep a line of words: a stage opened, the network grew."""

    def finish(self, end: End) -> None:
        """Write whatever is held back, and close."""
