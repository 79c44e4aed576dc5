"""torch's loader processes: started, and what their deaths mean to the run that waits for them."""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import wait
from typing import Any

from torch.utils.data import DataLoader, Dataset

from autoprog_search.errors import DataError, why
from autoprog_search.interrupt import STOPS, signals_wait

ENDED_FROM_OUTSIDE = (-signal.SIGTERM, -signal.SIGHUP)  # exit codes of a process that was asked to end
ASK_THE_RUN = STOPS - {signal.SIGTERM}
ENDING_SECONDS = 1.0
NOT_HANDED_OVER = re.compile("open files|ancdata|shared memory")  # in torch's RuntimeErrors


def loaded(
    dataset: Dataset[Any],
    batches: Iterable[list[Any]],
    collate: Callable[[list[Any]], Any],
    workers: int,
    *,
    pinned: bool = False,
) -> Iterator[Any]:
    """Batches of a data set's items, collated, in order.

    Args:
        batches: the items of each batch, by whatever the data set is indexed with.
        collate: makes a batch of items; a `DataError` that it returns is raised here.
        workers: processes that load ahead; 0: this one loads, when it is asked.
        pinned: whether tensors are to come in memory that a GPU copies from by itself.

    Raises:
        DataError: `collate` gave it, or a loader process has died.
        LoadersEnded: see there.
    """
    loader = DataLoader(
        dataset,
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=collate,
        pin_memory=pinned,
        worker_init_fn=_leave_interrupts_to_the_run,
    )
    started = _started(loader)
    try:
        while (batch := _next(started)) is not None:
            if isinstance(batch, DataError):
                raise batch
            yield batch
    finally:
        del started  # now: torch waits 5 s for each process where the garbage collector ends it, after an exception


class LoadersEnded(Exception):
    """Loader processes were asked to end, and not by this process."""


def _leave_interrupts_to_the_run(worker: int) -> None:
    """Ctrl-C reaches every process of the terminal, a queue's warning every one of the job: the run decides what
    comes of it, and still needs its batches.
    """
    for number in ASK_THE_RUN:
        signal.signal(number, signal.SIG_IGN)


def _started(loader: DataLoader[Any]) -> Iterator[Any]:
    """The loader's batches, with its processes started, if it has any.

    torch lets SIGCHLD raise an error wherever this process then is, say in the middle of writing a checkpoint. It sees
    a dead process at the next batch as well, within seconds, so its handler is taken out again.
    """
    in_main_thread = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGCHLD)
    try:
        with signals_wait(ASK_THE_RUN):
            batches = iter(loader)
    except (OSError, RuntimeError) as error:  # no process, no thread, no memory for one
        raise _too_much(why(error)) from None
    if in_main_thread and signal.getsignal(signal.SIGCHLD) is not before:
        signal.signal(signal.SIGCHLD, before)
    return batches


def _next(batches: Iterator[Any]) -> Any:
    """The next batch, or None at the end.

    Raises:
        LoadersEnded: see there.
        DataError: a loader process has died otherwise, mostly for want of memory, or cannot hand its batch over.
    """
    try:
        return next(batches, None)
    except Exception as error:
        processes = getattr(batches, "_workers", ())
        if not processes:
            raise
        if isinstance(error, OSError | EOFError):  # a pipe broke: whoever held its other end may still be ending
            wait([process.sentinel for process in processes], timeout=ENDING_SECONDS)
        ends = [process.exitcode for process in processes if process.exitcode is not None]
        if any(end in ENDED_FROM_OUTSIDE for end in ends):
            raise LoadersEnded from None
        killed = [signal.Signals(-end).name for end in ends if end < 0]
        if killed:
            raise _too_much(f"died of {killed[0]}") from None
        if ends or isinstance(error, (OSError, EOFError)) or NOT_HANDED_OVER.search(str(error)):
            raise _too_much(f"cannot hand over its batch ({why(error)})") from None
        raise  # a fault of this program, with the traceback from the other process


def _too_much(reason: str) -> DataError:
    """Not a failure of the run: with less to load, the same command goes on from the checkpoint."""
    return DataError(
        f"data: a loader process {reason}; memory may be short: give fewer data.workers or smaller batches, and run "
        "the same command again"
    )
