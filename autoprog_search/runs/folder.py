"""The folder of one training run: who may write into it, and what is left there."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import Timeout

from autoprog_search.errors import StudyError
from autoprog_search.files import CHECKPOINT, WEIGHTS, file_lock, sweep, write_atomic, write_yaml
from autoprog_search.training.checkpoint import drop_checkpoints, export_weights

if TYPE_CHECKING:
    import torch

    from autoprog_search.schedule import GrowthSchedule

SCHEDULE, RESULT = "schedule.yaml", "result.json"


@contextmanager
def alone_in(out: Path) -> Iterator[None]:
    """Inside, no other run writes into that folder.

    Raises:
        StudyError: one does.
    """
    path, held = out / ".lock", False
    while not held:
        lock = file_lock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise StudyError(f"output: another process runs in {out}; wait for it, or choose another folder") from None
        except OSError as error:
            raise StudyError(f"output: {out} cannot be written: {str(error.strerror).lower()}") from None
        held = path.exists()  # else whoever held it has just removed it: another may make a new one
        if not held:
            lock.release()
    try:
        sweep(out, (CHECKPOINT, WEIGHTS, SCHEDULE, RESULT))
        yield
    finally:
        path.unlink(missing_ok=True)
        if not any(out.iterdir()):  # wrong input: nothing was done, nothing is left
            out.rmdir()
        lock.release()


def leave(out: Path, weights: dict[str, torch.Tensor], ran: GrowthSchedule, row: Mapping[str, Any]) -> None:
    """Write what a finished run leaves, and drop its checkpoint."""
    export_weights(out / WEIGHTS, weights)
    write_yaml(out / SCHEDULE, ran.to_dict())
    write_atomic(out / RESULT, json.dumps(row, indent=1).encode())
    drop_checkpoints(out / CHECKPOINT)
