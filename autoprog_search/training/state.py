"""Where a run stands: all that a checkpoint holds besides weights, and that is no pure function of (config, step)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from autoprog_search.choosing import Estimate
from autoprog_search.schedule import SubNetwork
from autoprog_search.training.evaluate import Metrics

Phase = Literal["open", "search", "train"]
"""A stage has to be opened (candidates, growth), trains its supernet, or trains what was chosen."""


@dataclass
class StageRecord:
    """What happened when a stage opened.

    Attributes:
        chosen: the sub-network that trains the stage.
        candidates, losses, loss_ses, costs: of its search, if there was one; costs as the score took them.
        decreases: of the losses, where the score asks for them.
        operators: of several that the search tried, the one by which each candidate was grown for its estimate.
        w, margin: of the score's choice.
        searched_steps: supernet steps.
    """

    chosen: SubNetwork
    candidates: tuple[SubNetwork, ...] = ()
    losses: tuple[float, ...] = ()
    loss_ses: tuple[float, ...] = ()
    costs: tuple[float, ...] = ()
    w: float | None = None
    margin: float | None = None
    searched_steps: int = 0
    decreases: tuple[float, ...] = ()
    operators: tuple[str, ...] = ()

    @property
    def estimates(self) -> tuple[Estimate, ...]:
        """The search's estimates, one a candidate."""
        decreases = self.decreases or (None,) * len(self.candidates)
        rows = zip(self.candidates, self.losses, self.loss_ses, self.costs, decreases, strict=True)
        return tuple(Estimate(*row) for row in rows)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for checkpoints and for JSON."""
        pairs = {"chosen": _pair(self.chosen), "candidates": [_pair(c) for c in self.candidates]}
        return {name: getattr(self, name) for name in self.__dataclass_fields__} | pairs


@dataclass
class RunState:
    """A run in progress. Steps count optimiser steps from 0, stages from 1.

    Attributes:
        search, search_points: of the search under way, losses summed over the evaluation points so far, (candidates,
            images), and how many points these are; search_means: the candidates' mean loss at each.
        reference_loss: that of the network that the stage found, where the score asks for it.
        operator: by which the network grew last; empty before it ever did.
        steps: optimiser steps per sub-network that was trained, supernet steps under the candidate drawn.
        loss_sum, loss_count: training loss since the epoch began.
        curve: a row an epoch.
        growth_top1: of each stage that opened, validation accuracy just before and just after its growth (into the
            supernet, where a search follows); None where nothing grew.
        search_flops, search_seconds: spent on estimates; wall_seconds: on everything, over all interruptions.
        stage_seconds, loader_seconds: of each stage's training steps so far, and what of it was waiting for images.
    """

    step: int = 0
    stage: int = 1
    phase: Phase = "open"
    stages: list[StageRecord] = field(default_factory=list)
    search: torch.Tensor | None = None
    search_points: int = 0
    search_means: list[list[float]] = field(default_factory=list)
    reference_loss: float | None = None
    operator: str = ""
    steps: dict[SubNetwork, int] = field(default_factory=dict)
    loss_sum: float = 0.0
    loss_count: int = 0
    curve: list[dict[str, Any]] = field(default_factory=list)
    growth_top1: list[tuple[float, float] | None] = field(default_factory=list)
    search_flops: int = 0
    search_seconds: float = 0.0
    wall_seconds: float = 0.0
    stage_seconds: list[float] = field(default_factory=list)
    loader_seconds: list[float] = field(default_factory=list)

    def count_seconds(self, seconds: float, waited: float) -> None:
        """Add a training step's seconds, and those of them that it waited for images, to its stage's."""
        for spent, more in ((self.stage_seconds, seconds), (self.loader_seconds, waited)):
            spent.extend([0.0] * (self.stage - len(spent)))
            spent[self.stage - 1] += more

    def to_dict(self) -> dict[str, Any]:
        """Plain values and tensors, which `torch.load(weights_only=True)` accepts."""
        data = {name: getattr(self, name) for name in self.__dataclass_fields__}
        data["stages"] = [record.to_dict() for record in self.stages]
        data["steps"] = [(*_pair(s), count) for s, count in self.steps.items()]
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> RunState:
        """What `to_dict` wrote."""
        data = dict(data)
        data["stages"] = [_read_stage(stage) for stage in data["stages"]]
        data["steps"] = {SubNetwork(depth, patches): count for depth, patches, count in data["steps"]}
        return cls(**data)


@dataclass(frozen=True, slots=True)
class Progress:
    """What a run tells while it runs; loss and accuracy are the last epoch's, None before its end."""

    step: int
    steps: int
    stage: int
    stages: int
    phase: str
    sub_network: SubNetwork
    loss: float | None
    val_top1: float | None
    images_per_second: float
    seconds_left: float


@dataclass(frozen=True)
class RunResult:
    """What a finished run was and cost. Metrics are of the full network."""

    state: RunState
    val: Metrics
    test: Metrics
    test_ema: Metrics
    train_flops: int
    step_flops_full: int
    weights: dict[str, torch.Tensor]


def _read_stage(data: dict[str, Any]) -> StageRecord:
    fields: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in data.items()}
    fields["chosen"] = SubNetwork(*data["chosen"])
    fields["candidates"] = tuple(SubNetwork(*c) for c in data["candidates"])
    return StageRecord(**fields)


def _pair(sub_network: SubNetwork) -> tuple[int, int]:
    return sub_network.depth, sub_network.patches
