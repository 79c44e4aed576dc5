"""Run a study on a Ray cluster, or on one that is started here and ended again.

Ray places workers where the CPUs and GPUs are that a trial needs. A worker does what a local one does, so trials are
claimed, stored, and taken up from their last checkpoint as ever (`study/claims.py`); Ray knows of none. Where a trial
takes several GPUs a worker is as many tasks, which meet as processes do that torchrun has started. A worker that is
lost, alone or with its node, is started anew where there is room.
"""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoprog_search.engines.engine import Ended, Needs
from autoprog_search.engines.events import Event, Tell
from autoprog_search.engines.ray_cluster import Share, joined_cluster, nodes_of, share_of
from autoprog_search.errors import LostClaim, LostProcess, SaidElsewhere, StudyError, why
from autoprog_search.faults import known_error
from autoprog_search.interrupt import signals_ask
from autoprog_search.study.locking import in_use
from autoprog_search.study.scheduling import to_run, unfinished
from autoprog_search.study.store import StoredStudy

HEAR_SECONDS = 0.25
LOOK_SECONDS = 10.0
"""Between two looks at the board, and at the cluster: nodes may have come."""

LAST_SECONDS = 10.0
"""How long the others of a worker have to say what they know, once one of its processes has failed."""

LOSSES = 8
"""Workers that may be lost one after the other without a trial that ends between: then it is the trial's fault."""

LOST = {
    "NodeDiedError": "its node is gone",
    "OutOfMemoryError": "its node ran out of memory",
    "WorkerCrashedError": "its process died",
}


def run_workers(study: StoredStudy, needs: Needs, tell: Tell) -> Ended:
    """Run whatever is unfinished on a cluster, as many trials at the same time as fit unless fewer are asked for.

    Raises:
        MissingExtraError: Ray is not installed.
        StudyError: there is no such cluster, or not any more.
        ConfigError: no node has what a trial needs.
        KeyboardInterrupt: a signal asked to stop; workers have written their checkpoints.
    """
    with in_use(study.folder) as mark, joined_cluster(needs.address) as ray, signals_ask() as asked_to_stop:
        try:
            crew = Crew(ray, study, mark, share_of(study, needs, nodes_of(ray)), needs.loggers, tell)
            crew.run(needs.workers, asked_to_stop)
        except ray.exceptions.RayError as error:
            raise StudyError(
                f"address: the Ray cluster is gone: {why(error)}; run the study again, it goes on"
            ) from None
        if asked_to_stop():
            raise KeyboardInterrupt
        return Ended(crew.error, crew.lost)


@dataclass
class Worker:
    """A worker: what Ray knows of its processes.

    Attributes:
        place: of several processes.
        failed_at: when one of them was first found to have failed, s.
    """

    number: int
    tasks: list[Any]
    place: Any = None
    failed_at: float | None = None


class Crew:
    """The workers of a study on a cluster, and what becomes of them.

    Args:
        mark: a file of the study's folder, by which nodes tell whether they see it.
        share: what each worker takes.
        loggers: names of those that are told of each run.

    Attributes:
        error: what one of them said last.
        lost: how one was lost.
    """

    def __init__(
        self, ray: Any, study: StoredStudy, mark: Path, share: Share, loggers: tuple[str, ...], tell: Tell
    ) -> None:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        from autoprog_search.engines.ray_board import Board
        from autoprog_search.engines.ray_worker import Where, run_task

        self._ray, self._study, self._share, self._tell = ray, study, share, tell
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self._board = ray.remote(num_cpus=0, scheduling_strategy=here)(Board).remote()
        self._task = ray.remote(max_retries=0, max_calls=1)(run_task)
        on_server = study.leases is not None
        root = study.folder.absolute().parent
        self._where = Where(root, study.name, study.config, mark.absolute(), on_server, Path.cwd(), loggers)
        self._workers: list[Worker] = []
        self._started = self._losses = 0
        self.error: str | None = None
        self.lost: str | None = None

    def run(self, most: int | None, asked_to_stop: Callable[[], bool]) -> None:
        """Have workers run trials until none is left, or nothing helps, or a signal asks to stop.

        Args:
            most: workers at the same time; None: as many as fit.
        """
        look_at, stopping = 0.0, False
        while True:
            if not stopping and asked_to_stop():
                stopping = True
                self._stop()
            if not stopping and time.monotonic() > look_at and self.error is None and self._losses < LOSSES:
                self._start_missing(most)
                look_at = time.monotonic() + LOOK_SECONDS
            if not self._workers:
                break
            tasks = [task for worker in self._workers for task in worker.tasks]
            self._ray.wait(tasks, timeout=HEAR_SECONDS)
            self._hear()
            if self._collect(stopping):
                look_at = 0.0
        self._hear()

    def _start_missing(self, most: int | None) -> None:
        left = len(unfinished(to_run(self._study)))
        if not left:
            self._end_waiting()
        room = most or self._share.fits(nodes_of(self._ray))
        for _ in range(min(room, left) - len(self._workers)):
            self._workers.append(self._start())

    def _start(self) -> Worker:
        from ray.util.placement_group import placement_group
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        number, share = self._started, self._share
        self._started += 1
        told = (self._where, self._board, number)
        device = "auto" if share.gpus else "cpu"
        takes = {"num_cpus": share.cpus, "num_gpus": share.gpus}
        if share.processes == 1:
            task = self._task.options(**takes, scheduling_strategy="SPREAD")
            return Worker(number, [task.remote(*told, 0, 1, device)])
        place = placement_group([{"CPU": share.cpus, "GPU": share.gpus}] * share.processes, strategy="STRICT_PACK")
        tasks = [
            self._task.options(
                **takes, scheduling_strategy=PlacementGroupSchedulingStrategy(place, placement_group_bundle_index=rank)
            ).remote(*told, rank, share.processes, device)
            for rank in range(share.processes)
        ]
        return Worker(number, tasks, place)

    def _stop(self) -> None:
        """Ask all to write their checkpoints and end."""
        self._ray.get(self._board.ask_to_stop.remote())
        self._end_waiting()

    def _end_waiting(self) -> None:
        """Let those that Ray has not placed yet never begin."""
        begun = self._ray.get(self._board.begun.remote())
        for worker in self._workers:
            if worker.number not in begun:
                self._end(worker)

    def _end(self, worker: Worker) -> None:
        """Free whatever a worker takes, at once."""
        from ray.util.placement_group import remove_placement_group

        for task in worker.tasks:
            self._ray.cancel(task, force=True)
        if worker.place is not None:
            remove_placement_group(worker.place)

    def _hear(self) -> None:
        for pickled in self._ray.get(self._board.told.remote()):
            event: Event = pickle.loads(pickled)
            if event.kind in ("done", "fail"):
                self._losses = 0
            self._tell(event)

    def _collect(self, stopping: bool) -> bool:
        """Take leave of workers that have ended; whether there were any."""
        count = len(self._workers)
        for worker in list(self._workers):
            done, running = self._ray.wait(worker.tasks, num_returns=len(worker.tasks), timeout=0)
            failures = [error for task in done if (error := self._failure(task)) is not None]
            if running and failures:
                worker.failed_at = worker.failed_at or time.monotonic()
                if time.monotonic() < worker.failed_at + LAST_SECONDS:
                    continue
            elif running:
                continue
            self._workers.remove(worker)
            with suppress(self._ray.exceptions.RayError):
                self._end(worker)
            self._losses += 1  # until the next trial ends
            if not stopping:
                self._note(failures)
        return len(self._workers) < count

    def _failure(self, task: Any) -> BaseException | None:
        try:
            self._ray.get(task)
        except self._ray.exceptions.RayTaskError as error:
            cause: BaseException = error.cause
            return cause
        except self._ray.exceptions.RayError as error:
            return error
        return None

    def _note(self, failures: Sequence[BaseException]) -> None:
        """Say what is known of a worker that has failed; the first to know more than that others failed is heard.

        Raises:
            Exception: it is our own bug.
        """
        for error in failures:
            if isinstance(error, self._ray.exceptions.TaskCancelledError):  # by this process
                return
            if isinstance(error, (LostProcess, LostClaim, SaidElsewhere, self._ray.exceptions.RayError)):
                continue
            known = known_error(error)
            if known is None:
                raise error
            self.error = self.error or str(known)
            return
        if failures:
            said = min(
                (LOST[name] for error in failures if (name := type(error).__name__) in LOST), default="it failed"
            )
            self.lost = f"a worker was lost ({said})"
            self._tell(Event("warning", message=f"{self.lost}; its trial goes on elsewhere"))
