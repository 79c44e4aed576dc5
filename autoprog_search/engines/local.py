"""Run a study in local worker processes: start them, hear what they tell, and stop them."""

from __future__ import annotations

import multiprocessing
import queue
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.process import BaseProcess

from autoprog_search.engines.engine import Ended, Needs
from autoprog_search.engines.events import Event, Tell
from autoprog_search.engines.worker import run_worker
from autoprog_search.interrupt import STOPS, signals_ask, signals_wait
from autoprog_search.study.locking import in_use
from autoprog_search.study.store import StoredStudy


def run_workers(study: StoredStudy, needs: Needs, tell: Tell) -> Ended:
    """Run whatever is unfinished in worker processes of this machine, one unless more are asked for.

    Raises:
        KeyboardInterrupt: a signal asked to stop; workers have written their checkpoints.
    """
    with in_use(study.folder):
        return _run_workers(study, needs, tell)


def _run_workers(study: StoredStudy, needs: Needs, tell: Tell) -> Ended:
    context = multiprocessing.get_context("spawn")
    # A queue starts a process of Python's own, which is ready for these two signals only.
    with signals_wait(STOPS - {signal.SIGINT, signal.SIGTERM}):
        events: multiprocessing.Queue[Event] = context.Queue()
    which = (study.folder.parent, study.folder.name)
    processes = [
        context.Process(
            target=run_worker, args=(*which, needs.device, index, events, needs.loggers), name=f"worker-{index}"
        )
        for index in range(needs.workers or 1)
    ]
    error: str | None = None
    told_to_stop = False
    with signals_ask() as asked_to_stop, _ended(processes):
        with signals_wait():
            for process in processes:
                process.start()
        while any(p.is_alive() for p in processes) or not events.empty():
            try:
                event = events.get(timeout=0.2)
            except queue.Empty:
                event = None
            if event is not None:
                if event.kind == "error":
                    error = error or event.message
                tell(event)
            if asked_to_stop() and not told_to_stop:
                told_to_stop = True
                for process in processes:
                    if process.is_alive():
                        process.terminate()  # SIGTERM: the worker writes its checkpoint, then ends
        interrupted = asked_to_stop()
    if interrupted:
        raise KeyboardInterrupt
    died = [f"{p.name} died ({_how(p.exitcode)})" for p in processes if p.exitcode != 0]
    return Ended(error, died[0] if died else None)


def _how(exit_code: int | None) -> str:
    """What an exit code says of an end."""
    if exit_code is not None and exit_code < 0:
        name = signal.Signals(-exit_code).name if -exit_code in set(signal.Signals) else f"signal {-exit_code}"
        return f"{name}: out of memory?" if name == "SIGKILL" else name
    return f"exit code {exit_code}"


@contextmanager
def _ended(processes: Sequence[BaseProcess]) -> Iterator[None]:
    """Whatever happens inside, none of the processes outlives it."""
    try:
        yield
    finally:
        for process in processes:
            if process.pid is not None:  # else it could not be started
                process.terminate()
                process.join()
