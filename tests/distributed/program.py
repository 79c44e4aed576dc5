"""`autoprog-search` in doubles, on images in doubles, of which a signal comes at a step.

`python -m tests.distributed.program ARGUMENTS...`, with END="RANK STEP SIGNAL" in the environment: that process (`all`:
each of them) sends itself the signal before that step.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from unittest import mock

import torch

from autoprog_search.__main__ import main
from autoprog_search.training.step import TrainingStep
from tests.distributed.cases import data_in_doubles
from tests.fewer import evaluate_on_fewer


def ended_by(rank: str, step: str, name: str) -> None:
    """Let that happen in this process, if it is meant."""
    if rank not in ("all", os.environ.get("RANK")):
        return
    take = TrainingStep.__call__

    def take_or_end(self, images, labels, number, seed):
        if number == int(step):
            print(f"signal at {time.time()}", file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.Signals[name])
        return take(self, images, labels, number, seed)

    mock.patch.object(TrainingStep, "__call__", take_or_end).start()


if __name__ == "__main__":
    torch.set_default_dtype(torch.float64)
    evaluate_on_fewer()
    if "END" in os.environ:
        ended_by(*os.environ["END"].split())
    with mock.patch("autoprog_search.runs.train.load_data", data_in_doubles):
        main()
