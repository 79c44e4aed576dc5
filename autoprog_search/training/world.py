"""The processes that train one run together: they meet, take the same choices, and add up what each has found.

`torchrun` starts them and says who is who. Small messages go over gloo, also where gradients go over NCCL: none waits
for a GPU. Of what fails in all of them one process speaks (`joined`).
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from autoprog_search.data.part import Part
from autoprog_search.errors import ConfigError, SaidElsewhere
from autoprog_search.faults import known_error, peer_error

PATIENCE = timedelta(minutes=10)
"""How long a process waits for another that says nothing. One that dies is noticed at once, unless its machine does."""

BACKEND = "AUTOPROG_SEARCH_BACKEND"
"""Environment variable: `gloo` or `nccl` for gradients, in place of NCCL where there are GPUs and gloo elsewhere."""

BACKENDS = {"gloo": "gloo", "nccl": "cpu:gloo,cuda:nccl"}

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class World:
    """Which of how many processes this is. What one alone says or asks costs nothing.

    Attributes:
        rank: of this process, from 0; rank 0 reads, writes and decides.
        size: processes.
        local_rank: among those of this machine.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def first(self) -> bool:
        """Whether this process is the one that reads, writes and decides."""
        return self.rank == 0

    @property
    def part(self) -> Part:
        """Of images that this process takes."""
        return Part(self.rank, self.size)

    def share(self, batch_size: int) -> int:
        """Images of a batch that this process takes; at least one, for batches that need not divide."""
        return max(1, batch_size // self.size)

    def decided(self, decide: Callable[[], T]) -> T:
        """What rank 0 decides, in all processes; the others do not ask. It travels pickled."""
        if self.size == 1:
            return decide()
        decision: list[Any] = [decide() if self.first else None]
        dist.broadcast_object_list(decision, src=0, device=torch.device("cpu"))
        return decision[0]

    def any_of(self, *claims: bool) -> tuple[bool, ...]:
        """Of each claim whether some process makes it."""
        if self.size == 1:
            return claims
        made = torch.tensor(claims, dtype=torch.int32)
        dist.all_reduce(made, dist.ReduceOp.MAX)
        return tuple(map(bool, made.tolist()))

    def sums(self, *numbers: float) -> tuple[float, ...]:
        """Of each number the sum over all processes, in double precision: exact for counts."""
        if self.size == 1:
            return numbers
        total = torch.tensor(numbers, dtype=torch.float64)
        dist.all_reduce(total)
        return tuple(total.tolist())

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """The mean over all processes, element by element."""
        if self.size == 1:
            return values
        dist.all_reduce(values)
        return values.div_(self.size)

    def whole(self, own: torch.Tensor, count: int) -> torch.Tensor:
        """(rows, count) of which each process has the columns of its part, `Part.of_split`, on the CPU."""
        if self.size == 1:
            return own
        columns = self.part.of_split(count)
        whole = own.new_zeros(len(own), count)
        whole[:, columns.start : columns.stop] = own
        dist.all_reduce(whole)  # all others add nothing but zeros
        return whole

    def together(self) -> None:
        """Wait until all processes are here."""
        if self.size > 1:
            self.any_of(True)

    def check_batch(self, batch_size: int, grad_accum: int, mixes: bool) -> None:
        """Whether a batch can be parted.

        Args:
            mixes: whether the recipe mixes pairs of images.

        Raises:
            ConfigError: it cannot.
        """
        if batch_size % (self.size * grad_accum):
            parts = f"{self.size} processes" + (f" x grad_accum {grad_accum}" if grad_accum > 1 else "")
            raise ConfigError(
                f"recipe, batch_size: {batch_size} images do not divide among {parts}; take a multiple of "
                f"{self.size * grad_accum}, or other processes"
            )
        if mixes and self.size > 1 and batch_size // self.size % 2:
            raise ConfigError(
                f"recipe, batch_size: {batch_size} images among {self.size} processes are {batch_size // self.size} "
                f"each, which is odd; mixup and cutmix pair them: take a multiple of {2 * self.size}"
            )

    def check_alike(self, **facts: str) -> None:
        """Whether all processes were started alike.

        Raises:
            ConfigError: a fact of one is another than rank 0's.
        """
        if self.size == 1:
            return
        told: list[Any] = [None] * self.size
        dist.all_gather_object(told, facts)
        for rank, theirs in enumerate(told):
            if wrong := next((name for name in facts if theirs.get(name) != told[0].get(name)), None):
                raise ConfigError(
                    f"{wrong}: those of process {rank} are not those of process 0; start all with the same command, "
                    "package and files"
                )


ALONE = World()


def current_world() -> World:
    """This process's, among those that have met; alone where none have."""
    if not (dist.is_available() and dist.is_initialized()):
        return ALONE
    return World(dist.get_rank(), dist.get_world_size(), int(os.environ.get("LOCAL_RANK", dist.get_rank())))


@contextmanager
def joined() -> Iterator[World]:
    """Meet the other processes that torchrun has started; inside, `current_world` is theirs.

    Where one fails, the others do at their next meeting, or all fail in the same way. The first says why; the others
    raise `SaidElsewhere`, with its exit code.

    Raises:
        ConfigError: the launcher's environment is none, or what it asks for is not there.
        LostProcess: the others do not come.
    """
    world, backend = _launched(os.environ)
    try:
        store, rank, size = next(dist.rendezvous("env://", timeout=PATIENCE))
        dist.init_process_group(BACKENDS[backend], store=store, rank=rank, world_size=size, timeout=PATIENCE)
    except (RuntimeError, ValueError) as error:
        raise peer_error(error) or ConfigError(f"torchrun: {error}") from None
    try:
        yield world
    except BaseException as error:
        if threading.current_thread() is threading.main_thread():
            signal.signal(
                signal.SIGTERM, signal.SIG_IGN
            )  # torchrun's, as soon as another has ended: this one ends, too
        first_code = _say(store, _exit_code(error))
        if first_code is None:
            raise
        raise SaidElsewhere(first_code) from None
    finally:
        with suppress(RuntimeError):
            dist.destroy_process_group()


def _launched(environment: Mapping[str, str]) -> tuple[World, str]:
    """Who this process is, and what gradients go over, by the launcher's environment."""
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    for name in (*names, "MASTER_ADDR", "MASTER_PORT"):
        value = environment.get(name, "")
        if not value or (name in names and not value.isdecimal()):
            raise ConfigError(f"{name}: {value!r} is no launcher's; start the processes with torchrun")
    rank, size, local_rank, local_size = (int(environment[name]) for name in names)
    gpus = torch.cuda.device_count()
    backend = environment.get(BACKEND) or ("nccl" if gpus else "gloo")
    if backend not in BACKENDS:
        raise ConfigError(f"{BACKEND}: {backend!r} is neither gloo nor nccl")
    if backend == "nccl" and local_size > gpus:
        raise ConfigError(
            f"{BACKEND}: nccl takes a GPU a process; there are {gpus} for {local_size} on this machine: start fewer, or "
            f"set {BACKEND}=gloo"
        )
    if gpus:
        torch.cuda.set_device(local_rank % gpus)
    return World(rank, size, local_rank), backend


def _exit_code(error: BaseException) -> int:
    if isinstance(error, KeyboardInterrupt):
        return 130
    return getattr(known_error(error) or error, "exit_code", 1)


def _say(store: dist.Store, code: int) -> int | None:
    """Take the word; None where it was free, else the exit code of the process that has it."""
    try:
        if store.add("autoprog-search/said", 1) == 1:
            store.set("autoprog-search/exit-code", str(code))
            return None
        return int(store.get("autoprog-search/exit-code"))
    except RuntimeError:  # the launcher that keeps the store is gone, too
        return None
