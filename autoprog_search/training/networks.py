"""The networks of a run: the one that trains and its two EMAs, which grow with it and stand where it stands."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import torch
from timm.utils import ModelEmaV3

from autoprog_search.growth.elastic import ElasticModel
from autoprog_search.schedule import SubNetwork
from autoprog_search.settings.growth import GrowthSettings
from autoprog_search.training.optim import build_ema


class Networks:
    """The online network, the momentum EMA and the estimation EMA (DESIGN §3, "EMAs").

    Args:
        online: the elastic model that trains.
        steps: of the whole run, of which the EMAs' horizons are shares.
    """

    def __init__(self, online: ElasticModel, growth: GrowthSettings, steps: int) -> None:
        self.online, self._growth = online, growth
        self._momentum = build_ema(online, growth.momentum_ema, steps)
        self._estimation = build_ema(online, growth.estimation_ema, steps)

    @property
    def momentum(self) -> ElasticModel:
        """MoGrow's EMA, which is also the one that is reported."""
        return _module(self._momentum)

    @property
    def estimation(self) -> ElasticModel:
        """The EMA of shorter horizon, for one-shot estimates."""
        return _module(self._estimation)

    @property
    def judged(self) -> ElasticModel:
        """Whose weights the one-shot estimates use."""
        return self.estimation if self._growth.estimate_weights == "ema" else self.online

    def __iter__(self) -> Iterator[ElasticModel]:
        return iter((self.online, self.momentum, self.estimation))

    def activate(self, sub_network: SubNetwork) -> None:
        """Run as this sub-network, all of them."""
        for network in self:
            network.activate(sub_network)

    def grow(self, to: SubNetwork, operator: str, optimizer: torch.optim.Optimizer) -> None:
        """Grow all of them by that operator, and the optimiser's state of new blocks by its rule."""
        self.online.grow(
            to,
            operator,
            optimizer=optimizer,
            state_rule="copy" if self._growth.optimizer_state == "copy" else "reset",
            momentum=self.momentum,
            emas=[self.estimation],
        )

    def fade(self, new: Collection[int], share: float) -> None:
        """Let new blocks count as far as they have faded in by now."""
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
        return {
            "model": self.online.model.state_dict(),
            "momentum": self.momentum.model.state_dict(),
            "estimation": self.estimation.model.state_dict(),
        }

    def load(self, saved: Mapping[str, Any]) -> None:
        """Take the weights that `to_dict` gave."""
        for name, network in zip(("model", "momentum", "estimation"), self, strict=True):
            network.model.load_state_dict(saved[name])


def _module(ema: ModelEmaV3) -> ElasticModel:
    network = ema.module
    assert isinstance(network, ElasticModel)
    return network
