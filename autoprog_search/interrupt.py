"""Being asked to stop: a run writes its checkpoint and raises `Interrupted`; signals ask."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


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
