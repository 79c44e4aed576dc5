"""Where studies run that faults strike (`benchmarks/faults.py`): a study, whoever runs it, and what is around them."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from autoprog_search.study import leases
from autoprog_search.study.creation import create_study
from autoprog_search.study.store import StoredStudy, open_study
from tests import postgres, ray_cluster
from tests.distributed import launch
from tests.faulty import NoDisk, small_disk
from tests.forked import Forked, start
from tests.postgres import Server, running_server
from tests.proxy import Proxy, proxied
from tests.ray_cluster import QUIET, Nodes, children, running_cluster
from tests.tiny import FEW, SHORT, run_here, tiny_config, without_measuring

METHODS = (
    "methods={tpe: {trials: 2, seeds: 1}, autoprog: {seeds: 2}, full-short: {seeds: 2}, random: {trials: 3, seeds: 1}}"
)
LEASE_SECONDS = 2.0


@dataclass
class Site:
    """A study, whoever runs it, and what can be done to them.

    Attributes:
        words: of the command that runs it, in each root.
        ranks: processes that train each trial together.
    """

    roots: list[Path]
    words: tuple[str, ...] = ()
    ranks: int = 1
    disk: Path | None = None
    server: Server | None = None
    proxy: Proxy | None = None
    nodes: Nodes | None = None
    processes: dict[Path, Forked] = field(default_factory=dict)
    tracebacks: list[str] = field(default_factory=list)
    _listeners: list[threading.Thread] = field(default_factory=list)

    def study(self) -> StoredStudy:
        return open_study(self.roots[0], "tiny")

    def run(self) -> bool:
        """Start whatever has ended; whether the study is done, and has no need of it."""
        ended = [root for root in self.roots if root not in self.processes or self.processes[root].poll() is not None]
        if any(root in self.processes and self.processes[root].returncode == 0 for root in ended):
            return True
        for root in ended:
            command = ("--root", root, "study", "run", "tiny", *self.words)
            environment = {leases.SETTING: f"{LEASE_SECONDS:g}", **(QUIET if self.nodes else {})}
            if self.ranks > 1:
                words = launch.launcher(self.ranks, *launch.COMMAND, *command)
                self.processes[root] = launch.start(words, root, **environment)
            else:
                self.processes[root] = start(*command, cwd=root, **environment)
            self._hear(self.processes[root])
        return False

    def _hear(self, process: Forked) -> None:
        """Keep its pipe empty, and what it says in a traceback, but torchrun's of ranks that have failed."""

        def read() -> None:
            assert process.stderr is not None
            said = process.stderr.read()
            if said.count("Traceback") > said.count("ChildFailedError:"):
                print(said, flush=True)
                self.tracebacks.append(said)

        self._listeners.append(threading.Thread(target=read, daemon=True))
        self._listeners[-1].start()

    def said(self) -> list[str]:
        """Tracebacks of what has run, which has ended."""
        for listener in self._listeners:
            listener.join(5)
        return self.tracebacks

    def workers(self) -> list[int]:
        """Processes that train, or begin to."""
        found = [child for process in self.processes.values() for child in children(process.pid)]
        if self.nodes is not None:
            named = {pid: Path(f"/proc/{pid}/cmdline") for pid in self.nodes.processes()}
            found = [pid for pid, path in named.items() if path.exists() and b"ray::run_task" in path.read_bytes()]
        return found

    def kill(self) -> None:
        """All of it at once."""
        for process in self.processes.values():
            if process.poll() is None:
                kill_all(process.pid)
                process.wait(30)


def kill_all(pid: int) -> None:
    """SIGKILL to a command and all that it has started: torchrun's ranks are no members of its group."""
    for one in (pid, *children(pid)):
        with suppress(ProcessLookupError):
            os.kill(one, signal.SIGKILL)


def undisturbed(folder: Path, ranks: int) -> StoredStudy:
    """What a study comes to that nothing happens to, trained by so many processes."""
    study = without_measuring(create_study(folder / f"alone{ranks}", tiny_config(METHODS, *FEW, *SHORT)), ranks)
    if ranks == 1:
        run_here(study)
    else:
        root = study.folder.parent
        ended = launch.run(ranks, *launch.COMMAND, "--root", root, "study", "run", "tiny", cwd=root)
        assert ended.returncode == 0, ended.errors
    return study


# ── the sites ───────────────────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def on_sqlite(folder: Path, ranks: int = 1) -> Iterator[Callable[[int], Site]]:
    """On a small disk of its own where one can be mounted; by two workers, or by one group of ranks."""
    with ExitStack() as mounted:
        disk: Path | None = folder / f"disk{ranks}"
        assert disk is not None
        try:
            mounted.enter_context(small_disk(disk, 48_000))
        except NoDisk:
            disk = None

        def site(number: int) -> Site:
            roots = [(disk or folder) / f"sqlite{ranks}-{number}"]
            without_measuring(create_study(roots[0], tiny_config(METHODS, *FEW, *SHORT)), ranks)
            words = ("--workers", "2", "--device", "cpu") if ranks == 1 else ()
            return Site(roots, words, ranks, disk)

        yield site


@contextmanager
def on_postgresql(folder: Path) -> Iterator[Callable[[int], Site]]:
    with running_server() as server, proxied(server.port) as proxy:

        def site(number: int) -> Site:
            url = server.schema(f"faults{number}").replace(f":{server.port}/", f":{proxy.port}/")
            url += "&connect_timeout=2&tcp_user_timeout=2000"  # a silent connection is found dead within a lease
            shared = (folder / f"shared{number}").as_uri()
            config = tiny_config(METHODS, *FEW, *SHORT).model_copy(update={"storage": url, "artifacts": shared})
            roots = [folder / f"there{number}", folder / f"here{number}"]
            for root in roots:
                without_measuring(create_study(root, config))
            return Site(roots, ("--device", "cpu"), server=server, proxy=proxy)

        yield site


@contextmanager
def on_ray(folder: Path) -> Iterator[Callable[[int], Site]]:
    with running_cluster() as nodes:

        def site(number: int) -> Site:
            root = folder / f"ray{number}"
            without_measuring(create_study(root, tiny_config(METHODS, *FEW, *SHORT)))
            words = ("--engine", "ray", "--address", nodes.address, "--gpus-per-trial", "0", "--cpus-per-trial", "2")
            return Site([root], words, nodes=nodes)

        yield site


RANKS = {"sqlite": 1, "ddp": 2, "postgresql": 1, "ray": 1}
STORAGES = {
    "sqlite": on_sqlite,
    "ddp": partial(on_sqlite, ranks=RANKS["ddp"]),
    "postgresql": on_postgresql,
    "ray": on_ray,
}
MISSING = {"sqlite": "", "ddp": "", "postgresql": postgres.MISSING, "ray": ray_cluster.MISSING}
"""What a storage takes and is not here: the faults are then shared among the others."""
