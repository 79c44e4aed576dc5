"""Being asked to stop: a run writes its checkpoint and raises `Interrupted`; signals ask. Waiting stops as well."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Set
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from autoprog_search.errors import StudyError
from autoprog_search.files import file_lock

POLL_SECONDS = 0.5
T = TypeVar("T")

STOPS = {signal.SIGINT, signal.SIGTERM} | ({signal.SIGUSR1} if hasattr(signal, "SIGUSR1") else set())
"""Signals that ask to stop: Ctrl-C, whoever ends processes in order, and a queue's warning that time is running out."""


class Interrupted(Exception):
    """A run was asked to stop and has written its checkpoint."""


class StoppedEarly(Exception):
    """A run is over before its end: its method gave it up."""


def until_asked(items: Iterable[T], should_stop: Callable[[], bool]) -> Iterator[T]:
    """The items, one by one, as long as nobody asks to stop.

    Raises:
        Interrupted: `should_stop` said so.
    """
    for item in items:
        if should_stop():
            raise Interrupted
        yield item


@contextmanager
def signals_ask() -> Iterator[Callable[[], bool]]:
    """Inside, `STOPS` end nothing; the function that is given says whether one has come.

    In any but the main thread, where Python sets no handlers, none ever has.
    """
    # No threading.Event: a handler may interrupt itself while it holds the event's lock.
    asked: list[bool] = []
    previous = {}
    if threading.current_thread() is threading.main_thread():
        for number in STOPS:
            previous[number] = signal.signal(number, lambda *_: asked.append(True))
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def signals_wait(numbers: Set[int] = STOPS) -> Iterator[None]:
    """Inside, these signals wait, also in processes that are started, until each of them lets them in.

    What reaches all processes of a terminal, or of a queue's job, would end one that is still importing in a traceback.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def locked(
    path: Path, should_stop: Callable[[], bool] = lambda: False, on_wait: Callable[[], None] = lambda: None
) -> Iterator[None]:
    """Inside, this process alone holds the lock; it waits for whoever does.

    Args:
        on_wait: called once, if it has to.

    Raises:
        Interrupted: `should_stop` said so while it waited.
        StudyError: the folder has gone meanwhile, or cannot be written.
    """
    from filelock import Timeout

    lock, waits = file_lock(path), False
    while not lock.is_locked:
        if should_stop():
            raise Interrupted
        try:
            lock.acquire(timeout=POLL_SECONDS if waits else 0)
        except Timeout:
            if not waits:
                on_wait()
            waits = True
        except OSError as error:
            raise StudyError(f"{path}: cannot be locked: {str(error.strerror).lower()}") from None
    try:
        yield
    finally:
        lock.release()
