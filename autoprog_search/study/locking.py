"""Locks that the system frees when their holder dies, however it dies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from autoprog_search.training.interrupt import Interrupted

POLL_SECONDS = 0.5


@contextmanager
def locked(path: Path, should_stop: Callable[[], bool]) -> Iterator[None]:
    """Inside, this process alone holds the lock; it waits for whoever does.

    Raises:
        Interrupted: `should_stop` said so while it waited.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    while not lock.is_locked:
        if should_stop():
            raise Interrupted
        with suppress(Timeout):
            lock.acquire(timeout=POLL_SECONDS)
    try:
        yield
    finally:
        lock.release()
