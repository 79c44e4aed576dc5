"""Locks that the system frees when their holder dies, however it dies; who uses a study's folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from filelock import Timeout

from autoprog_search.errors import StudyError
from autoprog_search.files import file_lock, inside
from autoprog_search.interrupt import locked

GATE = ".create.lock"
"""Of a study's folder: held while it is created, completed, exported, begun to be run, or deleted."""

RUNNING = ".running"
"""Folder of a lock for every process that runs the study."""

OTHERS = (".profile.lock", "trials/*/.lock", "trials/.*.lock", f"{RUNNING}/*.lock")
"""All locks of a study but the gate."""


@contextmanager
def at_gate(folder: Path) -> Iterator[None]:
    """Inside, the study in that folder is there, and nobody else creates, completes, exports or deletes it.

    Raises:
        StudyError: it is not there, or not any more.
    """
    gone = StudyError(f"{folder}: there is no study any more")
    if not folder.is_dir():  # the lock would make it
        raise gone
    with locked(folder / GATE):
        if not (folder / "study.yaml").exists():
            raise gone
        yield


@contextmanager
def in_use(folder: Path) -> Iterator[Path]:
    """Inside, this process runs the study in that folder, so that nobody deletes it; the lock that says so.

    Raises:
        StudyError: it has just been deleted.
    """
    path = folder / RUNNING / f"{os.getpid()}-{uuid4().hex}.lock"
    with at_gate(folder):
        inside(folder, path)
        _forget_the_dead(path.parent)
        lock = file_lock(path)
        lock.acquire()
    try:
        yield path
    finally:
        lock.release()
        path.unlink(missing_ok=True)


def _forget_the_dead(folder: Path) -> None:
    """Remove the locks of processes that were killed; the caller holds the gate."""
    for path in folder.glob("*.lock"):
        lock = file_lock(path)
        with suppress(Timeout, OSError):
            lock.acquire(timeout=0)
            path.unlink(missing_ok=True)
            lock.release()


@contextmanager
def out_of_use(folder: Path) -> Iterator[None]:
    """Inside, nobody runs the study in that folder, or begins to.

    Raises:
        StudyError: somebody does.
    """
    with locked(folder / GATE), ExitStack() as held:
        for path in (path for pattern in OTHERS for path in folder.glob(pattern)):
            if path.is_symlink() or not path.is_file():
                continue  # none of ours
            lock = file_lock(path)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                raise StudyError(
                    f"{folder}: a process is running it (it holds {path.relative_to(folder)}); stop that first"
                ) from None
            held.callback(lock.release)
        yield
