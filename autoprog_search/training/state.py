"""Where a run stands: all that a checkpoint holds besides weights, and that is no pure function of (config, step)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, Literal, get_args

import torch

from autoprog_search.choosing import Estimate
from autoprog_search.oneshot.clock import span_of
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
        w, margin: of the score's choice.
        searched_steps: supernet steps.
        until: the part of the run before which the stage ends.
        probe: training losses of the branches by which mixing was measured here, by axis, and of the one that stayed.
        mixing: of the axis that grows, the steps that its growth takes to mix, as fitted to the probe.
        deadlines: of each axis that had still to grow, the tick by which it was to begin, as known here.
        level: training loss just before a growth, mean over the last steps; None where nothing grew.
        watched: steps since the growth, up to the next one or the run's end.
        spans: sums of their training losses, each over twice as many steps (`oneshot.clock.span_of`).
        supernet_flops, search_flops: of these steps, and of estimating.
    """

    chosen: SubNetwork
    candidates: tuple[SubNetwork, ...] = ()
    losses: tuple[float, ...] = ()
    loss_ses: tuple[float, ...] = ()
    costs: tuple[float, ...] = ()
    w: float | None = None
    margin: float | None = None
    searched_steps: int = 0
    until: int = 0
    probe: dict[str, list[float]] = field(default_factory=dict)
    mixing: dict[str, float] = field(default_factory=dict)
    deadlines: dict[str, int] = field(default_factory=dict)
    level: float | None = None
    watched: int = 0
    spans: tuple[float, ...] = ()
    decreases: tuple[float, ...] = ()
    supernet_flops: int = 0
    search_flops: int = 0

    @property
    def estimates(self) -> tuple[Estimate, ...]:
        """The search's estimates, one a candidate."""
        decreases = self.decreases or (None,) * len(self.candidates)
        rows = zip(self.candidates, self.losses, self.loss_ses, self.costs, decreases, strict=True)
        return tuple(Estimate(*row) for row in rows)

    def watch(self, loss: float) -> None:
        """Note the training loss of the next step since the growth."""
        span = span_of(self.watched)
        begun = self.spans[span] if span < len(self.spans) else 0.0
        self.spans = (*self.spans[:span], begun + loss)
        self.watched += 1

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
        steps: optimiser steps per sub-network that was trained, supernet steps under the candidate drawn.
        loss_sum, loss_count: training loss since the epoch began.
        recent: training losses of the last steps, since the last growth at most.
        curve: a row an epoch.
        growth_top1: of each stage that opened, validation accuracy just before and just after its growth (into the
            supernet, where a search follows); None where nothing grew.
        search_flops, search_seconds: spent on estimates; wall_seconds: on everything, over all interruptions.
        stage_seconds, loader_seconds: of each stage's training steps so far, and what of it was waiting for images.
        stage_flops: of the same steps.
    """

    step: int = 0
    stage: int = 1
    phase: Phase = "open"
    stages: list[StageRecord] = field(default_factory=list)
    search: torch.Tensor | None = None
    search_points: int = 0
    search_means: list[list[float]] = field(default_factory=list)
    reference_loss: float | None = None
    steps: dict[SubNetwork, int] = field(default_factory=dict)
    loss_sum: float = 0.0
    loss_count: int = 0
    recent: list[float] = field(default_factory=list)
    curve: list[dict[str, Any]] = field(default_factory=list)
    growth_top1: list[tuple[float, float] | None] = field(default_factory=list)
    search_flops: int = 0
    search_seconds: float = 0.0
    wall_seconds: float = 0.0
    stage_seconds: list[float] = field(default_factory=list)
    loader_seconds: list[float] = field(default_factory=list)
    stage_flops: list[int] = field(default_factory=list)

    @property
    def previous(self) -> SubNetwork | None:
        """What was chosen for the stage before; None at stage 1."""
        before = self.stages[: self.stage - 1]
        return before[-1].chosen if before else None

    @property
    def part(self) -> int:
        """The part of the run that the stage began with, from 0; how many there are, once the run is over."""
        before = self.stages[: self.stage - 1]
        return before[-1].until if before else 0

    def count(self, seconds: float, waited: float, flops: int) -> None:
        """Add a training step's seconds, those of them that it waited for images, and its FLOPs to its stage's."""
        for spent, more in ((self.stage_seconds, seconds), (self.loader_seconds, waited)):
            spent.extend([0.0] * (self.stage - len(spent)))
            spent[self.stage - 1] += more
        self.stage_flops.extend([0] * (self.stage - len(self.stage_flops)))
        self.stage_flops[self.stage - 1] += flops

    def follow(self, loss: float, window: int) -> None:
        """Take note of a step's training loss: the epoch's, the last so many steps', and that since a growth."""
        self.loss_sum += loss
        self.loss_count += 1
        self.recent = [*self.recent, loss][-window:]
        grown = next((record for record in reversed(self.stages) if record.level is not None), None)
        if grown is not None:
            grown.watch(loss)

    def count_search(self, record: StageRecord) -> None:
        """Note in the record of a search that has just ended what it cost."""
        record.supernet_flops = sum(self.stage_flops[self.stage - 1 :])  # none, where a search takes no step
        record.search_flops = self.search_flops - sum(earlier.search_flops for earlier in self.stages)

    def to_dict(self) -> dict[str, Any]:
        """Plain values and tensors, which `torch.load(weights_only=True)` accepts."""
        data = {name: getattr(self, name) for name in self.__dataclass_fields__}
        data["stages"] = [record.to_dict() for record in self.stages]
        data["steps"] = [(*_pair(s), count) for s, count in self.steps.items()]
        return data

    def check(self, part_steps: Sequence[int], epoch_steps: int) -> None:
        """Whether a run of these parts can stand here; what was read from a file may say anything.

        Raises:
            ValueError: it cannot.
        """
        ends = [0, *accumulate(part_steps)]
        if self.phase not in get_args(Phase) or self.stage < 1:
            raise ValueError(f"stage {self.stage}, phase {self.phase!r}")
        if len(self.stages) != self.stage - (self.phase != "train"):
            raise ValueError(f"{len(self.stages)} stages were chosen in stage {self.stage}")
        untils = [0, *(record.until for record in self.stages)]
        if untils != sorted(set(untils)) or untils[-1] > len(part_steps):
            raise ValueError(f"stages end before parts {untils[1:]} of {len(part_steps)}")
        if self.part == len(part_steps) and self.phase != "open":
            raise ValueError(f"phase {self.phase!r} of a run that is over")
        begin = ends[self.part]
        end = {"open": begin, "search": ends[-1], "train": ends[untils[-1]]}[self.phase]
        if not begin <= self.step <= end:
            raise ValueError(f"step {self.step} in stage {self.stage}, which is {begin} to {end}")
        if sum(self.steps.values()) != self.step:
            raise ValueError(f"{sum(self.steps.values())} steps of sub-networks at step {self.step}")
        epochs = self.step // epoch_steps + (self.step == ends[-1] and self.step % epoch_steps > 0)
        at_its_end = self.step % epoch_steps == 0 or self.step == ends[-1]
        # It may have been stopped as it evaluated: then the epoch's losses are here still.
        owed = at_its_end and self.step > begin and self.phase != "open" and self.loss_count > 0
        if not epochs - owed <= len(self.curve) <= epochs:
            raise ValueError(f"{len(self.curve)} epochs at step {self.step}")

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> RunState:
        """What `to_dict` wrote.

        Raises:
            ValueError: a field is missing, or one too many.
        """
        if wrong := set(data) ^ set(cls.__dataclass_fields__):
            raise ValueError(f"state: {min(wrong)} is missing or unknown")
        data = dict(data)
        data["stages"] = [_read_stage(stage) for stage in data["stages"]]
        data["steps"] = {SubNetwork(depth, patches): count for depth, patches, count in data["steps"]}
        return cls(**data)


@dataclass(frozen=True, slots=True)
class Progress:
    """What a run tells while it runs; loss and accuracy are the last epoch's, None before its end.

    Attributes:
        epoch, epochs: passes over the training data so far, and at the run's end.
        flops: of training and search so far.
        stages: how many there will be; None under a free clock, where nobody knows yet.
    """

    step: int
    steps: int
    epoch: float
    epochs: float
    flops: int
    stage: int
    stages: int | None
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
    if wrong := set(data) ^ set(StageRecord.__dataclass_fields__):
        raise ValueError(f"stage: {min(wrong)} is missing or unknown")
    fields: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in data.items()}
    fields["chosen"] = SubNetwork(*data["chosen"])
    fields["candidates"] = tuple(SubNetwork(*c) for c in data["candidates"])
    return StageRecord(**fields)


def _pair(sub_network: SubNetwork) -> tuple[int, int]:
    return sub_network.depth, sub_network.patches
