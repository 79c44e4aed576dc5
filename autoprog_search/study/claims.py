"""Claims: what a process holds while it runs a trial, so that nobody else does.

Where all who run a study share its folder, a claim is a file lock beside the checkpoint: the system frees it as soon as
its holder dies. Where they share a database server, it is a lease there, which bears that lock's name.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from filelock import FileLock, Timeout

from autoprog_search.errors import LostClaim, StudyError
from autoprog_search.files import file_lock
from autoprog_search.interrupt import POLL_SECONDS, Interrupted
from autoprog_search.study.artifacts import Artifacts
from autoprog_search.study.locking import GATE
from autoprog_search.study.store import StoredStudy


class Claim(Protocol):
    """What is held.

    Attributes:
        token: larger than of whoever held it before, where somebody else could write late.
    """

    @property
    def token(self) -> int: ...

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
    token: int = 0

    def look(self) -> None:
        """Nothing to see."""

    def check(self) -> None:
        """Nothing to ask."""

    def release(self) -> None:
        self.lock.release()


def held_elsewhere(study: StoredStudy) -> set[Path]:
    """What one look tells that somebody has claimed: to try each lease would write to the database each time."""
    if study.leases is None:
        return set()
    beginning = f"{study.config.name}/"
    return {study.folder / name.removeprefix(beginning) for name in study.leases.held(beginning)}


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


def stops_with(ours: Claim, should_stop: Callable[[], bool]) -> bool:
    """Whether a run is asked to stop, once it is known that nobody else has its claim.

    Raises:
        LostClaim: somebody else has.
    """
    ours.look()
    return should_stop()


@contextmanager
def lost_if_taken(ours: Claim) -> Iterator[None]:
    """Inside, whatever fails since somebody else has the claim by now, and perhaps what belongs to it, is LostClaim.

    Who was stopped for longer than its lease meets trials that have ended, or are not there any more.
    """
    try:
        yield
    except (Interrupted, LostClaim):
        raise
    except Exception:
        ours.check()
        raise


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


@dataclass(frozen=True)
class Kept:
    """Where the files of runs are kept that this process has claimed: in their folder, and under the study's URL.

    Attributes:
        claim: of what runs; None: nobody else can write there.
        artifacts: None: the folder is all.
    """

    claim: Claim | None = None
    artifacts: Artifacts | None = None

    def check(self) -> None:
        """Before a file is written: whether it is this process's to write.

        Raises:
            LostClaim: it is not any more.
        """
        if self.claim is not None:
            self.claim.check()

    def fetch(self, path: Path) -> None:
        """Bring a file to what was last written of it, anywhere."""
        if self.artifacts is not None:
            self.artifacts.fetch(path)

    def put(self, path: Path) -> None:
        """Let others have a file that was written."""
        if self.artifacts is not None:
            self.artifacts.keep(path, self.claim.token if self.claim else 0)

    def put_if_possible(self, path: Path) -> None:
        """The same of a file that will be written again: what is wrong is said, no more."""
        self._try(lambda: self.put(path))

    def drop(self, path: Path) -> None:
        """Remove a file that nobody needs any more from where others have it; what is wrong is said."""
        if (artifacts := self.artifacts) is not None:
            self._try(lambda: artifacts.drop(path))

    def clear(self, folders: Collection[Path]) -> None:
        """The same of all that comes from the folders of trials that have ended, but their weights."""
        if (artifacts := self.artifacts) is not None:
            self._try(lambda: artifacts.clear(folders))

    def _try(self, call: Callable[[], Any]) -> None:
        try:
            call()
        except StudyError as error:
            logging.getLogger("autoprog_search").warning(str(error))


UNSHARED = Kept()
"""In their folder only, by nobody else."""
