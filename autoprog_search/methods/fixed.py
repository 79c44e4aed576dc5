"""Fixed schedules: what anybody can write down without a search. No torch, no Optuna."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import exp

from autoprog_search.choosing import Choice, StageContext
from autoprog_search.oneshot.clock import first_of
from autoprog_search.schedule import SubNetwork
from autoprog_search.space import GrowthSpace, Levels


@dataclass(frozen=True, slots=True)
class Program:
    """A fixed schedule, as far as it departs from the space and the recipe; a `Method` that answers from its list.

    Attributes:
        sub_networks: one a stage, the full network last.
        shares: of the run's epochs, one a stage, summing to 1; empty: the space's own stages.
        augment: per stage, a share of the recipe's augmentation; empty: what the growth settings say.
        sched: the LR schedule that belongs to it, instead of the recipe's.
        steps: optimiser steps of its one stage, at most as many as the recipe's epochs have; None: these.
    """

    sub_networks: tuple[SubNetwork, ...]
    shares: tuple[float, ...] = ()
    augment: tuple[float, ...] = ()
    sched: str | None = None
    steps: int | None = None

    @property
    def constant(self) -> bool:
        """Whether all its stages are the same: then it is no matter how many there are."""
        return len(set(self.sub_networks)) == 1 and len(set(self.augment)) <= 1

    def needs_estimates(self, stage: int) -> bool:
        """No: it is known before the run."""
        return False

    def choose(self, context: StageContext) -> Choice:
        """The stage's sub-network of its list."""
        return Choice(self.sub_networks[context.stage - 1])

    def check_epochs(self, space: GrowthSpace, epochs: float) -> None:
        """Whether so many epochs are enough for the space's stages, where it goes by them and they differ.

        Raises:
            SpaceError: a stage would be left without an epoch.
        """
        if not (self.shares or self.constant):
            space.part_epochs(epochs)


def full(space: GrowthSpace) -> Levels:
    """The full network in every stage: ordinary training."""
    return ((len(space.depths) - 1, len(space.patches) - 1),) * space.parts


def linear(space: GrowthSpace) -> Levels:
    """Depth and resolution grow linearly from the smallest level to full size, snapped to the nearest levels.

    The manual baseline of the paper (section 3); EfficientNetV2's progressive learning grows resolution so
    (Tan and Le, ICML 2021). Halves go up.
    """
    grids = [int(n**0.5 + 0.5) for n in space.patches]
    pairs = [(_nearest(space.depths, k, space.stages), _nearest(grids, k, space.stages)) for k in range(space.stages)]
    return tuple(pairs[space.stage_at(part)] for part in range(space.parts))


def program_of(levels: Callable[[GrowthSpace], Levels]) -> Callable[[GrowthSpace], Program]:
    """The program that goes through these levels, one pair a part of a run."""
    return lambda space: through(space, levels(space))


def through(space: GrowthSpace, levels: Levels) -> Program:
    """The program through these levels, one pair a part of a run; under a free clock its stages are what differs."""
    if space.clock == "stages":
        return Program(tuple(space.at(*pair) for pair in levels))
    stages = [(space.at(*pair), len(list(parts))) for pair, parts in groupby(levels)]
    return Program(tuple(network for network, _ in stages), shares=tuple(parts / space.parts for _, parts in stages))


EFFICIENTTRAIN_SIZES = (96, 96, 160, 160, 160, 160, 192, 192, 224, 224)  # px, of 224: the authors' list for DeiT


def efficienttrain(space: GrowthSpace) -> Program:
    """EfficientTrain++: ten phases of equal compute, smaller images and weaker augmentation first; depth stays full.

    The authors' list for DeiT, scaled to the space's full resolution. RandAugment's magnitude rises from 0 to 9, here
    as shares of the recipe's own augmentation. Their small images are the low frequencies of large ones; ours are
    what fewer patches are in the space. Source: Wang et al., TPAMI 2024.
    """
    grids = [max(1, int(space.full.grid * size / 224 + 0.5)) for size in EFFICIENTTRAIN_SIZES]
    phases = tuple(SubNetwork(space.depth, grid**2) for grid in grids)
    epochs = [1 / phase.patches for phase in phases]  # equal compute: as much longer as a step is cheaper
    last = len(phases) - 1
    return Program(
        phases, shares=tuple(e / sum(epochs) for e in epochs), augment=tuple(k / last for k in range(len(phases)))
    )


def timm_progressive(space: GrowthSpace) -> Program:
    """Resolution alone, the way timm's `--train-size-schedule progressive` moves through its sizes; depth stays full.

    timm draws each batch's size near a centre that moves linearly through the sizes (a Gaussian of 0.65 sizes, and a
    tenth uniform). Growth here never shrinks, so the draws are sorted: each size trains as large a share of the run as
    timm gives it on average. Source: `timm.data.scheduled_sampler`, timm 1.0.31.
    """
    shares = _progressive_shares(len(space.patches))
    return Program(tuple(SubNetwork(space.depth, n) for n in space.patches), shares=shares)


SPREAD, RANDOM_MIX, MOMENTS = 0.65, 0.1, 200  # timm's defaults; points of the run at which its weights are averaged


def _progressive_shares(sizes: int) -> tuple[float, ...]:
    totals = [0.0] * sizes
    for moment in range(MOMENTS):
        centre = moment / (MOMENTS - 1) * (sizes - 1)
        weights = [exp(-0.5 * ((i - centre) / SPREAD) ** 2) for i in range(sizes)]
        for i, weight in enumerate(weights):
            totals[i] += ((1 - RANDOM_MIX) * weight / sum(weights) + RANDOM_MIX / sizes) / MOMENTS
    return tuple(totals)


LATE = 0.8  # of the epochs, before the one expansion


def one_layer(space: GrowthSpace) -> Program:
    """One late expansion: the shallowest network for 80 % of the epochs, then the full one; resolution stays full.

    The learning rate warms up, stays, and decays after the growth, which the source found to need a stable rate.
    Source: Bu, "Deep progressive training: scaling up depth capacity of zero/one-layer models", arXiv:2511.04981, 2025
    (on GPT-2).
    """
    return Program((SubNetwork(space.depths[0], space.full.patches), space.full), shares=(LATE, 1 - LATE), sched="wsd")


TIMED = (0.75, 0.25)  # of the epochs


def hand_timed(space: GrowthSpace) -> Program:
    """What the clock starts with, then the full network.

    The time is the best of those tried by hand on Fashion-MNIST's 54,000 images for 3 epochs, with patches dropped, on
    validation (docs/LOG.md), and held for every other length, data set and way of having fewer patches.
    """
    return Program((first_of(space.sub_networks), space.full), shares=TIMED)


def _nearest(levels: Sequence[int], k: int, stages: int) -> int:
    share = k / (stages - 1) if stages > 1 else 1.0
    target = levels[0] + share * (levels[-1] - levels[0])
    return min(range(len(levels)), key=lambda i: (abs(levels[i] - target), -i))
