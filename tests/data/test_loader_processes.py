"""Loader processes and signals: Ctrl-C is the run's to answer, a killed process is one line, an ended one no loss."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from multiprocessing import active_children
from pathlib import Path

import pytest
import torch

from autoprog_search.errors import DataError
from tests.data.files import at, load, make_images

Batches = Iterator[tuple[torch.Tensor, torch.Tensor]]
STEPS = 12


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_images(tmp_path, train={"a": 30, "b": 30}, val={"a": 1, "b": 1})


def started(root: Path) -> tuple[Batches, list[int]]:
    """Batches of two loader processes, and those processes."""
    batches = load(root, workers=2).train_batches(3, 0, STEPS, 4, at(32))
    others = {process.pid for process in active_children()}
    next(batches)
    return batches, [process.pid for process in active_children() if process.pid not in others]


def send(number: int, processes: list[int]) -> None:
    """From another process, as a terminal or a queue does: torch's own processes obey their parent in another way."""
    subprocess.run(["kill", f"-{number}", *map(str, processes)], check=True)


def labels(batches: Batches) -> list[list[int]]:
    return [labels.tolist() for _, labels in batches]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGUSR1])
def test_what_asks_the_run_to_stop_does_not_end_loader_processes(root, number):
    batches, processes = started(root)
    send(number, processes)
    assert len(list(batches)) == STEPS - 1


def test_a_run_whose_loader_processes_are_ended_gets_the_same_batches(root, caplog):
    whole = labels(load(root).train_batches(3, 0, STEPS, 4, at(32)))
    batches, processes = started(root)
    send(signal.SIGTERM, processes)
    assert labels(batches) == whole[1:]
    assert [r.getMessage() for r in caplog.records] == [
        "data: the loader processes were ended by a signal; images are loaded without them"
    ]


def test_a_killed_loader_process_is_one_line_where_batches_are_taken(root):
    """torch would raise out of a signal's handler as well, wherever this process then is."""
    before = signal.getsignal(signal.SIGCHLD)
    batches, processes = started(root)
    assert signal.getsignal(signal.SIGCHLD) is before
    send(signal.SIGKILL, processes[:1])
    os.waitid(os.P_PID, processes[0], os.WEXITED | os.WNOWAIT)
    assert sum(k for k in range(1000)) == 499_500  # bytecode, between which a handler would run
    with pytest.raises(DataError) as caught:
        list(batches)
    assert "a loader process died of SIGKILL; memory may be short: give fewer data.workers" in str(caught.value)
    assert "\n" not in str(caught.value)
