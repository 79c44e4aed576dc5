"""Optuna storages of studies: opened by URL or by file, secrets masked, errors one line, a torn journal mended.

Two kinds lie in a study's own folder: SQLite for trials that train, a journal for trials on a table, of which a study
has thousands (it takes whole trials 20 times as fast). Any other storage is named by its URL.
"""

from __future__ import annotations

import gc
import logging
import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._storage import JournalOperation

from autoprog_search.errors import PASSWORD, QUERY_SECRET, REFERENCE, MissingExtraError, StudyError, masked
from autoprog_search.faults import reason, storage_line
from autoprog_search.files import file_lock
from autoprog_search.interrupt import Interrupted

JOURNAL = "journal:///"
MAKE_AGAIN = "`study delete` removes the study, `study create --config` makes it again"
UPDATE = "pip install -U autoprog-search optuna"
LARGE_JOURNAL = 2**20  # bytes
WAIT_SECONDS = 60  # several workers write: they wait for SQLite's lock instead of failing

IN_MEMORY = re.compile(
    r"sqlite(\+\w+)?:(//|///|///:memory:)(\?.*)?|sqlite(\+\w+)?:///file:(:memory:|.*[?&]mode=memory).*"
)
RELATIVE = re.compile(r"((?:sqlite(?:\+\w+)?|journal):///)(?!/|file:|[A-Za-z]:[\\/])([^?]+)(.*)")
SERVER = re.compile(r"postgresql(\+psycopg2?)?://")


# ── URLs and their secrets ──────────────────────────────────────────────────────────────────────────────────────────


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
        path = str(Path(relative[2]).resolve())
        if "?" in path or "%" in path:  # which mean something else in a URL
            raise StudyError(f"storage: {url!r} lies in a folder whose name a URL cannot hold: {path!r}; give another")
        return f"{relative[1]}{path}{relative[3]}"
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
        before, after = url[: match.start()], url[match.end() :]
        return quote(found, safe="") if before.endswith(":") and after.startswith("@") else found

    return REFERENCE.sub(value, url)


# ── opening ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def open_storage(url: str, should_stop: Callable[[], bool] | None = None) -> BaseStorage:
    """An Optuna storage by URL.

    Args:
        should_stop: asked while a server is waited for; None: one that is not there is refused at once.

    Raises:
        StudyError: it cannot be opened.
        MissingExtraError: a server's driver is not installed.
        Interrupted: `should_stop` said so.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    whole = _expanded(url)
    if IN_MEMORY.fullmatch(whole):
        checked_url(whole)
    try:
        if whole.startswith(JOURNAL):
            return open_journal(Path(whole.removeprefix(JOURNAL)))
        if whole.startswith("sqlite"):
            return _cached(RDBStorage(whole, engine_kwargs={"connect_args": {"timeout": WAIT_SECONDS}}))
        if SERVER.match(whole):
            from autoprog_search.study.server import open_server

            return open_server(whole, partial(without_secrets, url=whole), should_stop)
        return optuna.storages.get_storage(whole)
    except (Interrupted, MissingExtraError):
        raise
    except Exception as error:
        if isinstance(error, StudyError) and whole.startswith(JOURNAL):
            raise  # it says all of this
        said = f"{masked(url)!r} cannot be opened: {without_secrets(reason(error), whole)[:200]}"
        raise StudyError(f"storage: {_another_optunas(error, url) or said}") from None


def open_sqlite(path: Path) -> BaseStorage:
    """The storage in that SQLite file, whatever its path holds: a URL would take `?`, `%` and `{` for something else.

    Raises:
        StudyError: it cannot be opened.
    """
    from sqlalchemy.pool import QueuePool

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    connect = partial(sqlite3.connect, str(path), timeout=WAIT_SECONDS, check_same_thread=False)
    try:
        return _cached(RDBStorage("sqlite://", engine_kwargs={"creator": connect, "poolclass": QueuePool}))
    except Exception as error:  # noqa: BLE001 - whatever the database's driver raises
        said = f"{path} cannot be opened: {reason(error)[:200]}"
        raise StudyError(f"storage: {_another_optunas(error, f'sqlite:///{path}') or said}") from None


def _another_optunas(error: Exception, url: str) -> str | None:
    """What to do about a database whose tables are another Optuna's; None: that is not what is wrong."""
    if not (tables := re.search(r"compatible with the table schema \(set up by optuna (.+?)\)", str(error))):
        return None
    whose = f"Optuna {tables[1]} made its tables, {optuna.__version__} is installed here"
    if "storage upgrade" in str(error):  # the shell has to put in what the URL names of the environment
        return f'{whose}; with a copy put by: optuna storage upgrade --storage "{masked(url)}"'
    return f"{masked(url)!r}: {whose}; open it where an Optuna as new is installed, or update: {UPDATE}"


def _cached(storage: RDBStorage) -> BaseStorage:
    """The storage as Optuna opens one by URL: trials that have ended are read once, not at every look."""
    return optuna.storages.get_storage(storage)


def open_journal(path: Path) -> BaseStorage:
    """The storage in that journal file.

    Raises:
        StudyError: it cannot be opened, or is damaged.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with _nothing_collected(large=path.exists() and path.stat().st_size > LARGE_JOURNAL):
            return JournalStorage(_Journal(path))
    except (KeyError, TypeError, AssertionError, AttributeError) as error:  # lines that are whole, and no operations
        raise StudyError(f"storage: {path} is damaged ({type(error).__name__}: {error}); {MAKE_AGAIN}") from None


@contextmanager
def _nothing_collected(large: bool) -> Iterator[None]:
    """Inside, Python looks for no garbage: all that reading a journal makes stays.

    Args:
        large: nor does it ever look through what is there at the end, which it would go through again and again. A
            storage has no cycles; it is freed when it is let go, as ever.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if large:
            gc.freeze()
        if enabled:
            gc.enable()


class _Journal(JournalFileBackend):
    """Optuna's journal, one JSON line an operation, that survives a write which stopped in the middle.

    A full disk or a kill leaves a torn last line, to which the next write would be added: then nothing could be read
    any more. Here a failed write is taken back, and a torn end is cut off before anything is added to it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        # Not Optuna's own, which stays when its holder dies: others wait 30 s for it.
        self._system_lock = file_lock(path.with_name(f"{path.name}.lock"))
        super().__init__(str(path), lock_obj=self._system_lock)  # type: ignore[arg-type] # it has what they have

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Add operations, all or none.

        Raises:
            StudyError: they cannot be written.
        """
        with self._system_lock:
            end = self._whole_size()
            try:
                super().append_logs(logs)
            except BaseException as error:
                os.truncate(self._path, end)
                if isinstance(error, OSError):
                    raise StudyError(storage_line(str(error.strerror).lower(), f"{self._path}: ")) from None
                raise

    def read_logs(self, log_number_from: int) -> Any:
        """The operations from that one on.

        Raises:
            StudyError: a line is damaged.
        """
        try:
            for log in super().read_logs(log_number_from):
                if not isinstance(log, dict) or not isinstance(log.get("op_code"), int):
                    raise ValueError("a line that says nothing")
                if log["op_code"] > max(JournalOperation):
                    raise StudyError(
                        f"storage: {self._path} holds an operation ({log['op_code']}) that Optuna "
                        f"{optuna.__version__} does not know: a newer one has written there; update: {UPDATE}"
                    )
                yield log
        except ValueError as error:
            raise StudyError(f"storage: {self._path} is damaged ({reason(error)[:80]}); {MAKE_AGAIN}") from None

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
