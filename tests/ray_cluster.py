"""Ray on this machine, for tests: a cluster of several nodes on loopback, any of which can be lost.

A process of its own holds it (`python -m tests.ray_cluster`), as one that has spoken to Ray cannot be forked.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import pytest

T = TypeVar("T")
ROOT = Path(__file__).parent.parent
MISSING = "" if find_spec("ray") else "no Ray: pip install 'autoprog-search[ray]'"
needs_ray = [pytest.mark.services, pytest.mark.ray, pytest.mark.skipif(bool(MISSING), reason=MISSING)]
SMALL = {"num_cpus": 2, "object_store_memory": 100 * 2**20}
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # all of it on loopback
    "RAY_worker_niceness": "0",  # they would wait for everybody else on a busy machine
}


class Nodes:
    """A cluster of nodes with two CPUs each, of which the first has two GPUs that are none.

    Attributes:
        address: of the cluster.
    """

    def __init__(self) -> None:
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        self._holder = subprocess.Popen(
            [sys.executable, "-m", "tests.ray_cluster"],
            env={**os.environ, **QUIET, "PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.address: str = self._answer()
        self._others: list[list[int]] = []

    def add(self) -> None:
        """One more node."""
        self._ask("add")
        self._others.append(self._answer())

    def lose(self) -> None:
        """Kill the node that came last, with all that runs on it, as if its machine were gone."""
        for pid in [pid for daemon in self._others.pop() for pid in (daemon, *children(daemon))]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def processes(self) -> list[int]:
        """All that belongs to the cluster."""
        return children(self._holder.pid)

    def close(self) -> None:
        """End it."""
        self._ask("end")
        self._holder.wait()

    def _ask(self, what: str) -> None:
        assert self._holder.stdin is not None
        self._holder.stdin.write(f"{what}\n")
        self._holder.stdin.flush()

    def _answer(self) -> Any:
        assert self._holder.stdout is not None
        for line in self._holder.stdout:
            if line.startswith("answer: "):
                return json.loads(line.removeprefix("answer: "))
        raise AssertionError("Ray could not be started")


def hold() -> None:
    """Start a cluster, and do as the lines of standard input say."""
    from ray.cluster_utils import Cluster

    head = SMALL | {"num_gpus": 2, "include_dashboard": False}
    cluster = tried(lambda: Cluster(initialize_head=True, head_node_args=head))
    print(f"answer: {json.dumps(cluster.address)}", flush=True)
    for line in sys.stdin:
        if line.strip() == "end":
            break
        node = tried(lambda: cluster.add_node(**SMALL))
        daemons = [info.process.pid for of_kind in node.all_processes.values() for info in of_kind]
        print(f"answer: {json.dumps(daemons)}", flush=True)
    cluster.shutdown()


def tried(start: Callable[[], T]) -> T:
    """What it starts, by the fourth try: Ray's parts wait 15 s for each other, which is too short on a busy machine."""
    for _ in range(3):
        with suppress(Exception):
            return start()
    return start()


def children(pid: int) -> list[int]:
    """Processes that a process has started, and those that they have."""
    parents = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parents[int(status.parent.name)] = int(status.read_text().rpartition(")")[2].split()[1])
    found = [pid]
    for parent in found:
        found += [child for child, its in parents.items() if its == parent]
    return found[1:]


@contextmanager
def running_cluster() -> Iterator[Nodes]:
    """Two nodes, on the second of which nothing but workers runs."""
    nodes = Nodes()
    try:
        nodes.add()
        yield nodes
    finally:
        nodes.close()


if __name__ == "__main__":
    hold()
