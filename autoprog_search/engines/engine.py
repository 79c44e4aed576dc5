"""The ways to run a study's trials, and what each can be asked for: one table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from importlib import import_module
from typing import TYPE_CHECKING

from autoprog_search.errors import ConfigError

if TYPE_CHECKING:
    from autoprog_search.engines.events import Tell
    from autoprog_search.study.store import StoredStudy


@dataclass(frozen=True)
class Needs:
    """What whoever starts a study asks for; None leaves it to the engine.

    Attributes:
        workers: so many trials at the same time, at most.
        device: a torch device's name, or `auto`.
        address: of a cluster that is there.
        gpus_per_trial: a share of one, or a whole number: several train each trial together.
        cpus_per_trial: of each process of a trial.
        loggers: names of those that are told of each run; they change no result.
    """

    workers: int | None = None
    device: str = "auto"
    address: str | None = None
    gpus_per_trial: float | None = None
    cpus_per_trial: int | None = None
    loggers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ended:
    """How workers ended, where not all did as they should.

    Attributes:
        error: what one of them said last.
        died: what is known of one that said nothing.
    """

    error: str | None = None
    died: str | None = None


RunWorkers = Callable[["StoredStudy", Needs, "Tell"], Ended]
"""Runs whatever is unfinished, and returns when nobody runs anything any more.

Raises KeyboardInterrupt where a signal asked to stop: checkpoints are written by then.
"""


@dataclass(frozen=True)
class Engine:
    """A way to run trials.

    Attributes:
        takes: names of the `Needs` that it knows.
    """

    description: str
    run_workers: str
    takes: frozenset[str]

    def loaded(self) -> RunWorkers:
        """Its function, imported now: what it needs may not be installed."""
        module, _, name = self.run_workers.partition(":")
        found: RunWorkers = getattr(import_module(module), name)
        return found


ENGINES = {
    "local": Engine(
        "processes on this machine",
        "autoprog_search.engines.local:run_workers",
        frozenset({"workers", "device", "loggers"}),
    ),
    "ray": Engine(
        "a Ray cluster, or Ray on this machine",
        "autoprog_search.engines.ray:run_workers",
        frozenset({"workers", "address", "gpus_per_trial", "cpus_per_trial", "loggers"}),
    ),
}


def check_needs(engine: str, needs: Needs) -> None:
    """Whether an engine knows what it is asked for.

    Raises:
        ConfigError: it does not.
    """
    for field in fields(needs):
        value = getattr(needs, field.name)
        if value == field.default or field.name in ENGINES[engine].takes:
            continue
        others = ", ".join(name for name, other in ENGINES.items() if field.name in other.takes)
        said = f"{value:g}" if isinstance(value, float) else value
        raise ConfigError(f"{field.name}: {said} is nothing that the engine {engine} can be asked for, but {others}")
    gpus = needs.gpus_per_trial
    if gpus is not None and gpus > 1 and gpus != int(gpus):
        raise ConfigError(f"gpus_per_trial: {gpus:g} is neither a share of one GPU nor a whole number")
