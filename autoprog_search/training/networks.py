"""The networks of a run: the one that trains and its two EMAs, which grow with it and stand where it stands."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

import torch

from autoprog_search.growth.elastic import ElasticModel
from autoprog_search.growth.operators import operator_named
from autoprog_search.schedule import SubNetwork
from autoprog_search.settings.growth import GrowthSettings
from autoprog_search.training.optim import build_ema


class Networks:
    """The online network, the momentum EMA and the estimation EMA (section 3).

    Args:
        online: the elastic model that trains.
        part_steps: optimiser steps of each part of the run; the EMAs' horizons are shares of them all.
    """

    def __init__(self, online: ElasticModel, growth: GrowthSettings, part_steps: Sequence[int]) -> None:
        self.online, self._growth, self._part_steps = online, growth, part_steps
        steps = sum(part_steps)
        self._momentum = build_ema(online, growth.blocks.momentum_ema, steps)
        self._estimation = build_ema(online, growth.search.estimation_ema, steps)

    @property
    def momentum(self) -> ElasticModel:
        """MoGrow's EMA, which is also the one that is reported."""
        return cast(ElasticModel, self._momentum.module)

    @property
    def estimation(self) -> ElasticModel:
        """The EMA of shorter horizon, for one-shot estimates."""
        return cast(ElasticModel, self._estimation.module)

    @property
    def judged(self) -> ElasticModel:
        """Whose weights the one-shot estimates use."""
        return self.estimation if self._growth.search.estimate_weights == "ema" else self.online

    def __iter__(self) -> Iterator[ElasticModel]:
        return iter((self.online, self.momentum, self.estimation))

    def activate(self, sub_network: SubNetwork) -> None:
        """Run as this sub-network, all of them."""
        for network in self:
            network.activate(sub_network)

    def grow(self, to: SubNetwork, optimizer: torch.optim.Optimizer, images: Callable[[], torch.Tensor]) -> None:
        """Grow all of them, and the optimiser's state of new blocks by its rule.

        Args:
            images: asked for real ones where a growth operator for patches is fitted to them.
        """
        patches = self.online.large_patches
        self.online.grow(
            to,
            optimizer=optimizer,
            state_rule=self._growth.blocks.optimizer_state,
            momentum=self.momentum,
            emas=[self.estimation],
            images=images() if patches is not None and patches.operator.fits else None,
        )

    def fade_in(self, previous: SubNetwork | None, part: int, step: int) -> None:
        """Where the operator fades new blocks in, let them count as far as they have come at a step of the run.

        Args:
            previous: the sub-network of the stage before: all that did not run in it is new; None where nothing grew.
            part: of the run that the stage began with, from 0.
        """
        if previous is None or not operator_named(self.online.operator).fades:
            return
        chain = self.online.chain
        new = set(chain[self.online.full.depth]) - set(chain[previous.depth])
        share = eased_in(self._part_steps, self._growth.blocks.ease_in_share, part, step)
        for network in self:
            network.fade(new, share)

    def update(self, step: int, *, estimation: bool) -> None:
        """Let the EMAs follow a step.

        Args:
            step: optimiser steps taken, this one included.
            estimation: whether a search is still to come that the estimation EMA is for.
        """
        self._momentum.update(self.online, step)
        if estimation:
            self._estimation.update(self.online, step)

    def to_dict(self) -> dict[str, Any]:
        """Weights of all of them, for a checkpoint."""
        return {name: part.state_dict() for name, part in self._parts()}

    def load(self, saved: Mapping[str, Any]) -> None:
        """Take the weights that `to_dict` gave."""
        for name, part in self._parts():
            part.load_state_dict(saved[name])

    def _parts(self) -> Iterator[tuple[str, torch.nn.Module]]:
        """What has weights, by its name in a checkpoint."""
        for name, network in zip(("model", "momentum", "estimation"), self, strict=True):
            yield name, network.model
            if network.large_patches is not None:
                yield f"{name}_patches", network.large_patches


def eased_in(part_steps: Sequence[int], share: float, part: int, step: int) -> float:
    """How far a stage's new blocks have come in: 0 where the stage begins, 1 from its last step on, linear between.

    It ends with the part of the run that its stage begins with at the latest: whatever grew, the network that a stage
    leaves is the plain one.

    Args:
        part_steps: optimiser steps of each part of the run.
        share: of the run's steps, how long it takes.
        part: that the stage begins with, from 0.
        step: optimiser steps of the run that have been taken.
    """
    takes = min(max(1, round(share * sum(part_steps))), part_steps[part])
    return min(1.0, (step - sum(part_steps[:part])) / takes)
