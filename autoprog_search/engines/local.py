"""Run a study in local worker processes: start them, hear what they tell, and stop them."""

from __future__ import annotations

import multiprocessing
import queue
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING

from optuna.trial import FrozenTrial

from autoprog_search.engines.events import Event, Tell
from autoprog_search.engines.worker import run_worker
from autoprog_search.errors import ConfigError, StudyError
from autoprog_search.interrupt import STOPS, signals_ask, signals_wait
from autoprog_search.loggers.registry import check_loggers
from autoprog_search.study.claims import Kept
from autoprog_search.study.identity import check_unchanged
from autoprog_search.study.locking import in_use
from autoprog_search.study.scheduling import check_runs, to_run, unfinished
from autoprog_search.study.store import ENDED_WELL, Job, StoredStudy

if TYPE_CHECKING:
    from autoprog_search.training.world import World


def run_study(
    study: StoredStudy,
    *,
    workers: int,
    device: str,
    on_event: Tell = lambda event: None,
    world: World | None = None,
    loggers: tuple[str, ...] = (),
) -> bool:
    """Run whatever is unfinished; safe to call again, and at the same time from elsewhere.

    Args:
        world: the processes that train each trial together, in place of workers; this is rank 0.
        loggers: names of those that are told of each run; they change no result.

    Returns:
        Whether every trial of the study has ended without failure.

    Raises:
        StudyError: study.yaml or the data are not those that it was created with; or a worker died and left trials:
            what has finished is stored and the rest can be resumed.
        ConfigError: all has run but trials under settings that were taken out; or there is no such logger, or nothing
            for it to log.
        MissingExtraError: a logger's package is not installed.
        KeyboardInterrupt: a signal asked to stop; workers have written their checkpoints.
    """
    check_loggers(loggers)
    if loggers and study.config.data.table is not None:
        raise ConfigError("logger: results of a table are looked up, not trained; leave --logger out")
    check_unchanged(study)
    if world is not None:
        from autoprog_search.engines.together import run_together  # loads torch, as workers do

        run_together(study, world, on_event, loggers)
    elif unfinished(to_run(study)):
        with in_use(study.folder):
            _run_workers(study, workers, device, on_event, loggers)
    trials = study.trials()
    _clear_up(study, trials)
    check_runs(study, trials)
    states = [trial.state.name for trial in trials.values()]
    return all(state in ENDED_WELL for state in states)


def _clear_up(study: StoredStudy, trials: Mapping[Job, FrozenTrial]) -> None:
    """Remove the checkpoints of trials that have ended: a worker that was killed right then left them."""
    if study.config.data.table is None:
        finished = [study.trial_folder(job) for job, trial in trials.items() if trial.state.is_finished()]
        for left in (path for folder in finished for path in folder.glob("*.pt*")):
            left.unlink(missing_ok=True)
        Kept(artifacts=study.artifacts).clear(finished)


def _run_workers(study: StoredStudy, workers: int, device: str, on_event: Tell, loggers: tuple[str, ...]) -> None:
    context = multiprocessing.get_context("spawn")
    # A queue starts a process of Python's own, which is ready for these two signals only.
    with signals_wait(STOPS - {signal.SIGINT, signal.SIGTERM}):
        events: multiprocessing.Queue[Event] = context.Queue()
    which = (study.folder.parent, study.folder.name)
    processes = [
        context.Process(target=run_worker, args=(*which, device, index, events, loggers), name=f"worker-{index}")
        for index in range(workers)
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
                on_event(event)
            if asked_to_stop() and not told_to_stop:
                told_to_stop = True
                for process in processes:
                    if process.is_alive():
                        process.terminate()  # SIGTERM: the worker writes its checkpoint, then ends
        interrupted = asked_to_stop()
    if interrupted:
        raise KeyboardInterrupt
    died = [f"{p.name} died ({_how(p.exitcode)})" for p in processes if p.exitcode != 0]
    what = error or (died[0] if died else None)
    if left := unfinished(to_run(study)):
        # Asked to stop by a signal of its own, a worker ends as if it were done.
        again = f"{len(left)} trial(s) are not finished; run the study again, it resumes"
        raise StudyError(error or f"{what or 'a worker was stopped'}, and {again}")
    if what is not None:
        on_event(Event("warning", message=f"{what}; the others finished its trials"))


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
