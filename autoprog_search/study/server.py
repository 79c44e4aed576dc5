"""A PostgreSQL server as a study's storage: connections to it, and waiting while it does not answer.

A server restarts, a network drops a connection, all connections are taken: an operation that meets this is done again
until it succeeds, whether or not the server had stored it before the answer was lost. So whoever runs a study loses
time, and nothing else.
"""

from __future__ import annotations

import abc
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import optuna
import sqlalchemy as sa
from optuna.storages import BaseStorage, RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import event

from autoprog_search.errors import MissingExtraError, StudyError
from autoprog_search.faults import reason, storage_line
from autoprog_search.interrupt import POLL_SECONDS, Interrupted
from autoprog_search.study.cuts import in_short, is_there, say_cuts, unanswered
from autoprog_search.study.leases import Leases, create_table

T = TypeVar("T")

PATIENCE_SECONDS = 600.0
"""How long an operation is tried again: a server's restart takes seconds, a host's minutes."""

CONNECTION = {
    "connect_timeout": 10,
    # A peer that vanished without a word is noticed within half a minute, not after two hours.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 30_000,
}
"""Of libpq, unless the URL says otherwise."""

IDLE_SECONDS = 20
"""After which the server ends a transaction whose client, stopped or unreachable, does not go on with it: its locks
would keep others from the same rows."""


@dataclass(frozen=True)
class Patience:
    """Does what is asked of a server again and again while that does not answer, and says so once.

    Attributes:
        masked: hides the password in a driver's message.
        should_stop: asked while it waits.
    """

    masked: Callable[[str], str]
    should_stop: Callable[[], bool]

    def wait_for(self, call: Callable[[], T], again: Callable[[], T] | None = None) -> T:
        """What the call returns, once the server answers.

        Args:
            again: called in its place after a first try whose outcome is not known; it was perhaps stored.

        Raises:
            Interrupted: `should_stop` said so.
            StudyError: the server has not answered for `PATIENCE_SECONDS`.
        """
        deadline: float | None = None
        while True:
            try:
                return call()
            except Exception as error:
                if not unanswered(error):
                    raise
                why = self.masked(in_short(error))
            if deadline is None:
                deadline, call = time.monotonic() + PATIENCE_SECONDS, again or call
                logging.getLogger("autoprog_search").warning(f"storage: {why[:160]}; waiting until it answers again")
            if self.should_stop():
                raise Interrupted
            if time.monotonic() > deadline:
                raise StudyError(storage_line(why))
            time.sleep(POLL_SECONDS)


def _operation(name: str) -> Callable[..., Any]:
    def operation(self: ServerStorage, *arguments: Any, **named: Any) -> Any:
        return self.patience.wait_for(partial(getattr(self.optuna, name), *arguments, **named))

    return operation


def _patient(storage: type[ServerStorage]) -> type[ServerStorage]:
    """Give it all of a storage's operations that it does not have of its own."""
    for name, value in vars(BaseStorage).items():
        if callable(value) and not name.startswith("_") and name not in vars(storage):
            setattr(storage, name, _operation(name))
    return abc.update_abstractmethods(storage)


@_patient
class ServerStorage(BaseStorage):
    """An Optuna storage on a server; each operation waits for it. Most can simply be done twice; those here cannot.

    Args:
        database: the server's.
        patience: with it.

    Attributes:
        leases: those that are kept in the same database.
    """

    def __init__(self, database: RDBStorage, patience: Patience) -> None:
        self.patience = patience
        self.optuna = optuna.storages.get_storage(database)  # reads trials that have ended once, not at every look
        self.leases = Leases(database.engine, database.scoped_session, patience.wait_for)

    def create_new_study(self, directions: Sequence[StudyDirection], study_name: str | None = None) -> int:
        """As Optuna's."""

        def again() -> int:
            names = {study.study_name: study._study_id for study in self.optuna.get_all_studies()}
            return names[study_name] if study_name in names else create()

        create = partial(self.optuna.create_new_study, directions, study_name)
        return self.patience.wait_for(create, again)

    def delete_study(self, study_id: int) -> None:
        """As Optuna's."""

        def again() -> None:
            if any(study._study_id == study_id for study in self.optuna.get_all_studies()):
                self.optuna.delete_study(study_id)

        self.patience.wait_for(partial(self.optuna.delete_study, study_id), again)

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """As Optuna's; nobody else creates trials of the study at the same time."""
        count = self.get_n_trials(study_id)
        create = partial(self.optuna.create_new_trial, study_id, template_trial)

        def again() -> int:
            if self.optuna.get_n_trials(study_id) > count:
                return self.optuna.get_trial_id_from_study_id_trial_number(study_id, count)
            return create()

        return self.patience.wait_for(create, again)

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        """As Optuna's; nobody else ends the trial at the same time."""
        store = partial(self.optuna.set_trial_state_values, trial_id, state, values)

        def again() -> bool:
            return self.optuna.get_trial(trial_id).state == state or store()

        return self.patience.wait_for(store, again)


# ── opening ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def open_server(url: str, masked: Callable[[str], str], should_stop: Callable[[], bool] | None = None) -> ServerStorage:
    """The storage on a server, its tables made where it has none.

    Args:
        url: `postgresql+psycopg://...` or `postgresql+psycopg2://...`, complete.
        masked: hides its password in a driver's message.
        should_stop: waits for a server that is not there until this says so; None: only for one that is there.

    Raises:
        MissingExtraError: its driver is not installed.
        Interrupted: `should_stop` said so.
    """
    logging.getLogger("optuna.storages._rdb.storage").setLevel(logging.ERROR)  # warns of a cut connection in ten lines
    told = set(sa.make_url(url).query)
    arguments = {"connect_args": {name: value for name, value in CONNECTION.items() if name not in told}}
    patience = Patience(masked, should_stop or (lambda: False))

    def connect() -> ServerStorage:
        try:
            alone = sa.create_engine(url, poolclass=sa.NullPool, **arguments)
            with create_table(alone):  # nobody else makes tables there meanwhile, Optuna's neither
                # One connection a process: its threads seldom need one at the same time.
                options = {"pool_size": 1, "max_overflow": 4, "pool_pre_ping": True, **arguments}
                database = RDBStorage(url, engine_kwargs=options)
        except ModuleNotFoundError as error:
            raise MissingExtraError(
                f"storage: PostgreSQL needs {error.name}; install it: pip install 'autoprog-search[postgres]'"
            ) from None
        except Exception as error:
            if should_stop is None and unanswered(error) and not is_there(error):
                raise StudyError(reason(error)) from None
            raise
        event.listen(database.engine, "connect", _end_idle_transactions)
        say_cuts(database.engine)
        database.engine.dispose()  # a connection of before would not be told
        return ServerStorage(database, patience)  # type: ignore[abstract] # `_patient` gives it the rest

    return patience.wait_for(connect)


def _end_idle_transactions(connection: Any, record: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SET idle_in_transaction_session_timeout = '{IDLE_SECONDS}s'")
    connection.commit()
