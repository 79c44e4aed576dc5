"""What a run is, before it runs: all that decides its result, its stages in steps, and whether its searches fit in."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise

from autoprog_search.errors import ConfigError
from autoprog_search.growth.space_cost import cost_of
from autoprog_search.oneshot.candidates import candidates
from autoprog_search.oneshot.estimate import search_steps
from autoprog_search.oneshot.outlook import GRAIN, Outlook
from autoprog_search.randomness import derive
from autoprog_search.schedule import SubNetwork
from autoprog_search.settings.data import DataConfig
from autoprog_search.settings.growth import GrowthSettings
from autoprog_search.settings.recipe import HOW_FAST, Recipe
from autoprog_search.space import GrowthSpace


@dataclass(frozen=True)
class RunSpec:
    """What to train: everything that decides a run's result.

    Attributes:
        part_steps: optimiser steps of each part of the run: the given stages, or a free clock's ticks. A stage that is
            chosen when the run has come to it takes one of them or several.
        seed: of the initial weights, the order of images and all else that is random.
        data: what it trains on; `workers` and `cache_dir` make no difference.
        extra_depths: depths of a fixed schedule that are no levels of the space.
        augment: share of the recipe's augmentation in each stage; empty: what the growth settings say.
        method: how the schedule is chosen, in words; a checkpoint of another run is refused.
    """

    space: GrowthSpace
    recipe: Recipe
    growth: GrowthSettings
    part_steps: tuple[int, ...]
    seed: int
    extra_depths: tuple[int, ...] = ()
    data: DataConfig = field(default_factory=DataConfig)
    augment: tuple[float, ...] = ()
    method: str = ""

    @property
    def steps(self) -> int:
        """Of the whole run."""
        return sum(self.part_steps)

    def searchable(self, part: int) -> int:
        """Steps of which a search that opens with that part takes its share: of the stage that it opens.

        Where nobody knows how long that will be, of one of `space.stages` equal ones.
        """
        return self.part_steps[part] if self.space.clock == "stages" else round(self.steps / self.space.stages)

    def candidates(self, stage: int, previous: SubNetwork | None) -> tuple[SubNetwork, ...]:
        """Lambda_k, where k < K: what a search of stage k looks at after that sub-network."""
        return candidates(self.space, stage, previous, self.growth.force_growth)

    def identity(self) -> str:
        """The same for the same run only; what the data are, wherever they lie, their fingerprint tells."""
        data = self.data.model_dump_json(include=self.data.decisive)
        recipe = self.recipe.model_dump_json(exclude=HOW_FAST)
        space, growth = self.space.decisive, self.growth.decisive(self.space)
        parts = [json.dumps(space), recipe, json.dumps(growth), data]
        return str(derive(*parts, *self.part_steps, self.seed, *self.extra_depths, *self.augment, self.method))


def steps_of_stages(stage_epochs: tuple[float, ...], epoch_steps: int) -> tuple[int, ...]:
    """Optimiser steps of each stage: boundaries are rounded, so that the parts sum to the rounded whole.

    Raises:
        ConfigError: a stage would have none.
    """
    ends = [0, *(round(e * epoch_steps) for e in accumulate(stage_epochs))]
    steps = tuple(b - a for a, b in pairwise(ends))
    if min(steps) < 1:
        k = steps.index(min(steps))
        raise ConfigError(
            f"epochs: stage {k + 1} is {stage_epochs[k]:g} epochs of {epoch_steps} steps long, less than one step"
        )
    return steps


def planned_steps(space: GrowthSpace, recipe: Recipe, train_size: int) -> tuple[int, ...]:
    """Optimiser steps of each part of a run on the space, under the recipe, on so many training images.

    Raises:
        ConfigError, SpaceError: the run is too short for them.
    """
    steps = round(recipe.epochs * (train_size // recipe.batch_size))
    if space.clock == "free" and steps < space.parts:
        raise ConfigError(
            f"epochs: {recipe.epochs:g} are {steps} steps, fewer than the {space.parts} ticks of space.clock: free; "
            "train longer"
        )
    return steps_of_stages(space.part_epochs(recipe.epochs), train_size // recipe.batch_size)


def equal_compute_steps(
    space: GrowthSpace, sub_networks: Sequence[SubNetwork], recipe: Recipe, train_size: int, num_classes: int
) -> tuple[int, ...]:
    """Optimiser steps of each stage, where each costs the same and all together what the full network would."""
    cost = cost_of(space, num_classes)
    full = recipe.epochs * cost.forward_flops(space.full) / len(sub_networks)
    return steps_of_stages(
        tuple(full / cost.forward_flops(sub_network) for sub_network in sub_networks), train_size // recipe.batch_size
    )


def check_search(spec: RunSpec, searches: Callable[[int], bool]) -> None:
    """Whether every stage is long enough for its search, said before anything is trained; a free clock has no searches.

    Raises:
        ConfigError: a stage is too short; or its regularisation follows from how many stages there will be.
    """
    if spec.space.clock == "free":
        if spec.growth.adareg is not None and searches(1):
            raise ConfigError(
                "growth.adareg: it rises from stage to stage, and nobody knows how many autoprog makes under "
                "space.clock: free; leave it out"
            )
        return
    current = None
    for stage in range(1, len(spec.part_steps)):
        # Later stages are checked as if stage 1 had chosen the smallest: from there the candidates are most.
        count = len(spec.candidates(stage, current))
        if searches(stage) and count > 1:
            search_steps(stage, spec.searchable(stage - 1), count, spec.growth.search.share)
        current = spec.space.at(0, 0)


def check_target(outlook: Outlook, target_speedup: float) -> None:
    """Whether some way through the stages costs what is asked for, said before anything is trained.

    Raises:
        ConfigError: none does, within 5 %.
    """
    speedups = sorted(GRAIN / end for end in outlook.from_stage(1, None))
    if min(abs(target_speedup / speedup - 1) for speedup in speedups) > 0.05:
        raise ConfigError(
            f"growth, target_speedup: {target_speedup:g} is out of reach; this space, these stages and "
            f"growth.force_growth allow {speedups[0]:.2f} to {speedups[-1]:.2f}"
        )
