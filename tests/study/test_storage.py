"""Storages: secrets stay out of what is shown, paths may hold anything, a journal survives a write that stopped."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.engine import make_url

from autoprog_search.errors import ConfigError, MissingExtraError, StudyError, masked
from autoprog_search.faults import storage_error
from autoprog_search.study import leases
from autoprog_search.study.storage import (
    checked_url,
    holds_secret,
    open_journal,
    open_sqlite,
    open_storage,
    without_secrets,
)
from tests.tiny import cli_here

PLAIN = st.text(
    st.characters(codec="ascii", min_codepoint=33, exclude_characters="@:/?#&=$*{}"), min_size=4, max_size=12
)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql+psycopg://me:s3cret@db/x", "postgresql+psycopg://me:***@db/x"),
        ("mysql://me:p@ss/w?rd#1@db:3306/x", "mysql://me:***@db:3306/x"),
        ("redis://:s3cret@localhost:6379/0", "redis://:***@localhost:6379/0"),
        ("postgresql://db/x?user=me&password=s3cret&ssl=1", "postgresql://db/x?user=me&password=***&ssl=1"),
        ("postgresql://db/x?sslPassword=s3cret", "postgresql://db/x?sslPassword=***"),
        ("nonsense+x://me:s3cret@", "nonsense+x://me:***@"),
        ("postgresql://me:${PGPASSWORD}@db/x", "postgresql://me:${PGPASSWORD}@db/x"),
        ("postgresql://me@db:5432/x", "postgresql://me@db:5432/x"),
        ("postgresql://me@db/x?passfile=/home/me/.pgpass", "postgresql://me@db/x?passfile=/home/me/.pgpass"),
        ("sqlite:////data/a:b@c/study.db", "sqlite:////data/a:b@c/study.db"),
        ("journal:////data/a:b@c/study.log", "journal:////data/a:b@c/study.log"),
    ],
)
def test_secrets_of_a_url_are_masked_and_nothing_else_is(url, shown):
    assert masked(url) == shown
    assert holds_secret(url) == (url != shown)


@given(user=PLAIN, password=PLAIN)
def test_no_message_about_a_url_holds_its_password(user, password):
    url = f"postgresql://{user}:{password}@db/x"
    assert f":{password}@" not in masked(url)
    assert password not in without_secrets(f"cannot connect with {password} to {url}", url).replace(user, "")


def test_a_password_that_is_spelled_in_per_cent_is_masked_as_the_driver_spells_it():
    assert without_secrets("bad password 'p@ss'", "mysql://me:p%40ss@db") == "bad password '***'"


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite+pysqlite://",
        "sqlite:///:memory:?cache=shared",
        "sqlite:///file::memory:?cache=shared&uri=true",
        "sqlite:///file:x?mode=memory&uri=true",
    ],
)
def test_the_memory_of_one_process_is_no_storage(url):
    with pytest.raises(StudyError, match="memory of one process"):
        checked_url(url)
    with pytest.raises(StudyError, match="memory of one process"):
        open_storage(url)


def test_a_relative_file_is_kept_as_an_absolute_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert checked_url("sqlite:///my.db?timeout=3") == f"sqlite:///{tmp_path / 'my.db'}?timeout=3"
    assert checked_url("sqlite:////data/my.db") == "sqlite:////data/my.db"
    assert checked_url("") == ""


def test_a_relative_file_that_a_url_cannot_name_is_refused(tmp_path, monkeypatch):
    (tmp_path / "why?").mkdir()
    monkeypatch.chdir(tmp_path / "why?")
    with pytest.raises(StudyError, match="a URL cannot hold"):
        checked_url("sqlite:///my.db")
    monkeypatch.chdir(tmp_path)
    assert checked_url("journal:///my.log") == f"journal:///{tmp_path / 'my.log'}"


def test_a_password_from_the_environment_may_hold_anything(monkeypatch):
    monkeypatch.setenv("DB_PASSWORD", "p@ss/w#1%41")
    seen = []
    monkeypatch.setattr(optuna.storages, "get_storage", seen.append)
    open_storage("mysql://me:${DB_PASSWORD}@db/x")
    assert make_url(seen[0]).password == "p@ss/w#1%41"
    assert make_url(seen[0]).host == "db"


def test_a_url_may_refer_to_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("STUDIES_HERE", str(tmp_path))
    storage = open_storage("sqlite:///${STUDIES_HERE}/x.db")
    optuna.create_study(storage=storage, study_name="a")
    assert (tmp_path / "x.db").exists()
    monkeypatch.delenv("STUDIES_HERE")
    with pytest.raises(StudyError, match=r"refers to \$STUDIES_HERE, which is not set"):
        open_storage("sqlite:///${STUDIES_HERE}/x.db")


def test_what_a_driver_says_of_a_url_is_shown_without_its_password(monkeypatch):
    monkeypatch.setenv("DB_PASSWORD", "s3cret")
    monkeypatch.setattr(
        optuna.storages, "get_storage", lambda url: (_ for _ in ()).throw(RuntimeError(f"refused {url}"))
    )
    with pytest.raises(StudyError) as error:
        open_storage("mysql://me:${DB_PASSWORD}@db/x")
    assert "s3cret" not in str(error.value)
    assert "refused" in str(error.value)


@pytest.mark.parametrize("name", ["why?", "a?b=c", "100%25", "{x}", "C#", "a&b", "%3F", "mode=memory", "ünï codé"])
def test_a_file_may_lie_anywhere(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    optuna.create_study(storage=open_sqlite(folder / "study.db"), study_name="a")
    assert [path.name for path in folder.iterdir()] == ["study.db"]
    assert list(tmp_path.iterdir()) == [folder]
    assert optuna.get_all_study_names(open_sqlite(folder / "study.db")) == ["a"]


# ── the journal ─────────────────────────────────────────────────────────────────────────────────────────────────────


def journal(path: Path, studies: int = 2) -> bytes:
    """One with that many studies of one trial each."""
    storage = open_journal(path)
    for number in range(studies):
        study = optuna.create_study(storage=storage, study_name=f"s{number}")
        study.add_trial(optuna.trial.create_trial(value=float(number)))
    return path.read_bytes()


@pytest.mark.parametrize("lost", [1, 2, 17, 60])
def test_a_torn_tail_is_mended_when_something_is_added(tmp_path, lost):
    path = tmp_path / "study.log"
    whole = journal(path)
    path.write_bytes(whole[:-lost])
    storage = open_journal(path)
    assert "s0" in optuna.get_all_study_names(storage)
    optuna.create_study(storage=storage, study_name="later")
    lines = path.read_bytes().splitlines(keepends=True)
    assert all(line.endswith(b"\n") and json.loads(line) for line in lines)
    assert "later" in optuna.get_all_study_names(open_journal(path))
    assert [trial.value for trial in optuna.load_study(study_name="s0", storage=open_journal(path)).trials] == [0.0]


def test_a_write_that_fails_in_the_middle_leaves_no_trace(tmp_path, monkeypatch):
    path = tmp_path / "study.log"
    whole = journal(path)
    storage = open_journal(path)

    def full(number: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StudyError, match=r"no space left on device; free some space"):
        optuna.create_study(storage=storage, study_name="later")
    monkeypatch.undo()
    assert path.read_bytes() == whole
    optuna.create_study(storage=open_journal(path), study_name="later")
    assert "later" in optuna.get_all_study_names(open_journal(path))


def test_a_damaged_line_is_one_error_line(tmp_path):
    path = tmp_path / "study.log"
    lines = journal(path).splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], b'{"op": \n', *lines[1:]]))
    with pytest.raises(StudyError, match=r"study.log is damaged .*`study delete` removes"):
        open_journal(path)


@pytest.mark.parametrize("line", [b"{}", b"null", b"7", b'{"op_code": "x"}', b'{"op_code": 0}', b'{"op_code": -1}'])
def test_a_line_that_is_no_operation_is_one_error_line(tmp_path, line):
    path = tmp_path / "study.log"
    path.write_bytes(journal(path) + line + b"\n")
    with pytest.raises(StudyError, match=r"study\.log is damaged"):
        open_journal(path)


def test_an_operation_of_a_newer_optuna_is_no_damage(tmp_path):
    """Nobody is told to delete the study."""
    path = tmp_path / "study.log"
    path.write_bytes(journal(path) + b'{"op_code": 99}\n')
    with pytest.raises(StudyError, match=r"operation \(99\) that Optuna \S+ does not know: .*; update: pip") as caught:
        open_journal(path)
    assert "damaged" not in str(caught.value)
    assert "delete" not in str(caught.value)


def test_a_lock_that_leads_elsewhere_is_refused(tmp_path):
    (tmp_path / "precious").write_text("kept")
    (tmp_path / "study.log.lock").symlink_to(tmp_path / "precious")
    with pytest.raises(StudyError, match="is a symbolic link"):
        open_journal(tmp_path / "study.log")
    assert (tmp_path / "precious").read_text() == "kept"


# ── errors ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_errors_of_a_database_are_one_line_with_the_way_out(tmp_path):
    path = tmp_path / "study.db"
    storage = open_sqlite(path)
    study = optuna.create_study(storage=storage, study_name="a")
    path.write_bytes(b"no database at all, but as long as one" * 100)
    with pytest.raises(Exception) as caught:  # noqa: PT011 - whatever the storage raises
        study.ask()
    known = storage_error(caught.value)
    assert isinstance(known, StudyError)
    assert str(known).startswith("storage: file is not a database; ")
    assert "study delete" in str(known)
    assert "typically happens" not in str(known)
    assert storage_error(ValueError("something of ours")) is None


def of_another_optuna(path: Path, tables: str, version: str) -> None:
    """A database that some study has left, as if that Optuna had made it."""
    shutil.copy(Path(__file__).parents[1] / "layouts/format4/study.db", path)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE alembic_version SET version_num = ?", (tables,))
        database.execute("UPDATE version_info SET library_version = ?", (version,))


@pytest.mark.parametrize("open_it", [open_sqlite, lambda path: open_storage(f"sqlite:///{path}")])
@pytest.mark.parametrize(
    ("tables", "version", "way_out"),
    [
        ("v3.0.0.d", "3.1.0", 'with a copy put by: optuna storage upgrade --storage "sqlite:///{path}"'),
        ("v99.0.0.a", "99.0.0", "or update: pip install -U autoprog-search optuna"),
    ],
)
def test_a_database_of_another_optuna_is_one_line_with_the_way_out(tmp_path, open_it, tables, version, way_out):
    of_another_optuna(path := tmp_path / "study.db", tables, version)
    with pytest.raises(StudyError) as caught:
        open_it(path)
    assert f"Optuna {version} made its tables, {optuna.__version__} is installed" in str(caught.value)
    assert str(caught.value).endswith(way_out.format(path=path))


def test_a_study_of_another_optuna_is_refused_and_opens_once_it_is_upgraded(tmp_path):
    shutil.copytree(Path(__file__).parents[1] / "layouts/format4", tmp_path / "studies/layout")
    of_another_optuna(path := tmp_path / "studies/layout/study.db", "v3.0.0.d", "3.1.0")
    done = cli_here("study", "show", "layout", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert f'optuna storage upgrade --storage "sqlite:///{path}"' in done.stderr
    optuna.storages.RDBStorage(f"sqlite:///{path}", skip_compatibility_check=True).upgrade()  # as that command does
    assert optuna.get_all_study_names(open_sqlite(path))


@pytest.mark.parametrize(
    "words",
    [
        ("train", "--space", "digits", "-o", "o", "--set", "storage=postgresql://me:s3cretpw@h/db"),
        ("study", "create", "s", "--space", "digits", "--set", "storage=[postgresql://me:s3cretpw@h/db]"),
        ("study", "create", "s", "--space", "digits", "--set", "storage: postgresql://me:s3cretpw@h/db"),
        ("study", "create", "s", "--space", "digits", "--set", "storage=postgresql://me:s3cretpw: x@h/db"),
        ("study", "create", "s", "--space", "digits", "--storage", "postgresql://me:s3cretpw@h/db"),
        ("study", "create", "s", "--spcae", "digits", "--data", "postgresql://me:s3cretpw@h/db"),
        ("study", "create", "s", "--space", "postgresql://me:s3cretpw@h/db"),
        ("study", "show", "postgresql://me:s3cretpw@h/db"),
    ],
)
def test_no_message_repeats_a_password(tmp_path, words):
    done = cli_here(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert "s3cretpw" not in done.stderr + done.stdout


# ── a server; on a real one: test_server.py ───────────────────────────────────────────────────────────────────────────


def test_without_its_driver_a_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtraError, match=r"PostgreSQL needs psycopg.*pip install 'autoprog-search\[postgres\]'"):
        open_storage("postgresql+psycopg://me@localhost/x")


@pytest.mark.parametrize("given", ["a minute", "0", "-5", "nan", "1e9"])
def test_a_lease_lasts_a_number_of_seconds(given, monkeypatch):
    monkeypatch.setenv(leases.SETTING, given)
    with pytest.raises(ConfigError, match="is no number of seconds from 1 to 86400"):
        leases.lease_seconds()
