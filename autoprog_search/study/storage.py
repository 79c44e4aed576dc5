"""Optuna storages of studies: opened by URL or by file, secrets masked, errors one line, a torn journal mended.

Two kinds lie in a study's own folder: SQLite for trials that train, a journal for trials on a table, of which a study
has thousands (it takes whole trials 20 times as fast). Any other storage is named by its URL.
"""

from __future__ import annotations

import logging
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend

from autoprog_search.errors import AutoProgError, StudyError
from autoprog_search.files import file_lock

JOURNAL = "journal:///"
WAIT_SECONDS = 60  # several workers write: they wait for SQLite's lock instead of failing

PASSWORD = re.compile(r"(?<=://)([^:/]*):(.*)@")  # SQLAlchemy's rule, but up to the last @: a password may hold one
QUERY_SECRET = re.compile(r"([?&][^=&#]*(?:pass|pwd|secret|token)[^=&#]*=)([^&#]*)", re.IGNORECASE)
REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
IN_MEMORY = re.compile(
    r"sqlite(\+\w+)?:(//|///|///:memory:)(\?.*)?|sqlite(\+\w+)?:///file:(:memory:|.*[?&]mode=memory).*"
)
RELATIVE = re.compile(r"(sqlite(?:\+\w+)?:///)(?!/|file:|[A-Za-z]:[\\/])([^?]+)(.*)")

WAYS_OUT = (
    (r"full|no space", "free some space, then run the same command again: nothing that finished is lost"),
    (r"locked|busy", "another process keeps it busy; run the same command again"),
    (r"read-?only|permission|denied", "it has to be writable for this user"),
    (r"no such (table|column)|not a database|malformed|no longer|out of date|mismatch", "it is damaged, or no Optuna "
     "storage of this version; `study delete` removes the study, `study create --config` makes it again"),
    (r"connect|server|timeout|timed out|resolve|host", "once it answers again, run the same command: it goes on"),
)  # fmt: skip
ANY_WAY_OUT = "once that is mended, run the same command again: it goes on"


# ── URLs and their secrets ──────────────────────────────────────────────────────────────────────────────────────────


def masked(url: str) -> str:
    """The URL without its secrets, for messages; references to environment variables (`${NAME}`) are none."""

    def hidden(match: re.Match[str]) -> str:
        return f"{match[1]}:{match[2] if REFERENCE.fullmatch(match[2]) else '***'}@"

    def hidden_value(match: re.Match[str]) -> str:
        return match[1] + (match[2] if REFERENCE.fullmatch(match[2]) else "***")

    return QUERY_SECRET.sub(hidden_value, PASSWORD.sub(hidden, url))


def holds_secret(url: str) -> bool:
    """Whether a password stands in the URL itself."""
    return masked(url) != url


def without_secrets(text: str, url: str) -> str:
    """A driver's message about the URL, with whatever secret of it stands in there masked."""
    text = text.replace(url, masked(url))
    for secret in (*(match[2] for match in PASSWORD.finditer(url)), *(m[2] for m in QUERY_SECRET.finditer(url))):
        for spelling in {secret, unquote(secret)} - {""}:
            text = text.replace(spelling, "***")
    return text


def checked_url(url: str) -> str:
    """The URL as a study keeps it: without a password, a relative SQLite file made absolute.

    Raises:
        StudyError: it holds a password, or lives in the memory of one process.
    """
    if holds_secret(url):
        raise StudyError(
            f"storage: {masked(url)!r} holds a password, which would stand in study.yaml; name an environment variable "
            "in its place, as in user:${PGPASSWORD}@host, or leave it out and keep it in ~/.pgpass"
        )
    if IN_MEMORY.fullmatch(url):
        raise StudyError(
            f"storage: {url!r} is memory of one process, which no worker shares and no run outlives; give a file: "
            "sqlite:///FILE"
        )
    if relative := RELATIVE.fullmatch(url):
        return f"{relative[1]}{Path(relative[2]).resolve()}{relative[3]}"
    return url


def _expanded(url: str) -> str:
    """The URL with its `${NAME}` replaced by environment variables.

    Raises:
        StudyError: one of them is not set.
    """

    def value(match: re.Match[str]) -> str:
        found = os.environ.get(match[1])
        if found is None:
            raise StudyError(f"storage: {masked(url)!r} refers to ${match[1]}, which is not set; export it first")
        return found

    return REFERENCE.sub(value, url)


# ── opening ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def open_storage(url: str) -> BaseStorage:
    """An Optuna storage by URL.

    Raises:
        StudyError: it cannot be opened.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    whole = _expanded(url)
    if IN_MEMORY.fullmatch(whole):
        checked_url(whole)
    try:
        if url.startswith(JOURNAL):
            return open_journal(Path(url.removeprefix(JOURNAL)))
        if whole.startswith("sqlite"):
            return RDBStorage(whole, engine_kwargs={"connect_args": {"timeout": WAIT_SECONDS}})
        return optuna.storages.get_storage(whole)
    except Exception as error:  # noqa: BLE001 - whatever the database's driver raises
        reason = without_secrets(_reason(error), whole)
        raise StudyError(f"storage: {masked(url)!r} cannot be opened: {reason[:200]}") from None


def open_sqlite(path: Path) -> BaseStorage:
    """The storage in that SQLite file, whatever its path holds: a URL would take `?`, `%` and `{` for something else.

    Raises:
        StudyError: it cannot be opened.
    """
    from sqlalchemy.pool import QueuePool

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    connect = partial(sqlite3.connect, str(path), timeout=WAIT_SECONDS, check_same_thread=False)
    try:
        return RDBStorage("sqlite://", engine_kwargs={"creator": connect, "poolclass": QueuePool})
    except Exception as error:  # noqa: BLE001 - whatever the database's driver raises
        raise StudyError(f"storage: {path} cannot be opened: {_reason(error)[:200]}") from None


def open_journal(path: Path) -> BaseStorage:
    """The storage in that journal file.

    Raises:
        StudyError: it cannot be opened, or is damaged.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return JournalStorage(_Journal(path))


class _SystemLock:
    """A journal's lock that the system frees when its holder dies; Optuna's own stays, and others wait 30 s for it."""

    def __init__(self, path: Path) -> None:
        self._lock = file_lock(path)

    def acquire(self) -> bool:
        self._lock.acquire()
        return True

    def release(self) -> None:
        self._lock.release()


class _Journal(JournalFileBackend):
    """Optuna's journal, one JSON line an operation, that survives a write which stopped in the middle.

    A full disk or a kill leaves a torn last line, to which the next write would be added: then nothing could be read
    any more. Here a failed write is taken back, and a torn end is cut off before anything is added to it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._system_lock = _SystemLock(path.with_name(f"{path.name}.lock"))
        super().__init__(str(path), lock_obj=self._system_lock)  # type: ignore[arg-type] # as its own locks do

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Add operations, all or none.

        Raises:
            StudyError: they cannot be written.
        """
        with self._locked():
            end = self._whole_size()
            try:
                super().append_logs(logs)
            except BaseException as error:
                os.truncate(self._path, end)
                if isinstance(error, OSError):
                    raise StudyError(_line(f"{self._path}: {error.strerror}".lower())) from None
                raise

    def read_logs(self, log_number_from: int) -> Any:
        """The operations from that one on.

        Raises:
            StudyError: a line is damaged.
        """
        try:
            yield from super().read_logs(log_number_from)
        except ValueError as error:
            raise StudyError(
                f"storage: {self._path} is damaged ({_reason(error)[:80]}); `study delete` removes the study, "
                "`study create --config` makes it again"
            ) from None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._system_lock.acquire()
        try:
            yield
        finally:
            self._system_lock.release()

    def _whole_size(self) -> int:
        """Bytes up to the end of the last whole line; what lies beyond is cut off. The caller holds the lock."""
        with self._path.open("rb") as file:
            end = size = file.seek(0, os.SEEK_END)
            while end > 0:
                begin = max(0, end - 4096)
                file.seek(begin)
                newline = file.read(end - begin).rfind(b"\n")
                if newline >= 0:
                    end = begin + newline + 1
                    break
                end = begin
        if end < size:
            logging.getLogger("autoprog_search").warning(f"{self._path}: a write had stopped in its last line; cut off")
            os.truncate(self._path, end)
        return end


# ── errors ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def storage_error(error: BaseException) -> AutoProgError | None:
    """What an error of a storage says to a user: one line with the way out. None: it is no storage's."""
    if isinstance(error, optuna.exceptions.StorageInternalError):
        return StudyError(_line(_reason(error.__cause__ or error)))
    # By name: whatever the study is stored in, SQLAlchemy need not be there.
    if any(kind.__module__.partition(".")[0] in ("sqlalchemy", "sqlite3") for kind in type(error).__mro__):
        return StudyError(_line(_reason(error)))
    return None


def _reason(error: BaseException) -> str:
    """The driver's own words: SQLAlchemy adds the statement and its values."""
    own = getattr(error, "orig", None)
    text = str(own if own is not None else error) or type(error).__name__
    return " ".join(text.split())


def _line(reason: str) -> str:
    way_out = next((advice for pattern, advice in WAYS_OUT if re.search(pattern, reason.lower())), ANY_WAY_OUT)
    return f"storage: {reason[:200]}; {way_out}"
