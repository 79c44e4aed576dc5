"""Leases: who of several machines runs a trial, kept in the database that they share.

A lease is a row: a name, a holder, until when, and a token. It is taken by one conditional write, once it has run out;
all times are the database's, so that clocks of hosts do not matter. Its holder renews it while the trial runs, in a
thread. Whenever somebody takes it its token grows, and what a process writes to the study counts only if the token is
still its own: that is asked in the same transaction, with a lock on the row. So a holder that was away for too long
writes nothing.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.dialects.postgresql import insert

from autoprog_search.errors import ConfigError, LostClaim
from autoprog_search.study.cuts import Cut, sql_state

SETTING = "AUTOPROG_SEARCH_LEASE_SECONDS"
DEFAULT_SECONDS = 60.0
"""A trial whose host died waits as long; a host that is out of reach for less keeps it."""

RENEWALS = 4
"""A lease is renewed so many times before it would run out."""

LOCK_SECONDS = 3
"""How long taking a lease waits for a transaction of its holder."""

TABLE = sa.Table(
    "autoprog_search_leases",
    sa.MetaData(),
    sa.Column("name", sa.String(512), primary_key=True),
    sa.Column("token", sa.BigInteger, nullable=False),
    sa.Column("holder", sa.String(512), nullable=False),
    sa.Column("until", sa.Double, nullable=False),
)
ROW = TABLE.c

NOW: sa.ColumnElement[float] = sa.literal_column("extract(epoch from clock_timestamp())::float8", sa.Double)
STARTED: sa.ColumnElement[float] = sa.literal_column(
    "extract(epoch from pg_postmaster_start_time())::float8", sa.Double
)
"""Seconds, by the database's clock: now, and when the server was started."""

FREE = ""
"""Holder of a lease that was given back."""


def lease_seconds() -> float:
    """For how long a lease is taken.

    Raises:
        ConfigError: the environment says something else than a number of seconds.
    """
    given = os.environ.get(SETTING, "")
    try:
        seconds = float(given or DEFAULT_SECONDS)
    except ValueError:
        seconds = 0.0
    if not 1 <= seconds <= 86_400:
        raise ConfigError(f"{SETTING}: {given!r} is no number of seconds from 1 to 86400")
    return seconds


@contextmanager
def create_table(engine: sa.Engine) -> Iterator[None]:
    """Make the table of leases, should there be none; inside, nobody else who calls this is inside."""
    with engine.begin() as connection:
        connection.execute(
            sa.text("SET LOCAL idle_in_transaction_session_timeout = '60s'")
        )  # should it be stopped here
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtext(TABLE.name))))
        TABLE.create(connection, checkfirst=True)
        yield


class Leases:
    """The leases of a database, and those of them that this process holds.

    Args:
        engine: of the database.
        sessions: those by which studies are written to it.
        wait_for: calls what it is given again while the database does not answer.
    """

    def __init__(self, engine: sa.Engine, sessions: Any, wait_for: Callable[[Callable[[], Any]], Any]) -> None:
        self._engine, self._wait_for = engine, wait_for
        self._held: list[Lease] = []
        event.listen(sessions, "before_commit", self._refuse_late_writes)

    def take(self, name: str) -> Lease | None:
        """Take a lease; None: somebody else has it."""
        seconds = lease_seconds()
        # Unique, so that a take whose answer was lost can be done again.
        holder = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"
        token: int | None = self._wait_for(partial(self._take, name, holder, seconds))
        if token is None:
            return None
        lease = Lease(name, token, seconds, self._renew, self._give_back)
        self._held.append(lease)
        return lease

    def held(self, beginning: str) -> dict[str, str]:
        """Holders of the leases whose names begin like that."""
        named = ROW.name.startswith(beginning, autoescape=True)
        running = sa.and_(named, ROW.until >= NOW, ROW.holder != FREE)

        def ask() -> dict[str, str]:
            with self._engine.begin() as connection:
                rows = connection.execute(sa.select(ROW.name, ROW.holder).where(running).order_by(ROW.name))
                return {name: _who(holder) for name, holder in rows}

        found: dict[str, str] = self._wait_for(ask)
        return found

    def forget(self, beginning: str) -> None:
        """Remove the leases whose names begin like that."""
        self._wait_for(partial(self._write, sa.delete(TABLE).where(ROW.name.startswith(beginning, autoescape=True))))

    def _take(self, name: str, holder: str, seconds: float) -> int | None:
        # While the server was away nobody could renew: after its start holders have as long again to do so.
        ran_out = sa.func.greatest(ROW.until, STARTED + seconds) < NOW
        now_ours = {"token": ROW.token + 1, "holder": holder, "until": NOW + seconds}
        statement = insert(TABLE).values(name=name, token=1, holder=holder, until=NOW + seconds)
        free = sa.or_(ran_out, ROW.holder == FREE, ROW.holder == holder)
        statement = statement.on_conflict_do_update(index_elements=["name"], set_=now_ours, where=free)
        try:
            with self._engine.begin() as connection:
                connection.execute(sa.text(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'"))
                token: int | None = connection.execute(statement.returning(ROW.token)).scalar()
                return token
        except sa.exc.OperationalError as error:
            if sql_state(error) == "55P03":  # its holder writes, or was stopped in the middle of it
                return None
            raise

    def _renew(self, lease: Lease, wait: bool) -> str | None:
        """Renew a lease; None, or who has it now."""

        def renew() -> str | None:
            until = {"until": NOW + lease.seconds}
            mine = sa.and_(ROW.name == lease.name, ROW.token == lease.token)
            with self._engine.begin() as connection:
                if connection.execute(sa.update(TABLE).where(mine).values(until)).rowcount:
                    return None
                return _who(connection.execute(sa.select(ROW.holder).where(ROW.name == lease.name)).scalar())

        answer: str | None = self._wait_for(renew) if wait else renew()
        return answer

    def _give_back(self, lease: Lease) -> None:
        self._held.remove(lease)
        mine = sa.and_(ROW.name == lease.name, ROW.token == lease.token)
        with suppress(sa.exc.SQLAlchemyError, Cut):  # where the database does not answer: it runs out
            self._write(sa.update(TABLE).where(mine).values(until=0.0, holder=FREE))

    def _write(self, statement: sa.Executable) -> None:
        with self._engine.begin() as connection:
            connection.execute(statement)

    def _refuse_late_writes(self, session: Any) -> None:
        """Let nothing be stored once a lease of this process is another's; nobody takes it before the commit."""
        for lease in self._held:
            row = sa.select(ROW.token, ROW.holder).where(ROW.name == lease.name).with_for_update(read=True)
            found = session.execute(row).first()
            if found is None or found.token != lease.token:
                lease.lose(_who(found and found.holder))
                lease.look()


def _who(holder: str | None) -> str:
    """A holder as people read it: host and process."""
    return holder.rpartition(":")[0] if holder else "another process"


class Lease:
    """A lease that this process has taken; a thread renews it until it is given back.

    Args:
        name: its name.
        token: how many times it has been taken.
        seconds: for how long it is taken.
        renew: renews it in the database and says who has it, if it is somebody else; whether to wait for an answer.
        give_back: frees it for others.
    """

    def __init__(
        self,
        name: str,
        token: int,
        seconds: float,
        renew: Callable[[Lease, bool], str | None],
        give_back: Callable[[Lease], None],
    ) -> None:
        self.name, self.token, self.seconds = name, token, seconds
        self._renew, self._give_back = renew, give_back
        self._taken_by: str | None = None
        self._over = threading.Event()
        threading.Thread(target=self._keep, name=f"lease {name}", daemon=True).start()

    def look(self) -> None:
        """Go on, or not.

        Raises:
            LostClaim: somebody else is known to have it.
        """
        if self._taken_by is not None:
            raise LostClaim(
                f"{self.name.removesuffix('/.lock')}: {self._taken_by} has taken it up, since this process was out of "
                f"reach for longer than its lease of {self.seconds:g} s; given up here"
            )

    def check(self) -> None:
        """Ask the database before something is written elsewhere.

        Raises:
            LostClaim: somebody else has it.
        """
        self.lose(self._renew(self, True))
        self.look()

    def lose(self, taken_by: str | None) -> None:
        """Note who has it now; None: this process."""
        self._taken_by = self._taken_by or taken_by

    def release(self) -> None:
        """Give it back, if it is still this process's."""
        self._over.set()  # one renewal more does no harm: it frees nobody and holds nobody up
        self._give_back(self)

    def _keep(self) -> None:
        while not self._over.wait(self.seconds / RENEWALS) and self._taken_by is None:
            try:
                self.lose(self._renew(self, False))
            except (sa.exc.SQLAlchemyError, Cut):
                continue  # it does not answer: the lease is this process's until somebody else has taken it
