"""Being asked to stop: a run writes its checkpoint and raises `Interrupted`; signals ask. Waiting stops as well."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from autoprog_search.errors import StudyError
from autoprog_search.files import file_lock

POLL_SECONDS = 0.5


class Interrupted(Exception):
    """A run was asked to stop and has written its checkpoint."""


class StoppedEarly(Exception):
    """A run is over before its end: its method gave it up."""


@contextmanager
def signals_ask() -> Iterator[Callable[[], bool]]:
    """Inside, SIGTERM and SIGINT end nothing; the function that is given says whether one has come.

    In any but the main thread, where Python sets no handlers, none ever has.
    """
    # No threading.Event: a handler may interrupt itself while it holds the event's lock.
    asked: list[bool] = []
    previous = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            previous[number] = signal.signal(number, lambda *_: asked.append(True))
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


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
