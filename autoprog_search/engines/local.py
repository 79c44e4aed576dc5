"""Run a study's trials in local worker processes.

A worker takes a trial by a file lock beside its checkpoint, which the system frees when the worker dies, however it
dies. So any number of workers, also of several `study run`, share a study and run nothing twice.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import queue
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from optuna.trial import FrozenTrial

from autoprog_search.engines.events import Event, end_of
from autoprog_search.engines.profile import shared_profile
from autoprog_search.engines.table import answer_trials
from autoprog_search.errors import StudyError
from autoprog_search.faults import known_error
from autoprog_search.files import file_lock
from autoprog_search.interrupt import signals_ask
from autoprog_search.methods.registry import method_named
from autoprog_search.study.identity import check_unchanged
from autoprog_search.study.locking import POLL_SECONDS, in_use
from autoprog_search.study.scheduling import check_runs, runnable, unfinished
from autoprog_search.study.store import ENDED_WELL, Job, StoredStudy, open_study

STOPS = {signal.SIGINT, signal.SIGTERM}


def run_study(
    study: StoredStudy, *, workers: int, device: str, on_event: Callable[[Event], None] = lambda event: None
) -> bool:
    """Run whatever is unfinished; safe to call again, and at the same time from elsewhere.

    Returns:
        Whether every trial of the study has ended without failure.

    Raises:
        StudyError: study.yaml or the data are not those that it was created with; or a worker died and left trials:
            what has finished is stored and the rest can be resumed.
        ConfigError: all has run but trials under settings that were taken out.
        KeyboardInterrupt: SIGINT or SIGTERM; workers have written their checkpoints.
    """
    check_unchanged(study)
    if unfinished(study.trials_to_run()):
        with in_use(study.folder):
            _run_workers(study, workers, device, on_event)
    trials = study.trials()
    _clear_up(study, trials)
    check_runs(study, trials)
    states = [trial.state.name for trial in trials.values()]
    return all(state in ENDED_WELL for state in states)


def _clear_up(study: StoredStudy, trials: Mapping[Job, FrozenTrial]) -> None:
    """Remove the checkpoints of trials that have ended: a worker that was killed right then left them."""
    if study.config.data.table is None:
        for job, trial in trials.items():
            for left in study.trial_folder(job).glob("*.pt*") if trial.state.is_finished() else ():
                left.unlink(missing_ok=True)


def _run_workers(study: StoredStudy, workers: int, device: str, on_event: Callable[[Event], None]) -> None:
    context = multiprocessing.get_context("spawn")
    events: multiprocessing.Queue[Event] = context.Queue()
    root, name = study.folder.parent, study.folder.name
    processes = [
        context.Process(target=_worker, args=(root, name, device, index, events, os.getpid()), name=f"worker-{index}")
        for index in range(workers)
    ]
    error: str | None = None
    told_to_stop = False
    with signals_ask() as asked_to_stop, _ended(processes):
        with _no_interrupts():
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
    if left := unfinished(study.trials_to_run()):
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
def _no_interrupts() -> Iterator[None]:
    """Inside, these signals wait, also in processes that are started: each of them lets it in when it can handle it.

    Ctrl-C reaches the whole process group; in a worker that is still importing it would end in a traceback.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _ended(processes: Sequence[BaseProcess]) -> Iterator[None]:
    """Whatever happens inside, none of the processes outlives it."""
    try:
        yield
    finally:
        for process in processes:
            if process.is_alive():
                process.terminate()
            process.join()


def _worker(root: Path, name: str, device: str, index: int, events: Any, parent: int) -> None:
    """A worker process: run trials until none is left."""
    for (
        number
    ) in STOPS:  # what holds again at the end: killed while it still tells, its half message would hold the parent
        signal.signal(number, lambda *_: None)
    with signals_ask() as asked_to_stop:
        if hasattr(signal, "pthread_sigmask"):  # see `_no_interrupts`
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
        logging.getLogger("autoprog_search").addHandler(_Telling(events.put))
        try:
            study = open_study(root, name)
            with in_use(study.folder):
                # A parent that was killed cannot end its workers: they look for themselves.
                work(study, device, index, events.put, lambda: asked_to_stop() or os.getppid() != parent)
        except Exception as error:
            known = known_error(error)
            if known is None:
                raise
            events.put(Event("error", message=str(known)))


class _Telling(logging.Handler):
    """Passes warnings on to whoever watches the study."""

    def __init__(self, tell: Callable[[Event], None]) -> None:
        super().__init__(logging.WARNING)
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        self._tell(Event("warning", message=record.getMessage()))


def work(
    study: StoredStudy, device_name: str, index: int, tell: Callable[[Event], None], should_stop: Callable[[], bool]
) -> None:
    """Run trials, one after the other, until all of the study's are finished (or `should_stop`)."""
    if study.config.data.table is not None:
        answer_trials(study, tell, should_stop)
        return
    from autoprog_search.analysis.budget import budget
    from autoprog_search.engines.nni import Means, run_experiment
    from autoprog_search.engines.population import run_population
    from autoprog_search.engines.worker import check_study, run_trial
    from autoprog_search.interrupt import Interrupted
    from autoprog_search.study.opening import open_data
    from autoprog_search.training.device import pick_device, use_threads

    device = pick_device(device_name, index)
    use_threads(study.config.threads)
    data = open_data(study, device)
    check_study(study, data)
    try:
        profile = shared_profile(
            study,
            data,
            device,
            should_stop=should_stop,
            on_measuring=lambda name: tell(Event("profile", message=name)),
        )
    except Interrupted:
        return
    if index == 0:
        tell(Event("budget", message=budget(study, profile, data.train_size).text))
    while not should_stop():
        trials = study.trials_to_run()
        job, lock = _claim(study, trials)
        if job is None or lock is None:
            if not unfinished(trials):
                return
            time.sleep(POLL_SECONDS)
            continue
        try:
            if method_named(job.method).hosted:
                host = run_population if method_named(job.method).population else run_experiment
                host(study, job, Means(data, device, profile), tell=tell, should_stop=should_stop)
                continue
            tell(Event("start", job))
            run_trial(
                study,
                job,
                data,
                device=device,
                profile=profile,
                on_progress=partial(_tell_progress, tell, job),
                should_stop=should_stop,
            )
        except Interrupted:
            return
        finally:
            lock.release()
        tell(end_of(study, job))


def _tell_progress(tell: Callable[[Event], None], job: Job, progress: Any) -> None:
    tell(Event("progress", job, progress))


def _claim(study: StoredStudy, trials: Mapping[Job, FrozenTrial]) -> tuple[Job | None, FileLock | None]:
    """A trial that is ready and that nobody else holds, with its lock."""
    for job in runnable(trials):
        lock = file_lock(study.lock_path(job))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue
        # It may have been finished between the look and the lock.
        if study.optuna_study(job.method, job.seed).get_trials(deepcopy=False)[job.trial].state.is_finished():
            lock.release()
            continue
        return job, lock
    return None, None
