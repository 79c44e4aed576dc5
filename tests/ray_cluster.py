"""Ray on this machine, for tests: a cluster of several nodes on loopback, any of which can be lost."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

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
        from ray.cluster_utils import Cluster

        self._cluster: Any = Cluster(head_node_args=SMALL | {"num_gpus": 2, "include_dashboard": False})
        self._others: list[Any] = []
        self.address: str = self._cluster.address

    def add(self) -> None:
        """One more node."""
        self._others.append(self._cluster.add_node(**SMALL))

    def lose(self) -> None:
        """Kill the node that came last, with all that runs on it, as if its machine were gone."""
        node = self._others.pop()
        daemons = [info.process.pid for of_kind in node.all_processes.values() for info in of_kind]
        for pid in [pid for daemon in daemons for pid in (daemon, *children(daemon))]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def close(self) -> None:
        """End it."""
        self._cluster.shutdown()


def children(pid: int) -> list[int]:
    """Processes that a process has started, and those that they have."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parent = int(status.read_text().rpartition(")")[2].split()[1])
            if parent == pid:
                child = int(status.parent.name)
                found += [child, *children(child)]
    return found


@contextmanager
def running_cluster() -> Iterator[Nodes]:
    """Two nodes, on the second of which nothing but workers runs."""
    with pytest.MonkeyPatch.context() as environment:
        for name, value in QUIET.items():
            environment.setenv(name, value)
        nodes = Nodes()
        try:
            nodes.add()
            yield nodes
        finally:
            nodes.close()
