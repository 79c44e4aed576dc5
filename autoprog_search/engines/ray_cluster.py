"""A Ray cluster, this machine's own or another: being part of it, and what a worker takes of its nodes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from autoprog_search.engines.engine import Needs
from autoprog_search.errors import ConfigError, MissingExtraError, StudyError, why
from autoprog_search.study.store import StoredStudy

OBJECT_STORE = 100 * 2**20
"""Bytes of shared memory, of a cluster that is started here: next to nothing goes through it."""


@contextmanager
def joined_cluster(address: str | None) -> Iterator[Any]:
    """Inside, this process is a driver on that cluster; None: on one that is started here, and ended."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nobody is told
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else Ray warns of what it will do one day
    os.environ.setdefault("RAY_worker_niceness", "0")  # 15: whatever else runs goes before what trains
    own: dict[str, Any] = {}
    if address is None:
        # Ray's way to keep to the loopback address, meant for other systems; it is read at import.
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
        own = {"include_dashboard": False, "object_store_memory": OBJECT_STORE}
    elif address.startswith("ray://"):
        raise ConfigError(f"address: {address!r} is Ray Client's; run this on a machine of the cluster, with auto")
    try:
        import ray
    except ImportError:
        raise MissingExtraError(
            "engine: Ray is not installed; install it: pip install 'autoprog-search[ray]'"
        ) from None
    _connect(ray, address, own)
    try:
        yield ray
    finally:
        ray.shutdown()


def _connect(ray: Any, address: str | None, own: Mapping[str, Any]) -> None:
    # Its parts wait for each other for 15 s, which on a busy machine may be too short: twice more.
    for left in (0,) if address else (2, 1, 0):
        try:
            ray.init(address=address or "local", log_to_driver=False, logging_level="ERROR", **own)
            return
        except Exception as error:  # noqa: BLE001 - it raises whatever comes
            ray.shutdown()
            if left == 0:
                what = f"address: no Ray cluster answers at {address!r}" if address else "engine: Ray cannot be started"
                raise StudyError(f"{what}: {why(error)}") from None


@dataclass(frozen=True)
class Node:
    """What a node of the cluster has."""

    cpus: float
    gpus: float


def nodes_of(ray: Any) -> list[Node]:
    resources = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return [Node(found.get("CPU", 0.0), found.get("GPU", 0.0)) for found in resources]


@dataclass(frozen=True)
class Share:
    """What a worker takes.

    Attributes:
        processes: that train each trial together.
        cpus, gpus: of each process.
    """

    processes: int
    cpus: float
    gpus: float

    def fits(self, nodes: Sequence[Node]) -> int:
        """How many workers there is room for; all processes of one are on the same node."""
        room = 0
        for node in nodes:
            by_cpus = node.cpus // (self.processes * self.cpus)
            by_gpus = node.gpus // (self.processes * self.gpus) if self.gpus else by_cpus
            room += int(min(by_cpus, by_gpus))
        return room


def share_of(study: StoredStudy, needs: Needs, nodes: Sequence[Node]) -> Share:
    """What a worker of the study takes of these nodes.

    Raises:
        ConfigError: none has it, and more are not waited for, as they are where a number of workers is asked for.
    """
    most = Node(max((node.cpus for node in nodes), default=0), max((node.gpus for node in nodes), default=0))
    gpus, trains = needs.gpus_per_trial, study.config.data.table is None
    if gpus is None:
        gpus = 1.0 if most.gpus and trains else 0.0
    processes = max(1, int(gpus))
    wanted = study.config.threads + (study.config.data.workers if trains else 0)
    cpus = needs.cpus_per_trial or max(1, min(wanted, int(most.cpus) // processes))
    share = Share(processes, cpus, gpus / processes)
    if not share.fits(nodes) and needs.workers is None:
        raise ConfigError(
            f"gpus_per_trial, cpus_per_trial: {gpus:g} GPUs and {processes * cpus} CPUs are wanted on one node; those "
            f"of this cluster have up to {most.gpus:g} and {most.cpus:g}. Ask for less, or with --workers wait for more"
        )
    return share
