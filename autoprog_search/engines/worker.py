"""One worker process: it takes a trial, runs it where its method wants it run, and takes the next.

A worker claims a trial before it runs it (`study/claims.py`); should it die, however it dies, the claim ends by itself.
So any number of workers, also of several `study run`, share a study and run nothing twice.
"""

from __future__ import annotations

import gc
import logging
import multiprocessing
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optuna.trial import FrozenTrial

from autoprog_search.engines.events import Event, Tell, end_of, noted, tell_progress
from autoprog_search.engines.table import answer_trials
from autoprog_search.errors import LostClaim
from autoprog_search.faults import Warnings, known_error
from autoprog_search.interrupt import POLL_SECONDS, STOPS, Interrupted, signals_ask
from autoprog_search.methods.registry import method_named
from autoprog_search.study.claims import Claim, Kept, claim, held_elsewhere, lost_if_taken, stops_with
from autoprog_search.study.locking import in_use
from autoprog_search.study.scheduling import runnable, to_run, unfinished
from autoprog_search.study.store import Job, StoredStudy, open_study

if TYPE_CHECKING:
    from autoprog_search.engines.workplace import Workplace
    from autoprog_search.training.world import World

REST = "rest"
"""What rank 0 tells others while there is nothing to train."""


def run_worker(root: Path, name: str, device: str, index: int, events: Any, loggers: tuple[str, ...] = ()) -> None:
    """A worker process: run trials until none is left."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "a worker is a child process"
    for number in STOPS:
        # What holds again at the end: killed while it still tells, its half message would hold the parent.
        signal.signal(number, lambda *_: None)
    with signals_ask() as asked_to_stop:
        if hasattr(signal, "pthread_sigmask"):  # see `signals_wait`
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)

        def should_stop() -> bool:
            # A parent that was killed cannot end its workers: they look for themselves.
            return asked_to_stop() or not parent.is_alive()

        try:
            work(partial(open_study, root, name, should_stop), device, index, events.put, should_stop, loggers)
        except Exception as error:
            known = known_error(error)
            if known is None:
                raise
            events.put(Event("error", message=str(known)))


def work(
    open_here: Callable[[], StoredStudy],
    device: str,
    index: int,
    tell: Tell,
    should_stop: Callable[[], bool],
    loggers: tuple[str, ...] = (),
) -> None:
    """Open a study and run trials until none is left (or `should_stop`), in a process that does nothing else.

    Args:
        open_here: opens it.
    """
    with warnings_told(tell):
        try:
            study = open_here()
            if should_stop():  # while it started: torch need not be waited for
                return
            with in_use(study.folder):
                if study.config.data.table is None:
                    import_what_trains()
                run_trials(study, device, index, tell, should_stop, loggers=loggers)
        except Interrupted:  # while it waited for its storage
            return


@contextmanager
def warnings_told(tell: Tell) -> Iterator[None]:
    """Inside, the package's warnings are told as events."""
    heard, logger = Warnings(lambda text: tell(Event("warning", message=text))), logging.getLogger("autoprog_search")
    logger.addHandler(heard)
    try:
        yield
    finally:
        logger.removeHandler(heard)


def import_what_trains() -> None:
    """Without a look at it by the garbage collector, neither now nor later.

    torch and timm make half a million objects that last as long as the process. To walk them again and again takes an
    eighth of their import, and 0.3 s each time in the middle of training.
    """
    gc.disable()
    import autoprog_search.engines.trial
    import autoprog_search.engines.workplace  # noqa: F401

    gc.freeze()
    gc.enable()


def run_trials(
    study: StoredStudy,
    device_name: str,
    index: int,
    tell: Tell,
    should_stop: Callable[[], bool],
    world: World | None = None,
    loggers: tuple[str, ...] = (),
) -> None:
    """Run trials, one after the other, until all of the study's are finished (or `should_stop`).

    Args:
        world: the processes that train each trial together, default this one; this is rank 0.
        loggers: names of those that are told of each run (`loggers/registry.py`).
    """
    if study.config.data.table is not None:
        answer_trials(study, tell, should_stop)
        return
    from autoprog_search.analysis.budget import budget
    from autoprog_search.engines.workplace import open_workplace
    from autoprog_search.training.world import ALONE

    world = world or ALONE

    def on_measuring(device: str) -> None:
        tell(Event("profile", message=device))

    try:
        place = open_workplace(
            study,
            device_name,
            index,
            should_stop=should_stop,
            on_measuring=on_measuring,
            world=world,
            loggers=loggers,
        )
        if index == 0:
            tell(Event("budget", message=budget(study, place.profiles, place.data.train_size).text))
        while not should_stop():
            trials = to_run(study)
            claimed = _claim(study, trials)
            if claimed is not None:
                _run(study, *claimed, place, tell, should_stop)
            elif unfinished(trials):
                time.sleep(POLL_SECONDS)
                world.tell(REST)  # whoever hears nothing for long takes this process for dead
                if world.any_of(should_stop())[0]:
                    raise Interrupted
            else:
                break
    except Interrupted:
        return
    world.tell(None)


def _run(
    study: StoredStudy, job: Job, ours: Claim, place: Workplace, tell: Tell, should_stop: Callable[[], bool]
) -> None:
    """Run a trial that was claimed, or let its method's host run it with those beside it; then let others have it.

    Raises:
        LostClaim: others have it already, and several processes train it together, which have to begin anew.
    """
    from autoprog_search.engines.nni import run_experiment
    from autoprog_search.engines.population import run_population
    from autoprog_search.engines.trial import run_trial
    from autoprog_search.training.steps import Hooks

    stops = partial(stops_with, ours, should_stop)
    tell = noted(study, tell)
    host, place = method_named(job.method).host, replace(place, kept=Kept(ours, study.artifacts))
    try:
        with lost_if_taken(ours):
            if host is not None:
                run_together = {"nni": run_experiment, "population": run_population}[host]
                run_together(study, job, place, tell=tell, should_stop=stops)
                return
            tell(Event("start", job))
            run_trial(study, job, place, Hooks(partial(tell_progress, tell, job), stops))
    except LostClaim as lost:
        if place.world.size > 1:
            raise
        tell(Event("warning", message=str(lost)))
        return
    finally:
        ours.release()
    tell(end_of(study, job))


def _claim(study: StoredStudy, trials: Mapping[Job, FrozenTrial]) -> tuple[Job, Claim] | None:
    """A trial that is ready and that nobody else holds, claimed."""
    held = held_elsewhere(study)
    for job in runnable(trials):
        path = study.lock_path(job)
        ours = claim(study, path) if path not in held else None
        if ours is None:
            continue
        # It may have been finished between the look and the claim.
        if study.trial(job).state.is_finished():
            ours.release()
            continue
        return job, ours
    return None
