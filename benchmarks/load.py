"""How many trials a second one storage serves, and whether a study of thousands of trials still answers at once.

Workers look trials up in a table, which takes no time, so what is measured is the storage and what places the workers:
each (method, seed) is a worker's, and all write at once. Kinds: the journal that a table's study keeps in its folder, a
SQLite file by URL, a PostgreSQL server that is started here, and the journal again with workers on a Ray cluster of
four nodes, all of them here. Then commands that only read are timed on a study of 10,000 trials. These are seconds,
not ratios: run it on an idle machine. After each run its trials are counted: as many as asked for, each under a number
of its own, all COMPLETE; and what workers said is looked through for databases that were locked, and for tracebacks.

    python -m benchmarks.load [--storage journal sqlite postgresql ray] [--workers 8] [--trials 500]
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from autoprog_search.study.store import StoredStudy, open_study
from benchmarks.record import record
from tests import postgres, ray_cluster

LARGE = 10_000
READERS = (("show", "-f", "csv"), ("show",), ("compare",), ("list",))
WRONG = re.compile(r"\blocked\b|Traceback", re.IGNORECASE)
Words = tuple[str, ...]


def main() -> None:
    """Measure and store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--storage", nargs="*", choices=STORAGES, default=[*STORAGES])
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--trials", type=int, default=500, help="Of each worker.")
    asked = parser.parse_args()
    rates = {}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for kind in asked.storage:
            if missing := MISSING.get(kind):
                print(f"{kind}: left out: {missing}", flush=True)
                continue
            with STORAGES[kind](root) as (creating, running):
                rates[kind] = rate(root, kind, asked.workers, asked.trials, creating, running)
        answers = responses(root)
    print(record("load", trials_per_second=rates, seconds_of_10000=answers, workers=asked.workers, trials=asked.trials))


def rate(root: Path, kind: str, workers: int, trials: int, creating: Words, running: Words) -> float:
    """Trials a second of so many workers that share a study; a command that fails is an error."""
    create(root, kind, trials, workers, *creating)
    began = time.perf_counter()
    run(root, "study", "run", kind, "--workers", str(workers), *running)
    taken = time.perf_counter() - began
    counted = count(open_study(root, kind), workers, trials)
    print(f"{kind}: {trials * workers / taken:.1f} trials/s of {workers} workers; {counted}", flush=True)
    return trials * workers / taken


@contextmanager
def in_folder(root: Path) -> Iterator[tuple[Words, Words]]:
    """Options of `study create` and of `study run`: none."""
    yield (), ()


@contextmanager
def on_sqlite(root: Path) -> Iterator[tuple[Words, Words]]:
    """A file that several studies could share."""
    yield ("--storage", f"sqlite:///{root / 'shared.db'}"), ()


@contextmanager
def on_postgresql(root: Path) -> Iterator[tuple[Words, Words]]:
    """A server on loopback, on this machine's disk."""
    with postgres.running_server() as server:
        yield ("--storage", server.url()), ()


@contextmanager
def on_ray(root: Path) -> Iterator[tuple[Words, Words]]:
    """Eight CPUs on four nodes, whatever this machine has."""
    os.environ.update(ray_cluster.QUIET)
    with ray_cluster.running_cluster() as nodes:
        nodes.add()
        nodes.add()
        yield (), ("--engine", "ray", "--address", nodes.address)


STORAGES: dict[str, Callable[[Path], AbstractContextManager[tuple[Words, Words]]]] = {
    "journal": in_folder,
    "sqlite": on_sqlite,
    "postgresql": on_postgresql,
    "ray": on_ray,
}
MISSING = {"postgresql": postgres.MISSING, "ray": ray_cluster.MISSING}


def responses(root: Path) -> dict[str, float]:
    """Seconds that commands which only read take on a large study."""
    create(root, "large", 100, LARGE // 100)
    run(root, "study", "run", "large", "--workers", "2")
    print(f"large: {count(open_study(root, 'large'), LARGE // 100, 100)}", flush=True)
    found = {}
    for command, *options in READERS:
        began = time.perf_counter()
        run(root, "study", command, *(() if command == "list" else ("large",)), *options)
        words, seconds = " ".join((command, *options)), time.perf_counter() - began
        found[words] = seconds
        print(f"study {words} of {LARGE:,} trials: {seconds:.1f} s", flush=True)
    return found


def create(root: Path, name: str, trials: int, seeds: int, *options: str) -> None:
    """A study of uniform draws on the table."""
    methods = f"methods={{random: {{trials: {trials}, seeds: {seeds}}}}}"
    run(root, "study", "create", name, "--data", "table:fashion", "--set", methods, *options)


def count(study: StoredStudy, seeds: int, trials: int) -> str:
    """Count what is stored of a study that was run; anything but all of it is an error.

    Args:
        trials: of each seed.

    Returns:
        That they are all there.
    """
    for seed in range(seeds):
        stored = study.storage.get_all_trials(study.stored_id("random", seed), deepcopy=False)
        states = {trial.state.name for trial in stored}
        numbers = sorted(trial.number for trial in stored)
        if numbers != list(range(trials)) or states != {"COMPLETE"}:
            raise SystemExit(
                f"{study.name}, seed {seed}: {len(stored)} trials of {trials}, {len(set(numbers))} numbers, {states}"
            )
    return f"all {seeds * trials} trials are there once, COMPLETE; no worker met a lock or failed"


def run(root: Path, *words: str) -> None:
    """An `autoprog-search` command; what it says where it fails, or where one of its workers does and it goes on."""
    done = subprocess.run(
        [sys.executable, "-m", "autoprog_search", "--root", str(root), *words], capture_output=True, text=True
    )
    check(words, done)


def check(words: Words, done: subprocess.CompletedProcess[str]) -> None:
    """That a command ended well, and that neither it nor what it started, whose stderr is its own, met anything."""
    if done.returncode != 0 or WRONG.search(done.stderr):
        raise SystemExit(f"{' '.join(words)}: exit code {done.returncode}\n{done.stderr[-2000:]}")


if __name__ == "__main__":
    main()
