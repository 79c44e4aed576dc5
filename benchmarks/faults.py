"""Faults in running studies, one after the other, until so many have struck; then whether anything was lost.

A tiny study is run in real processes: by two workers on SQLite, by two ranks that torchrun starts (`ddp`, on SQLite as
well), by two `study run` of two folders on a PostgreSQL server behind a proxy, by two nodes of a Ray cluster. Every
second or so, at random, something happens to them; what has ended is started again. When the study is done its table
must be an undisturbed run's, by as many ranks, in all but `*_seconds`, its weights the same bytes, and each trial be
there once. Linux; root for a disk that fills up.

    python -m benchmarks.faults [--faults 50] [--storage sqlite ddp postgresql ray] [--seed 0]
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pandas as pd

from autoprog_search.study.results import trials_frame
from autoprog_search.study.store import StoredStudy
from benchmarks.record import record
from benchmarks.sites import LEASE_SECONDS, MISSING, RANKS, STORAGES, Site, kill_all, undisturbed
from tests.faulty import damage, fill, no_more_memory

MEAN_SECONDS = 1.0
MEAN_SECONDS_ON_RAY = 10.0
"""Between two faults; Ray's workers import everything anew."""

OUT_OF_MEMORY_SECONDS = 30.0
"""That a worker without memory has to end, or to go on with what it has."""

WRONG = ("lost", "double", "unequal", "tracebacks")
"""What is counted of the studies that a kind of fault has struck."""

PATIENCE_SECONDS = 600.0
"""A study that takes longer than this after its last fault hangs."""


# ── faults; each says whether there was anything to strike ───────────────────────────────────────────────────────────


def kill(site: Site, rng: random.Random) -> bool:
    """SIGKILL to a worker, or to the command with all of its workers."""
    whole = [process.pid for process in site.processes.values() if process.poll() is None]
    victims = site.workers()
    with suppress(ProcessLookupError):  # it has just ended, or not yet begun
        if victims and (rng.random() < 0.5 or site.nodes is not None):
            os.kill(rng.choice(victims), signal.SIGKILL)
        elif whole:
            kill_all(rng.choice(whole))
    return bool(victims or whole)


def stop(site: Site, rng: random.Random) -> bool:
    """SIGSTOP for longer than a lease."""
    victims = [process.pid for process in site.processes.values() if process.poll() is None]
    return pause(victims, os.killpg, rng)


def stop_rank(site: Site, rng: random.Random) -> bool:
    """SIGSTOP to one of those that train together; the others wait for it."""
    return pause(site.workers(), os.kill, rng)


def pause(victims: list[int], send: Callable[[int, int], None], rng: random.Random) -> bool:
    """Stop one of them for longer than a lease."""
    if victims:
        victim = rng.choice(victims)
        with suppress(ProcessLookupError):
            send(victim, signal.SIGSTOP)
            time.sleep(1.6 * LEASE_SECONDS)
            send(victim, signal.SIGCONT)
    return bool(victims)


def cut(site: Site, rng: random.Random) -> bool:
    """Connections are cut; half of the time the server is out of reach for longer than a lease."""
    assert site.proxy is not None
    site.proxy.leave()
    time.sleep(rng.choice([0.0, 1.4 * LEASE_SECONDS]))
    site.proxy.back()
    return True


def fall_silent(site: Site, rng: random.Random) -> bool:
    """Packets are lost and nothing is closed, for less than a lease or for longer, when connections are found dead."""
    assert site.proxy is not None
    site.proxy.fall_silent()
    time.sleep(rng.choice([0.4, 1.4]) * LEASE_SECONDS)
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
    """A worker gets no memory any more; one that has not ended a while later is killed, as a system out of it does."""
    victims = site.workers()
    if victims:
        victim = rng.choice(victims)
        with suppress(OSError):  # it has just ended
            no_more_memory(victim)
            timer = threading.Timer(OUT_OF_MEMORY_SECONDS, kill_without_memory, [victim])
            timer.daemon = True
            timer.start()
    return bool(victims)


def kill_without_memory(pid: int) -> None:
    """Python's `Thread.start` waits for ever for a thread that had no memory to begin."""
    with suppress(OSError):  # it has ended
        if resource.prlimit(pid, resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY:
            os.kill(pid, signal.SIGKILL)
            print(f"killed process {pid}, which neither went on without memory nor ended", flush=True)


FAULTS: dict[str, tuple[Callable[[Site, random.Random], bool], tuple[str, ...]]] = {
    "SIGKILL": (kill, ("sqlite", "ddp", "postgresql", "ray")),
    "SIGSTOP, longer than the lease": (stop, ("sqlite", "postgresql")),
    "SIGSTOP of a rank": (stop_rank, ("ddp",)),
    "damaged checkpoints": (damage_checkpoint, ("sqlite", "ddp", "postgresql")),
    "no memory": (take_memory, ("sqlite", "ddp", "postgresql")),
    "no space": (fill_disk, ("sqlite", "ddp")),
    "cut connections": (cut, ("postgresql",)),
    "silent network": (fall_silent, ("postgresql",)),
    "server restart": (restart, ("postgresql",)),
    "lost node": (lose_node, ("ray",)),
}


# ── the loop ────────────────────────────────────────────────────────────────────────────────────────────────────────


def main() -> None:
    """Inject, compare, print and store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", type=int, default=50, help="In all, shared among the storages.")
    parser.add_argument("--storage", nargs="+", choices=STORAGES, default=list(STORAGES))
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    rows = struck(asked.storage, asked.faults, asked.seed)
    print(pd.DataFrame(rows).to_string(index=False))
    print(record("faults", rows=rows, faults=asked.faults, seed=asked.seed))
    if any(row[what] for row in rows for what in WRONG):
        raise SystemExit("something was lost, or counted twice, or differs, or was not foreseen")


def struck(asked: list[str], count: int, seed: int) -> list[dict[str, object]]:
    """Have so many faults strike, shared among those of the storages that are here; a row a kind and storage."""
    storages = [name for name in asked if not MISSING[name]]
    for name in asked:
        if MISSING[name]:
            print(f"{name}: left out: {MISSING[name]}", flush=True)
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as name:
        alone = {ranks: undisturbed(Path(name), ranks) for ranks in {RANKS[storage] for storage in storages}}
        for place, storage in enumerate(storages):
            share = count // len(storages) + (place < count % len(storages))
            with STORAGES[storage](Path(name)) as new_site:
                rows += strike(storage, new_site, alone[RANKS[storage]], share, random.Random(f"{seed} {storage}"))
    return rows


def strike(
    storage: str, new_site: Callable[[int], Site], alone: StoredStudy, count: int, rng: random.Random
) -> list[dict[str, object]]:
    """Have so many faults strike studies on that storage, each kind in turn; what came of it, a row a kind."""
    injected: Counter[str] = Counter()
    wrong: dict[str, Counter[str]] = {name: Counter() for name in WRONG}
    number = 0
    while sum(injected.values()) < count:
        site = new_site(number)
        number += 1
        struck = run_struck(site, storage, injected, count, rng)
        said = 0 if "no memory" in struck else len(site.said())  # what Python itself says without memory is no fault
        for what, of in (compare(site, alone) | {"tracebacks": said}).items():
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
