"""PostgreSQL as a study's storage, on a real server: passwords, leases, late writes, and what becomes of an operation
whose connection is cut."""

from __future__ import annotations

import logging
import stat
import threading
import time

import optuna
import pytest
from optuna.trial import TrialState

from autoprog_search.errors import LostClaim, StudyError
from autoprog_search.interrupt import Interrupted
from autoprog_search.study import leases, server
from autoprog_search.study.creation import create_study
from autoprog_search.study.deletion import delete_study
from autoprog_search.study.doctor import examine
from autoprog_search.study.storage import open_storage
from autoprog_search.study.store import open_study
from tests.postgres import needs_server
from tests.tiny import tiny_config

PASSWORD = "s3cr%t@w/rd"
FULL = "methods={full: {seeds: 1}}"


pytestmark = needs_server


@pytest.fixture
def url(postgres, request):
    """Of a database of the test's own: a schema, which is made and removed sooner."""
    return postgres.schema(f"of{abs(hash(request.node.name))}")


def test_a_study_lives_there(url, tmp_path):
    study = create_study(tmp_path, tiny_config().model_copy(update={"storage": url}))
    assert len(open_study(tmp_path, "tiny").trials()) == 8
    assert not (study.folder / "study.db").exists()
    delete_study(study)
    assert open_storage(url).get_all_studies() == []
    assert study.leases.held("") == {}


# ── passwords ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def guarded(postgres):
    """URL of a user who needs a password."""
    postgres.require_password("guarded", PASSWORD)
    return postgres.url("guarded")


def test_a_password_comes_from_the_environment_or_a_file(guarded, tmp_path, monkeypatch):
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "none"))
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    open_storage(guarded)
    monkeypatch.delenv("PGPASSWORD")
    monkeypatch.setenv("OF_MINE", PASSWORD)
    with_reference = guarded.replace("guarded@", "guarded:${OF_MINE}@")
    create_study(tmp_path, tiny_config(FULL).model_copy(update={"storage": with_reference}))
    assert PASSWORD not in (tmp_path / "tiny/study.yaml").read_text()
    monkeypatch.delenv("OF_MINE")
    (tmp_path / "pgpass").write_text(f"127.0.0.1:*:*:guarded:{PASSWORD}\n")
    (tmp_path / "pgpass").chmod(stat.S_IRUSR)
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "pgpass"))
    open_storage(guarded)


def test_a_wrong_password_is_one_line_without_it(guarded, monkeypatch):
    monkeypatch.setenv("OF_MINE", f"not {PASSWORD}")
    with pytest.raises(StudyError) as refused:
        open_storage(guarded.replace("guarded@", "guarded:${OF_MINE}@"))
    assert "password authentication failed" in str(refused.value)
    assert "cr%t" not in str(refused.value)
    assert "\n" not in str(refused.value)


# ── a server that does not answer ─────────────────────────────────────────────────────────────────────────────────────


def test_one_that_is_not_there_is_refused_at_once_or_waited_for(caplog):
    with pytest.raises(StudyError, match=r"cannot be opened: .*[Rr]efused"):
        open_storage("postgresql+psycopg://me@127.0.0.1:9/x")
    asked = iter([False, True])
    with pytest.raises(Interrupted):
        open_storage("postgresql+psycopg://me@127.0.0.1:9/x", lambda: next(asked))
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == ["storage"]


def test_a_database_that_is_not_there_is_not_waited_for(postgres):
    with pytest.raises(StudyError, match="does not exist"):
        open_storage(postgres.url(database="nowhere"), lambda: False)


def test_while_all_connections_are_taken_it_is_waited_for(postgres, caplog):
    postgres.ask("CREATE USER narrow CONNECTION LIMIT 3")
    postgres.ask("CREATE DATABASE narrow OWNER narrow")
    url = postgres.url("narrow", "narrow")
    import psycopg

    taken = [psycopg.connect(url.replace("+psycopg", "")) for _ in range(3)]
    threading.Timer(0.7, lambda: [connection.close() for connection in taken]).start()
    optuna.create_study(study_name="a", storage=open_storage(url))
    assert "too many connections" in caplog.records[0].getMessage()
    assert len(caplog.records) == 1


def test_a_cut_connection_and_a_restart_lose_nothing(postgres, url):
    study = optuna.create_study(study_name="a", storage=open_storage(url))
    study.enqueue_trial({})
    assert postgres.cut_connections() > 0
    study.enqueue_trial({})
    postgres.restart("immediate")
    study.enqueue_trial({})
    assert [trial.number for trial in study.get_trials()] == [0, 1, 2]


def test_a_server_that_is_away_is_waited_for_with_one_line(postgres, url, caplog):
    study = optuna.create_study(study_name="a", storage=open_storage(url))
    postgres.stop()
    threading.Timer(1.2, postgres.start).start()
    study.set_user_attr("k", 1)
    assert study.user_attrs == {"k": 1}
    assert len(caplog.records) == 1
    assert "waiting until it answers again" in caplog.text


def test_patience_ends(postgres, url, monkeypatch):
    study = optuna.create_study(study_name="a", storage=open_storage(url))
    monkeypatch.setattr(server, "PATIENCE_SECONDS", 0.0)
    postgres.stop()
    try:
        with pytest.raises(StudyError, match="once it answers again, run the same command"):
            study.set_user_attr("k", 1)
    finally:
        postgres.start()


@pytest.mark.parametrize("arrived", [True, False])
def test_what_was_perhaps_stored_is_stored_once(url, monkeypatch, arrived):
    """The connection is cut before the server says that it has stored it, or before it is asked to."""
    import psycopg
    import sqlalchemy as sa

    storage, done = open_storage(url), []

    def cut_once(name):
        call = getattr(storage.optuna, name)

        def cut(*words):
            monkeypatch.setattr(storage.optuna, name, call)
            done.append(name)
            if done.count(name) > 1:
                return call(*words)
            if arrived:
                call(*words)
            raise sa.exc.OperationalError("", {}, psycopg.OperationalError("the connection is lost"))

        monkeypatch.setattr(storage.optuna, name, cut)

    cut_once("create_new_study")
    study = optuna.create_study(study_name="a", storage=storage)
    cut_once("create_new_trial")
    trial = study.ask()
    assert trial.number == 0
    cut_once("set_trial_param")
    assert 0 <= trial.suggest_int("x", 0, 3) <= 3
    cut_once("set_trial_user_attr")
    trial.set_user_attr("k", [1])
    cut_once("set_trial_state_values")
    study.tell(trial, 2.0)
    [stored] = open_storage(url).get_all_trials(study._study_id)
    assert (stored.state, stored.value, stored.user_attrs) == (TrialState.COMPLETE, 2.0, {"k": [1]})
    cut_once("delete_study")
    optuna.delete_study(study_name="a", storage=storage)
    assert open_storage(url).get_all_studies() == []


# ── leases ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_lease_is_one_process_at_a_time(url):
    ours, theirs = open_storage(url).leases, open_storage(url).leases
    first = ours.take("tiny/a")
    assert theirs.take("tiny/a") is None
    assert ours.take("tiny/a") is None
    assert [*theirs.held("tiny/")] == ["tiny/a"]
    assert theirs.held("tin_/") == {}
    first.release()
    second = theirs.take("tiny/a")
    assert (first.token, second.token) == (1, 2)
    second.check()
    second.release()


def test_a_lease_is_renewed_while_it_is_held(url, monkeypatch):
    monkeypatch.setenv(leases.SETTING, "1")
    ours, theirs = open_storage(url).leases, open_storage(url).leases
    lease = ours.take("a")
    deadline = time.monotonic() + 1.5
    while time.monotonic() < deadline:
        assert theirs.take("a") is None
        time.sleep(0.1)
    lease.look()
    lease.release()


def test_a_holder_has_as_long_again_after_the_server_has_started(postgres, url, monkeypatch):
    monkeypatch.setattr(leases, "RENEWALS", 0.01)  # its thread sleeps
    monkeypatch.setenv(leases.SETTING, "1")
    ours, theirs = open_storage(url).leases, open_storage(url).leases
    lease = ours.take("a")
    postgres.stop()
    time.sleep(1.1)
    postgres.start()
    assert theirs.take("a") is None
    lease.check()
    lease.release()


def test_whoever_has_lost_a_lease_writes_nothing_more(url, monkeypatch):
    monkeypatch.setattr(leases, "RENEWALS", 0.01)  # as if it were stopped
    monkeypatch.setenv(leases.SETTING, "1")
    storage, other = open_storage(url), open_storage(url)
    study = optuna.create_study(study_name="tiny", storage=storage)
    trial = study.ask()
    lease = storage.leases.take("tiny/a/.lock")
    trial.set_user_attr("k", "in time")
    while (taken := other.leases.take("tiny/a/.lock")) is None:
        time.sleep(0.1)
    lease.look()  # it has not asked yet
    with pytest.raises(LostClaim, match=r"^tiny/a: \S+:\d+ has taken it up, since this process was out of reach"):
        trial.set_user_attr("k", "late")
    with pytest.raises(LostClaim):
        study.tell(trial, 1.0)
    with pytest.raises(LostClaim):
        lease.check()
    [stored] = other.get_all_trials(study._study_id)
    assert (stored.state, stored.user_attrs) == (TrialState.RUNNING, {"k": "in time"})
    lease.release()
    assert storage.leases.take("tiny/a/.lock") is None  # what is another's was not given back
    trial.set_user_attr("k", "holds nothing, claims nothing")
    taken.check()
    taken.release()


def test_nobody_takes_a_lease_in_the_middle_of_a_write(url, monkeypatch):
    """Whoever is stopped there keeps others waiting until the server ends its transaction."""
    monkeypatch.setattr(leases, "RENEWALS", 0.01)
    monkeypatch.setattr(leases, "LOCK_SECONDS", 0.3)
    monkeypatch.setenv(leases.SETTING, "1")
    monkeypatch.setattr(server, "IDLE_SECONDS", 2)
    storage, other = open_storage(url), open_storage(url)
    lease = storage.leases.take("a")
    session = storage.leases._engine.connect()
    session.execute(leases.sa.select(leases.ROW.token).with_for_update(read=True))
    time.sleep(1.1)  # it has run out
    assert other.leases.take("a") is None
    time.sleep(1.1)
    assert other.leases.take("a") is not None
    with pytest.raises(LostClaim):
        lease.check()


# ── several folders ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_two_folders_share_a_study_of_the_same_settings(url, tmp_path, caplog):
    config = tiny_config("methods={random: {trials: 12, seeds: 2}}").model_copy(update={"storage": url})
    with caplog.at_level(logging.WARNING):
        threads = [threading.Thread(target=create_study, args=(tmp_path / root, config)) for root in "ab"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    ours, theirs = (open_study(tmp_path / root, "tiny") for root in "ab")
    assert len(open_storage(url).get_all_trials(ours.optuna_study("random", 0)._study_id)) == 12
    drawn = [trial.system_attrs["fixed_params"] for trial in ours.trials().values()]
    alone = create_study(tmp_path / "c", config.model_copy(update={"storage": ""}))
    assert drawn == [trial.system_attrs["fixed_params"] for trial in alone.trials().values()]
    assert "shares its trials" in caplog.text
    lease = theirs.leases.take("tiny/trials/x/.lock")
    with pytest.raises(StudyError, match=r"is running it \(it holds the lease tiny/trials/x/.lock\)"):
        delete_study(ours)
    lease.release()
    with pytest.raises(StudyError, match="threads was 1, is 2"):
        create_study(tmp_path / "d", config.model_copy(update={"threads": 2}))


def test_the_doctor_takes_no_trial_for_dead_that_another_machine_runs(url, tmp_path):
    study = create_study(tmp_path, tiny_config(FULL).model_copy(update={"storage": url}))
    [(job, trial)] = study.trials().items()
    study.storage.set_trial_state_values(trial._trial_id, TrialState.RUNNING)
    lease = open_study(tmp_path, "tiny").leases.take("tiny/trials/full-s0-t0/.lock")
    assert examine(study) == []
    lease.release()
    assert [finding.what for finding in examine(study)] == [f"{job}: begun, and nobody runs it"]
