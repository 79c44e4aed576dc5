"""The board by which the workers of a Ray cluster and their driver speak. It imports nothing: it is there at once."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Board:
    """An actor on the driver's node: what workers tell, whether they are to stop, where those of a trial meet."""

    events: list[bytes] = field(default_factory=list)
    workers: set[int] = field(default_factory=set)
    meetings: dict[int, tuple[str, int]] = field(default_factory=dict)
    stop: bool = False

    def tell(self, event: bytes) -> None:
        """A worker tells an event, pickled: to read it takes torch, which is the driver's to load."""
        self.events.append(event)

    def told(self) -> list[bytes]:
        """What has been told since the driver last asked."""
        told, self.events = self.events, []
        return told

    def begin(self, worker: int) -> None:
        """A worker has begun."""
        self.workers.add(worker)

    def begun(self) -> set[int]:
        """Workers that have begun."""
        return self.workers

    def ask_to_stop(self) -> None:
        """The driver asks all workers to stop."""
        self.stop = True

    def asked_to_stop(self) -> bool:
        """Whether it has."""
        return self.stop

    def meet(self, worker: int, host: str, port: int) -> None:
        """The first process of a worker waits there for the others."""
        self.meetings[worker] = host, port

    def met(self, worker: int) -> tuple[str, int] | None:
        """Where it waits, if it does already."""
        return self.meetings.get(worker)
