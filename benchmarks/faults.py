"""Faults in running studies, one after the other, until so many have struck; then whether anything was lost.

A tiny study is run in real processes: by two workers on SQLite, by two `study run` of two folders on a PostgreSQL
server behind a proxy, by two nodes of a Ray cluster. Every second or so, at random, something happens to them; what
has ended is started again. When the study is done its table must be an undisturbed run's in all but `*_seconds`, its
weights the same bytes, and each trial be there once. Linux; root for a disk that fills up.

    python -m benchmarks.faults [--faults 50] [--storage sqlite postgresql ray] [--seed 0]
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from autoprog_search.study import leases
from autoprog_search.study.creation import create_study
from autoprog_search.study.results import trials_frame
from autoprog_search.study.store import StoredStudy, open_study
from benchmarks.record import record
from tests import postgres, ray_cluster
from tests.faulty import NoDisk, damage, fill, no_more_memory, small_disk
from tests.forked import Forked, start
from tests.postgres import Server, running_server
from tests.proxy import Proxy, proxied
from tests.ray_cluster import QUIET, Nodes, children, running_cluster
from tests.tiny import FEW, SHORT, run_here, tiny_config, without_measuring

METHODS = (
    "methods={tpe: {trials: 2, seeds: 1}, autoprog: {seeds: 2}, full-short: {seeds: 2}, random: {trials: 3, seeds: 1}}"
)
LEASE_SECONDS = 2.0
MEAN_SECONDS = 1.0
MEAN_SECONDS_ON_RAY = 10.0
"""Between two faults; Ray's workers import everything anew."""

PATIENCE_SECONDS = 600.0
"""A study that takes longer than this after its last fault hangs."""


@dataclass
class Site:
    """A study, whoever runs it, and what can be done to them.

    Attributes:
        words: of the command that runs it, in each root.
    """

    roots: list[Path]
    words: tuple[str, ...]
    disk: Path | None = None
    server: Server | None = None
    proxy: Proxy | None = None
    nodes: Nodes | None = None
    processes: dict[Path, Forked] = field(default_factory=dict)

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
            self.processes[root] = start(*command, cwd=root, **environment)
            self._hear(self.processes[root])
        return False

    def _hear(self, process: Forked) -> None:
        """Keep its pipe empty; a traceback is a fault of ours."""

        def read() -> None:
            assert process.stderr is not None
            said = process.stderr.read()
            if "Traceback" in said:
                print(said, flush=True)

        threading.Thread(target=read, daemon=True).start()

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
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(30)


# ── faults; each says whether there was anything to strike ───────────────────────────────────────────────────────────


def kill(site: Site, rng: random.Random) -> bool:
    """SIGKILL to a worker, or to the command with all of its workers."""
    whole = [process.pid for process in site.processes.values() if process.poll() is None]
    victims = site.workers()
    with suppress(ProcessLookupError):  # it has just ended, or not yet begun
        if victims and (rng.random() < 0.5 or site.nodes is not None):
            os.kill(rng.choice(victims), signal.SIGKILL)
        elif whole:
            os.killpg(rng.choice(whole), signal.SIGKILL)
    return bool(victims or whole)


def stop(site: Site, rng: random.Random) -> bool:
    """SIGSTOP for longer than a lease."""
    victims = [process.pid for process in site.processes.values() if process.poll() is None]
    if victims:
        victim = rng.choice(victims)
        with suppress(ProcessLookupError):
            os.killpg(victim, signal.SIGSTOP)
            time.sleep(1.6 * LEASE_SECONDS)
            os.killpg(victim, signal.SIGCONT)
    return bool(victims)


def cut(site: Site, rng: random.Random) -> bool:
    """Connections are cut; half of the time the server is out of reach for longer than a lease."""
    assert site.proxy is not None
    site.proxy.leave()
    time.sleep(rng.choice([0.0, 1.4 * LEASE_SECONDS]))
    site.proxy.back()
    return True


def restart(site: Site, rng: random.Random) -> bool:
    """The server, in good order or not."""
    assert site.server is not None
    site.server.restart(rng.choice(["fast", "immediate"]))
    return True


def lose_node(site: Site, rng: random.Random) -> bool:
    """A node, with all that runs on it; another one comes."""
    assert site.nodes is not None
    site.nodes.lose()
    site.nodes.add()
    return True


def damage_checkpoint(site: Site, rng: random.Random) -> bool:
    """A power cut: everything ends, and files lack their ends."""
    if not any(any(root.glob("tiny/trials/*/checkpoint.pt")) for root in site.roots):
        return False
    site.kill()
    for path in [path for root in site.roots for path in root.glob("tiny/trials/*/checkpoint.pt")]:
        damage(path, rng)
    return True


def fill_disk(site: Site, rng: random.Random) -> bool:
    """No space is left for a while."""
    assert site.disk is not None
    filler = site.disk / "filler"
    with suppress(OSError):
        fill(filler, leave=rng.choice([4_096, 40_000, 150_000]))
    time.sleep(2.0)
    filler.unlink()
    return True


def take_memory(site: Site, rng: random.Random) -> bool:
    """A worker gets no memory any more."""
    victims = site.workers()
    if victims:
        with suppress(OSError):  # it has just ended
            no_more_memory(rng.choice(victims))
    return bool(victims)


FAULTS: dict[str, tuple[Callable[[Site, random.Random], bool], tuple[str, ...]]] = {
    "SIGKILL": (kill, ("sqlite", "postgresql", "ray")),
    "SIGSTOP, longer than the lease": (stop, ("sqlite", "postgresql")),
    "damaged checkpoints": (damage_checkpoint, ("sqlite", "postgresql")),
    "no memory": (take_memory, ("sqlite", "postgresql")),
    "no space": (fill_disk, ("sqlite",)),
    "cut connections": (cut, ("postgresql",)),
    "server restart": (restart, ("postgresql",)),
    "lost node": (lose_node, ("ray",)),
}


# ── where a study runs ──────────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def on_sqlite(folder: Path) -> Iterator[Callable[[int], Site]]:
    with ExitStack() as mounted:
        disk: Path | None = folder / "disk"
        assert disk is not None
        try:
            mounted.enter_context(small_disk(disk, 48_000))
        except NoDisk:
            disk = None

        def site(number: int) -> Site:
            roots = [(disk or folder) / f"sqlite{number}"]
            without_measuring(create_study(roots[0], tiny_config(METHODS, *FEW, *SHORT)))
            return Site(roots, ("--workers", "2", "--device", "cpu"), disk)

        yield site


@contextmanager
def on_postgresql(folder: Path) -> Iterator[Callable[[int], Site]]:
    with running_server() as server, proxied(server.port) as proxy:

        def site(number: int) -> Site:
            url = server.schema(f"faults{number}").replace(f":{server.port}/", f":{proxy.port}/")
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


STORAGES = {"sqlite": on_sqlite, "postgresql": on_postgresql, "ray": on_ray}
MISSING = {"sqlite": "", "postgresql": postgres.MISSING, "ray": ray_cluster.MISSING}
"""What a storage takes and is not here: the faults are then shared among the others."""


# ── the loop ────────────────────────────────────────────────────────────────────────────────────────────────────────


def main() -> None:
    """Inject, compare, print and store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", type=int, default=50, help="In all, shared among the storages.")
    parser.add_argument("--storage", nargs="+", choices=STORAGES, default=list(STORAGES))
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    storages = [name for name in asked.storage if not MISSING[name]]
    for name in asked.storage:
        if MISSING[name]:
            print(f"{name}: left out: {MISSING[name]}", flush=True)
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as name:
        alone = without_measuring(create_study(Path(name, "alone"), tiny_config(METHODS, *FEW, *SHORT)))
        run_here(alone)
        for place, storage in enumerate(storages):
            share = asked.faults // len(storages) + (place < asked.faults % len(storages))
            with STORAGES[storage](Path(name)) as new_site:
                rows += strike(storage, new_site, alone, share, random.Random(f"{asked.seed} {storage}"))
    print(pd.DataFrame(rows).to_string(index=False))
    print(record("faults", rows=rows, faults=asked.faults, seed=asked.seed))
    if any(row["lost"] or row["double"] or row["unequal"] for row in rows):
        raise SystemExit("something was lost, or counted twice, or differs")


def strike(
    storage: str, new_site: Callable[[int], Site], alone: StoredStudy, count: int, rng: random.Random
) -> list[dict[str, object]]:
    """Have so many faults strike studies on that storage, each kind in turn; what came of it, a row a kind."""
    injected: Counter[str] = Counter()
    wrong: dict[str, Counter[str]] = {"lost": Counter(), "double": Counter(), "unequal": Counter()}
    number = 0
    while sum(injected.values()) < count:
        site = new_site(number)
        number += 1
        struck = run_struck(site, storage, injected, count, rng)
        for what, of in compare(site, alone).items():
            wrong[what] += Counter(dict.fromkeys(struck, of))
        print(f"{storage}, study {number}: {', '.join(struck) or 'done before anything struck'}", flush=True)
    kinds = [name for name, (_, places) in FAULTS.items() if storage in places and injected[name]]
    return [
        {"fault": name, "storage": storage, "injected": injected[name]} | {what: of[name] for what, of in wrong.items()}
        for name in kinds
    ]


def run_struck(site: Site, storage: str, injected: Counter[str], count: int, rng: random.Random) -> list[str]:
    """Run a study to its end under faults; which."""
    kinds = [name for name, (_, places) in FAULTS.items() if storage in places]
    if site.disk is None and "no space" in kinds:
        kinds.remove("no space")
    struck: list[str] = []
    deadline = time.monotonic() + PATIENCE_SECONDS
    mean = MEAN_SECONDS_ON_RAY if site.nodes else MEAN_SECONDS
    while not site.run():
        time.sleep(min(3 * mean, rng.expovariate(1 / mean)) if sum(injected.values()) < count else 0.2)
        if sum(injected.values()) < count and any(process.poll() is None for process in site.processes.values()):
            name = min(kinds, key=lambda kind: (injected[kind], rng.random()))
            if FAULTS[name][0](site, rng):
                injected[name] += 1
                struck.append(name)
            deadline = time.monotonic() + PATIENCE_SECONDS
        if time.monotonic() > deadline:
            site.kill()
            raise SystemExit(f"{storage}: the study hangs after {struck}")
    for process in site.processes.values():
        process.wait(PATIENCE_SECONDS)
    return struck


def compare(site: Site, alone: StoredStudy) -> dict[str, int]:
    """Trials without an end, trials stored more than once, and whether the table or the weights differ."""
    study = site.study()
    ours, theirs = table(study), table(alone)
    lost = sum(not trial.state.is_finished() for trial in study.trials().values())
    stored = sum(len(study.optuna_study(*pair).get_trials(deepcopy=False)) for pair in study.pairs())
    double = stored - sum(1 for _ in study.jobs()) + int(ours.duplicated(["method", "seed", "trial"]).sum())
    same = ours.equals(theirs) and weights(*site.roots) == weights(alone.folder.parent)
    return {"lost": lost, "double": double, "unequal": int(not same)}


def table(study: StoredStudy) -> pd.DataFrame:
    frame = trials_frame(study)
    return frame[[name for name in frame.columns if not name.endswith("_seconds")]]


def weights(*roots: Path) -> dict[str, bytes]:
    """Of each trial, from wherever it was trained to its end."""
    return {path.parent.name: path.read_bytes() for root in roots for path in root.glob("tiny/trials/*/*.safetensors")}


if __name__ == "__main__":
    main()
