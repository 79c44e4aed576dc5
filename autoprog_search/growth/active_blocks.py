"""Containers of blocks of which only some run, and models that run another way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import torch
from torch import nn

from autoprog_search.errors import GrowthError
from autoprog_search.growth.chain import ActiveSet


class ActiveBlocks(nn.ModuleList):
    """A container of blocks of which only the active ones run; names and order are those of timm's own.

    To whoever runs it or counts in it, as timm's families do for features of a layer, it is the active blocks: called,
    iterated over, measured, indexed and sliced. By name (`children()`, `state_dict()`, `get_submodule()`) it is all.
    No `nn.Sequential`: of one, timm's gradient checkpointing would run all children.
    """

    active: ActiveSet
    faded: dict[int, float]  # share of blocks that are fading in

    def __init__(self, blocks: Iterable[nn.Module]) -> None:
        super().__init__()
        for index, block in enumerate(blocks):
            self.add_module(str(index), block)
        self.active = tuple(range(self.size))
        self.faded = {}

    @property
    def size(self) -> int:
        """How many blocks there are, active or not."""
        return len(self._modules)

    def __len__(self) -> int:
        return len(self.active)

    def __iter__(self) -> Iterator[nn.Module]:
        # Whatever iterates over them only calls them: a function will do.
        return iter(
            [partial(_fading, b, self.faded[i]) if i in self.faded else b for i, b in self._running()]  # type: ignore[misc]
        )

    def __getitem__(self, index: int | slice) -> Any:
        running = self._running()[index]
        if isinstance(running, tuple):
            return running[1]
        part = ActiveBlocks(block for _, block in running)
        part.faded = {place: self.faded[i] for place, (i, _) in enumerate(running) if i in self.faded}
        return part

    def __setitem__(self, index: int, block: nn.Module) -> None:
        setattr(self, str(self.active[index]), block)

    def __repr__(self) -> str:
        return nn.Module.__repr__(self)  # all of them, by name

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Run the active blocks, one after the other."""
        for block in self:
            x = block(x)
        return x

    def _running(self) -> list[tuple[int, nn.Module]]:
        blocks = list(self._modules.values())
        return [(index, block) for index in self.active if (block := blocks[index]) is not None]


def containers_of(model: nn.Module, paths: Iterable[str], depth: int) -> Iterator[tuple[ActiveBlocks, range]]:
    """What holds a model's blocks, and which of all blocks each one holds.

    Args:
        paths: of the containers, first to last.
        depth: how many blocks they hold together.

    Raises:
        GrowthError: some are gone.
    """
    containers = [_container(model, path) for path in paths]
    if (left := sum(container.size for container in containers)) != depth:
        raise GrowthError(
            f"model: {left} of its {depth} blocks are left (prune_intermediate_layers takes them out); prune a copy of "
            "it instead"
        )
    offset = 0
    for container in containers:
        yield container, range(offset, offset + container.size)
        offset += container.size


def _container(model: nn.Module, path: str) -> ActiveBlocks:
    try:
        container = model.get_submodule(path)
    except AttributeError:
        return ActiveBlocks(())
    assert isinstance(container, ActiveBlocks)
    return container


def _fading(block: nn.Module, share: float, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    return x + share * (block(x, *args, **kwargs) - x)


class Forward(nn.Module):
    """A model with another forward pass, as a module, so that `functional_call` can exchange its parameters."""

    def __init__(self, model: nn.Module, function: Callable[[nn.Module, torch.Tensor], Any]) -> None:
        super().__init__()
        self.model, self.function = model, function

    def forward(self, images: torch.Tensor) -> Any:
        return self.function(self.model, images)
