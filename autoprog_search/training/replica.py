"""The elastic model in each of several processes: after a step's backward passes all have the mean of their gradients.

While one sub-network trains, torch's DistributedDataParallel reduces gradients in buckets as the backward pass makes
them. It has to know which will come: a stage's first step shows that, and the model is then wrapped over those alone.
A search draws another sub-network a step; there, as in the first step, gradients are reduced once they are all made.
DDP could look for them in every step's graph (`find_unused_parameters`), but would send zeros for those that rest.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from autoprog_search.growth.adapters import TrainOutput
from autoprog_search.growth.elastic import ElasticModel
from autoprog_search.training.world import World


class Replica:
    """This process's elastic model. Its parameters are the same in all processes, and stay so.

    `begin` comes before the steps of a sub-network, `reduce` after each step's backward passes.
    """

    def __init__(self, elastic: ElasticModel, world: World) -> None:
        self._elastic, self._world = elastic, world
        self._wrapped: DistributedDataParallel | None = None
        self._drawn = True
        self._statistics = [
            buffer
            for module in elastic.modules()
            if isinstance(module, _BatchNorm)
            for buffer in (module.running_mean, module.running_var)
            if buffer is not None
        ]

    def begin(self, *, drawn: bool) -> None:
        """Before steps of which each trains another sub-network (`drawn`), or all the same."""
        self._wrapped, self._drawn = None, drawn  # the old wrap's hooks go with it

    def __call__(self, images: torch.Tensor) -> TrainOutput:
        """Run it as what is active."""
        return (self._wrapped or self._elastic)(images)

    def passes(self, *, last: bool) -> AbstractContextManager[Any]:
        """For a forward and a backward pass; gradients are reduced with the last of a step."""
        return nullcontext() if last or self._wrapped is None else self._wrapped.no_sync()

    def reduce(self) -> None:
        """Once a step's gradients are made."""
        # In training a batch norm normalises this process's part; what it keeps for evaluation is the parts' mean.
        self._mean_of(self._statistics)
        if self._wrapped is not None:
            return
        self._mean_of([p.grad for p in self._elastic.parameters() if p.grad is not None])
        if not self._drawn:
            self._wrapped = wrap(self._elastic, [p for p in self._elastic.parameters() if p.grad is None])

    def _mean_of(self, tensors: Sequence[torch.Tensor]) -> None:
        """Put the mean over all processes in each one's place."""
        if not tensors:
            return
        mean = self._world.mean(torch.cat([tensor.flatten() for tensor in tensors]))
        for tensor, part in zip(tensors, mean.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor))


def wrap(elastic: ElasticModel, idle: Sequence[nn.Parameter]) -> DistributedDataParallel:
    """The model, to be called in its place.

    Args:
        idle: parameters that will have no gradient.
    """
    left_out = [parameter for parameter in idle if parameter.requires_grad]
    for parameter in left_out:
        parameter.requires_grad_(False)  # DDP leaves out what is frozen when it is made
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # newer torch has another name for `broadcast_buffers`
            return DistributedDataParallel(
                elastic, broadcast_buffers=False, init_sync=False, gradient_as_bucket_view=True
            )
    finally:
        for parameter in left_out:
            parameter.requires_grad_(True)
