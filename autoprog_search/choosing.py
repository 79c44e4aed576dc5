"""The one protocol by which every method chooses at a stage boundary. Plain data: no model, no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from autoprog_search.schedule import SubNetwork


@dataclass(frozen=True, slots=True)
class Estimate:
    """The one-shot estimate of a candidate.

    Attributes:
        loss: mean cross-entropy with the supernet's shared weights, over the evaluation points of the search.
        loss_se: its standard error over the images.
        cost: of one training step, FLOPs or seconds (`score_cost`).
        decrease: by how much the loss fell, where the score asks for it (`SCORES` says since when).
    """

    sub_network: SubNetwork
    loss: float
    loss_se: float
    cost: float
    decrease: float | None = None


@dataclass(frozen=True, slots=True)
class Moment:
    """A point of a run under a free clock.

    Attributes:
        tick: that begins, from 0.
        rates: learning rate at the beginning of each tick of the run.
        mixing: of the axis that grows, how long its growth to full size takes to mix, in ticks; empty until it is
            measured, and where nothing has to mix.
        costs: of a tick of each sub-network.
        spent: so far, in the same unit, search included.
        tick_steps: optimiser steps of a tick.
        dropped: fewer patches are a random part of all.
    """

    tick: int
    rates: tuple[float, ...]
    mixing: Mapping[str, float]
    costs: Mapping[SubNetwork, float]
    spent: float
    tick_steps: float
    dropped: bool = False

    @property
    def ticks(self) -> int:
        """Of the whole run."""
        return len(self.rates)


@dataclass(frozen=True, slots=True)
class StageContext:
    """What a method may look at when a stage opens.

    Attributes:
        stage: k, from 1.
        candidates: Lambda_k; without search, all that a method may choose.
        previous: the sub-network of the stage before, None at stage 1.
        estimates: one per candidate where the method asked for them.
        history: the estimates of the earlier stages' searches, oldest first (for the exponent w, should this stage's
            candidates not suffice to fit it).
        depths, patches: the space's levels, for methods that speak in levels.
        clock: where the run stands, for methods that choose when to grow; None where stages are given.
        ends: per candidate the costs that the run may end at with it, estimates included, as shares of what training
            the full network as long costs; None where the run keeps to no target.
    """

    stage: int
    candidates: tuple[SubNetwork, ...]
    previous: SubNetwork | None
    estimates: tuple[Estimate, ...] | None
    history: tuple[tuple[Estimate, ...], ...]
    depths: tuple[int, ...]
    patches: tuple[int, ...]
    ends: tuple[tuple[float, ...], ...] | None = None
    clock: Moment | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """What a method chose, and how sure a score was of it.

    Attributes:
        w: exponent of the cost in the score, None where no score decided.
        margin: how far the runner-up's score lies above the winner's, relative to it.
        until: the part of the run (`GrowthSpace.parts`) at which the next choice is due; None: the next one.
        deadlines: of each axis that had still to grow, the tick by which it was to begin; empty where no clock decided.
    """

    sub_network: SubNetwork
    w: float | None = None
    margin: float | None = None
    until: int | None = None
    deadlines: Mapping[str, int] = field(default_factory=dict)


class Method(Protocol):
    """How the sub-network of a stage is chosen, and under a free clock until when it trains.

    The trainer asks once a stage, in stage order, but for the run's last part, which trains the full network.
    """

    def needs_estimates(self, stage: int) -> bool:
        """Whether the stage opens with a one-shot search."""

    def choose(self, context: StageContext) -> Choice:
        """The sub-network that trains the stage, one of the context's candidates."""
