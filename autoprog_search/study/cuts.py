"""What errors say of a database server that has not answered, and whether it will.

An error of a connection becomes a `Cut` where it is raised, before Optuna sees it: Optuna would go on with another
query in the broken transaction, or create a trial once more that had been stored, its answer lost.
"""

from __future__ import annotations

import re

import optuna
import sqlalchemy as sa
from sqlalchemy import event

from autoprog_search.faults import reason

GONE = re.compile(r"08...|57P..|25P03")
"""SQL states of a server that is going or gone, and of connections that it has ended."""

FOR_NOW = re.compile(rf"{GONE.pattern}|53300|40001|40P01")
"""These, those of a server that is full, and of transactions that it has ended."""

FOR_GOOD = re.compile(
    r"authentication|password|does not exist|no pg_hba|resolve|translate|not known|denied|SSL|invalid"
)
"""In messages about connections that will not be made by waiting."""

THERE = re.compile(
    r"starting up|shutting down|recovery mode|too many|connection slots|terminating connection|closed the connection|"
    r"reset by peer"
)
"""In those of a server that is there, or was a moment ago."""


class Cut(Exception):
    """A connection ended before the answer came: what was asked for was done, or not. In the driver's words."""


def sql_state(error: BaseException) -> str | None:
    """What kind of error the server names; None: it has not answered, or it is none of a server's."""
    said = getattr(error, "orig", None)
    return getattr(said, "sqlstate", None) or getattr(said, "pgcode", None)  # psycopg's, psycopg2's


def say_cuts(engine: sa.Engine) -> None:
    """Let errors of the engine's connections be raised as `Cut`."""
    event.listen(engine, "handle_error", _raise_cut)


def _raise_cut(context: sa.ExceptionContext) -> None:
    error = context.sqlalchemy_exception
    if error is None or context.is_pre_ping:  # the pool asks, and takes another connection
        return
    state = sql_state(error)
    if context.is_disconnect or (GONE.fullmatch(state) if state else context.connection is None and unanswered(error)):
        raise Cut(in_short(error)) from error


def unanswered(error: BaseException) -> bool:
    """Whether a server could not be reached, or could not take it just now: the same operation may succeed soon."""
    cause = cause_of(error)
    if isinstance(cause, Cut | sa.exc.TimeoutError):  # all connections of this process are in use
        return True
    if not isinstance(cause, sa.exc.DBAPIError):
        return False
    if state := sql_state(cause):
        return FOR_NOW.fullmatch(state) is not None
    lost = isinstance(cause, sa.exc.OperationalError) and not FOR_GOOD.search(str(cause.orig))
    return cause.connection_invalidated or lost


def is_there(error: BaseException) -> bool:
    """Whether a server that could not be opened is there: it has answered, or its connection was cut later."""
    cause = cause_of(error)
    cut = isinstance(cause, Cut) or getattr(cause, "connection_invalidated", False)
    return cut or sql_state(cause) is not None or THERE.search(reason(cause)) is not None


def cause_of(error: BaseException) -> BaseException:
    """What SQLAlchemy raised, where Optuna has wrapped it."""
    cause = error.__cause__ if isinstance(error, optuna.exceptions.StorageInternalError) else None
    return cause or error


def in_short(error: BaseException) -> str:
    """What a driver says, without SQLAlchemy's advice or libpq's guesses."""
    return reason(cause_of(error)).partition(" This probably means")[0]
