"""Where a running trial stands, kept with the trial in the storage: whoever can read that can watch the study."""

from __future__ import annotations

import logging
import os
import socket
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from optuna.trial import FrozenTrial

from autoprog_search.study.store import Job, StoredStudy

if TYPE_CHECKING:
    from autoprog_search.training.state import Progress

ATTRIBUTE = "progress"
EVERY_SECONDS = 5.0
AWAY_SECONDS = 60.0
"""After a note that could not be stored: a run does not wait again and again for a storage that is away."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a trial stood when it last said so.

    Attributes:
        epoch, epochs: passes over the training data so far, and at its end.
        phase: `open`, `search` or `train`.
        depth, patches: of the sub-network that trained.
        val_top1: of the last epoch, per cent; None before its end.
        flops: of training and search so far.
        seconds_left: by its own pace.
        worker: host and process that runs it.
        told: Unix time, by that host's clock; who reads it may have another (`analysis/standing.py`, `Watch`).
    """

    epoch: float
    epochs: float
    phase: str
    depth: int
    patches: int
    val_top1: float | None
    flops: float
    seconds_left: float
    worker: str
    told: float


def standing_of(trial: FrozenTrial) -> Standing | None:
    """Where a running trial stood last; None where it has not said."""
    try:
        return Standing(**trial.user_attrs[ATTRIBUTE])
    except (KeyError, TypeError):  # nothing yet, or another version's
        return None


class Notebook:
    """Keeps where trials stand, as often as is worth it. What is wrong with the storage, the run itself will say.

    Args:
        study: whose trials this process runs.
    """

    def __init__(self, study: StoredStudy) -> None:
        self._study, self._due = study, 0.0
        self._ids: dict[Job, int] = {}
        self._worker = f"{socket.gethostname()}:{os.getpid()}"

    def note(self, job: Job, progress: Progress) -> None:
        """Store where a trial stands, unless something was stored a moment ago."""
        if time.monotonic() < self._due:
            return
        try:
            self._store(job, progress)
            self._due = time.monotonic() + EVERY_SECONDS
        except Exception as error:  # noqa: BLE001 - a note is not worth a run, whatever the database's driver raises
            logging.getLogger(__name__).debug("where %s stands is not stored: %s", job, error)
            self._due = time.monotonic() + AWAY_SECONDS

    def _store(self, job: Job, progress: Progress) -> None:
        if job not in self._ids:
            self._ids[job] = self._study.trial(job)._trial_id
        standing = Standing(
            epoch=progress.epoch,
            epochs=progress.epochs,
            phase=progress.phase,
            depth=progress.sub_network.depth,
            patches=progress.sub_network.patches,
            val_top1=progress.val_top1,
            flops=float(progress.flops),
            seconds_left=progress.seconds_left,
            worker=self._worker,
            told=time.time(),
        )
        storage = getattr(self._study.storage, "optuna", self._study.storage)  # a server's, without waiting for it
        storage.set_trial_user_attr(self._ids[job], ATTRIBUTE, asdict(standing))
