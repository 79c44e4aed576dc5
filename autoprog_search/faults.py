"""What exceptions from outside say to a user: a storage's, the system's, memory's. In one line, with the way out.

They are known by name: neither Optuna nor SQLAlchemy nor torch need be loaded for it.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable
from errno import ENOSPC

from autoprog_search.errors import AutoProgError, EnvironmentFault, LostProcess, StudyError, printable, why

WAYS_OUT = (
    (r"full|no space", "free some space, then run the same command again: nothing that finished is lost"),
    (r"locked|busy", "another process keeps it busy; run the same command again"),
    (r"read-?only|permission|denied", "it has to be writable for this user"),
    (r"no such (table|column)|not a database|malformed|no longer|out of date|mismatch", "it is damaged, or no Optuna "
     "storage of this version; `study delete` removes the study, `study create --config` makes it again"),
    (r"connect|server|timeout|timed out|resolve|host", "once it answers again, run the same command: it goes on"),
)  # fmt: skip
ANY_WAY_OUT = "once that is mended, run the same command again: it goes on"


class Warnings(logging.Handler):
    """Passes on what is worth knowing and no error, line by line."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        self._tell(printable(record.getMessage()))


def known_error(error: BaseException) -> AutoProgError | None:
    """The error as a user is told of it; None: it is our own bug, and its traceback is wanted."""
    if isinstance(error, AutoProgError):
        return error
    return storage_error(error) or environment_error(error) or peer_error(error)


def storage_error(error: BaseException) -> AutoProgError | None:
    """What an error of a study's storage says; None: it is no storage's."""
    name = type(error).__name__
    if name == "StorageInternalError":
        return StudyError(storage_line(reason(error.__cause__ or error)))
    if name == "UpdateFinishedTrialError":
        return StudyError("storage: another process has ended a trial that this one ran; run the same command again")
    if any(kind.__module__.partition(".")[0] in ("sqlalchemy", "sqlite3") for kind in type(error).__mro__):
        return StudyError(storage_line(reason(error)))
    return None


def storage_line(why: str, where: str = "") -> str:
    """A storage's reason, with the way out."""
    way_out = next((advice for pattern, advice in WAYS_OUT if re.search(pattern, why.lower())), ANY_WAY_OUT)
    return f"storage: {where}{why[:200]}; {way_out}"


def reason(error: BaseException) -> str:
    """A driver's own words: SQLAlchemy adds the statement and its values."""
    own = getattr(error, "orig", None)
    text = str(own if own is not None else error) or type(error).__name__
    return " ".join(text.split())


def environment_error(error: BaseException) -> AutoProgError | None:
    """What an exception of the system says to a user; None: it is none.

    Of torch's errors those that say that memory ran out; they are known by name, as torch may not be loaded.
    """
    if isinstance(error, OSError) and error.strerror:
        what = f"{error.filename}: " if error.filename is not None else "output: " if error.errno == ENOSPC else ""
        return EnvironmentFault(f"{what}{error.strerror.lower()}")
    text = str(error)
    no_memory = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    if no_memory or (isinstance(error, RuntimeError) and ("can't allocate memory" in text or "out of memory" in text)):
        return EnvironmentFault(
            "memory: there is not enough; a smaller recipe.batch_size or a larger recipe.grad_accum needs less; the "
            "same command goes on"
        )
    return None


def among_others() -> bool:
    """Whether torchrun has started several of these processes."""
    launched = {"RANK", "LOCAL_RANK"} <= os.environ.keys()  # a cluster's own RANK is no launcher's
    return launched and os.environ.get("WORLD_SIZE", "1") != "1"


PEER = re.compile(r"(closed|reset) by peer|broken pipe|pair closure|timed out|(recv|send)Bytes|NCCL", re.IGNORECASE)
"""In the RuntimeErrors of torch's processes that tell of another one which is gone."""


def peer_error(error: BaseException) -> AutoProgError | None:
    """What torch says where another process of the run is gone; None: it says something else."""
    if not among_others():
        return None
    by_name = type(error).__name__ in ("DistBackendError", "DistNetworkError", "DistStoreError")
    if by_name or (isinstance(error, RuntimeError) and PEER.search(str(error))):
        # Without the C++ file, and without what may be the cause.
        reason = why(error).rpartition("] ")[2].partition(". ")[0][:80]
        return LostProcess(
            f"a process of this run is gone, or cannot be reached ({reason}); the same command goes on from the last "
            "checkpoint"
        )
    return None
