"""What one process does of a run, by the clock: how long it has worked, and when to save and to tell again."""

from __future__ import annotations

import time

CHECKPOINT_SECONDS = 15.0
SAVING_SHARE = 0.02  # of the time, at most: a large model's checkpoints are written less often
TELL_SECONDS = 0.25


class Session:
    """From now until the process ends or the run is over.

    Args:
        wall_seconds: that earlier sessions of the run took.

    Attributes:
        steps: optimiser steps taken, those taken again included.
    """

    def __init__(self, wall_seconds: float) -> None:
        self._began = self._saved = time.perf_counter()
        self._before, self._saving, self._told = wall_seconds, 0.0, 0.0
        self.steps = 0

    @property
    def seconds(self) -> float:
        """Of this session so far."""
        return time.perf_counter() - self._began

    @property
    def wall_seconds(self) -> float:
        """Of all sessions of the run so far."""
        return self._before + self.seconds

    def save_is_due(self) -> bool:
        """Whether a checkpoint has become due since the last one."""
        return time.perf_counter() - self._saved > max(CHECKPOINT_SECONDS, self._saving / SAVING_SHARE)

    def saved(self, began: float) -> None:
        """Note that a checkpoint is written, which began at that `time.perf_counter()`."""
        self._saved, self._saving = began, time.perf_counter() - began

    def tell_is_due(self, anyway: bool) -> bool:
        """Whether it is time to tell of progress, or it is to be told anyway; the next time counts from then."""
        now = time.perf_counter()
        due = anyway or now - self._told > TELL_SECONDS
        if due:
            self._told = now
        return due
