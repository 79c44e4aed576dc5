"""Claims: what a process holds while it runs a trial, so that nobody else does.

Where all who run a study share its folder, a claim is a file lock beside the checkpoint: the system frees it as soon as
its holder dies. Where they share a database server, it is a lease there, which bears that lock's name.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from filelock import FileLock, Timeout

from autoprog_search.files import file_lock
from autoprog_search.interrupt import POLL_SECONDS, Interrupted
from autoprog_search.study.locking import GATE
from autoprog_search.study.store import StoredStudy


class Claim(Protocol):
    """What is held."""

    def look(self) -> None:
        """Raise LostClaim where it is known to be somebody else's by now."""

    def check(self) -> None:
        """As `look`, after asking: before anything is written that others may read."""

    def release(self) -> None:
        """Let others have it."""


@dataclass(frozen=True)
class _Locked:
    """A claim by file lock: nobody can have it as long as this process holds it."""

    lock: FileLock

    def look(self) -> None:
        """Nothing to see."""

    def check(self) -> None:
        """Nothing to ask."""

    def release(self) -> None:
        self.lock.release()


def claim(study: StoredStudy, path: Path) -> Claim | None:
    """Claim what that lock in the study's folder stands for; None: somebody else has it.

    Raises:
        StudyError: the lock cannot be made.
    """
    if study.leases is not None:
        return study.leases.take(f"{study.config.name}/{path.relative_to(study.folder).as_posix()}")
    lock = file_lock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return None
    return _Locked(lock)


@contextmanager
def claimed(study: StoredStudy, path: Path, should_stop: Callable[[], bool] = lambda: False) -> Iterator[Claim]:
    """Inside, this process has claimed it; it waits for whoever has.

    Raises:
        Interrupted: `should_stop` said so while it waited.
    """
    while (ours := claim(study, path)) is None:
        if should_stop():
            raise Interrupted
        time.sleep(POLL_SECONDS)
    try:
        yield ours
    finally:
        ours.release()


@contextmanager
def alone_in_storage(study: StoredStudy) -> Iterator[None]:
    """Inside, no other folder creates or deletes its trials; its own folder's lock the caller holds.

    Raises:
        LostClaim: this process was out of reach for too long.
    """
    if study.leases is None:
        yield
        return
    with claimed(study, study.folder / GATE):
        yield
