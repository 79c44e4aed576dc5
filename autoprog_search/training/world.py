"""The processes that train one run together: they take the same choices, and add up what each has found.

Small messages are tensors on the CPU and go over gloo, also where gradients go over NCCL: none waits for a GPU.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from autoprog_search.data.part import Part
from autoprog_search.errors import ConfigError
from autoprog_search.settings.recipe import Recipe

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

    def tell(self, message: object) -> None:
        """Say something to all others, who `hear` it; rank 0 does."""
        self.decided(lambda: message)

    def hear(self) -> Any:
        """What rank 0 tells."""
        return self.decided(lambda: None)

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

    def check_batch(self, recipe: Recipe) -> None:
        """Whether its batches can be parted.

        Raises:
            ConfigError: they cannot.
        """
        if self.size == 1:  # then the recipe has been checked itself
            return
        accumulated = f" x grad_accum {recipe.grad_accum}" if recipe.grad_accum > 1 else ""
        own, left = divmod(recipe.batch_size, self.size)
        if left or own % recipe.grad_accum:
            raise ConfigError(
                f"recipe, batch_size: {recipe.batch_size} images do not divide among {self.size} processes"
                f"{accumulated}; take a multiple of {self.size * recipe.grad_accum}, or another number of processes"
            )
        if (recipe.mixup or recipe.cutmix) and own % 2:
            raise ConfigError(
                f"recipe, batch_size: {recipe.batch_size} images among {self.size} processes are {own} each, which is "
                f"odd; mixup and cutmix pair them: take a multiple of {2 * self.size}"
            )

    def check_alike(self, **facts: Any) -> None:
        """Whether all processes were started alike.

        Args:
            facts: plain values, by what an error calls them.

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


def check_device(world: World, name: str) -> None:
    """Whether a device may be asked for by that name.

    Raises:
        ConfigError: it may not: of several processes each takes its own.
    """
    if world.size > 1 and name != "auto":
        raise ConfigError(
            f"device: {name!r}: under torchrun every process takes the GPU of its number, or the CPU where there is "
            "none; leave --device out, and hide GPUs with CUDA_VISIBLE_DEVICES"
        )
