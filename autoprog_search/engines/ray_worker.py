"""What a worker does on a node of a Ray cluster."""

from __future__ import annotations

import os
import pickle
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, RayError

from autoprog_search.engines.events import Event, Tell
from autoprog_search.engines.worker import import_what_trains, warnings_told, work
from autoprog_search.errors import StudyError
from autoprog_search.faults import known_error
from autoprog_search.interrupt import POLL_SECONDS, Interrupted, signals_ask
from autoprog_search.study.config import StudyConfig
from autoprog_search.study.creation import create_study
from autoprog_search.study.store import StoredStudy, open_study


@dataclass(frozen=True)
class Where:
    """Where a node finds the study: by the same paths on all of them.

    Attributes:
        root, name: folder of the studies, name of this one.
        config: what its study.yaml says.
        mark: a file in its folder; a node that does not see it has a folder of its own there, or none yet.
        on_server: whether such a node can share the study nevertheless.
        folder: that the command was given in, which relative paths of data begin at.
        loggers: names of those that are told of each run.
    """

    root: Path
    name: str
    config: StudyConfig
    mark: Path
    on_server: bool
    folder: Path
    loggers: tuple[str, ...] = ()


def run_task(where: Where, board: Any, worker: int, rank: int, size: int, device: str) -> None:
    """A process of a worker; alone where a trial takes one.

    Raises:
        Exception: of errors those that users are told of as such, all others as they are.
    """

    def tell(event: Event) -> None:
        board.tell.remote(pickle.dumps(event))

    ray.get(board.begin.remote(worker))
    with suppress(OSError):
        os.chdir(where.folder)
    with _asked(board) as should_stop:
        try:
            if size == 1:
                work(partial(_open_here, where, should_stop), device, worker, tell, should_stop, where.loggers)
            else:
                _together(where, board, worker, rank, size, tell, should_stop)
        except Interrupted:
            return
        except Exception as error:  # noqa: BLE001 - the driver is told whatever it is
            raise known_error(error) or error from None
        finally:
            with suppress(RayError):
                ray.get(board.begin.remote(worker))  # comes after all that this process has told


@contextmanager
def _asked(board: Any) -> Iterator[Callable[[], bool]]:
    """Inside, a thread asks the board now and then; the function that is given says whether this process is to stop."""
    over, told_to = threading.Event(), []

    def look() -> None:
        while not over.wait(POLL_SECONDS):
            try:
                stop = ray.get(board.asked_to_stop.remote())
            except ActorUnavailableError:
                continue
            except RayError:  # the driver is gone
                stop = True
            if stop:
                told_to.append(True)
                return

    threading.Thread(target=look, daemon=True).start()
    try:
        with signals_ask() as signalled:
            yield lambda: bool(told_to) or signalled()
    finally:
        over.set()


def _open_here(where: Where, should_stop: Callable[[], bool]) -> StoredStudy:
    """The study on this node, made in the node's own folder where that is not the driver's.

    Raises:
        StudyError: this node can neither see the driver's folder nor do without it.
    """
    if not where.mark.exists():
        folder, host = where.root / where.name, socket.gethostname()
        if not where.on_server:
            raise StudyError(
                f"{folder}: {host} does not see the folder of the machine that the study was started on; let all nodes "
                "mount it, or keep the trials on a server: study create --storage postgresql+psycopg://..."
            )
        if create_study(where.root, where.config, skip_if_exists=True).config != where.config:
            raise StudyError(f"{folder / 'study.yaml'} on {host} is not the one that was started; delete that study")
    return open_study(where.root, where.name, should_stop)


def _together(
    where: Where, board: Any, worker: int, rank: int, size: int, tell: Tell, should_stop: Callable[[], bool]
) -> None:
    """Be one of several processes that train each trial together, as if torchrun had started them.

    Ray lets each see its own GPU only, so each is the first of a machine of its own.
    """
    host, port = _meeting(board, worker, rank, should_stop)
    names = {"RANK": rank, "WORLD_SIZE": size, "LOCAL_RANK": 0, "LOCAL_WORLD_SIZE": 1}
    os.environ.update(
        {name: str(value) for name, value in (names | {"MASTER_ADDR": host, "MASTER_PORT": port}).items()}
    )
    import_what_trains()
    from autoprog_search.engines.together import follow, run_together
    from autoprog_search.training.joining import joined

    with suppress(KeyboardInterrupt), warnings_told(tell), joined() as world:
        if world.first:
            run_together(_open_here(where, should_stop), world, tell, should_stop, where.loggers)
        else:
            follow(world)


def _meeting(board: Any, worker: int, rank: int, should_stop: Callable[[], bool]) -> tuple[str, int]:
    """Host and port at which the processes of a worker meet."""
    if rank == 0:
        with socket.socket() as free:
            free.bind(("", 0))
            port: int = free.getsockname()[1]
        ray.get(board.meet.remote(worker, ray.util.get_node_ip_address(), port))
    while (found := ray.get(board.met.remote(worker))) is None:
        if should_stop():
            raise Interrupted
        time.sleep(POLL_SECONDS)
    host, port = found
    return host, port
