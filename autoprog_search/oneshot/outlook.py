"""What a run may still cost: every way on from a stage, for runs that are to end at a given cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from autoprog_search.oneshot.candidates import ForceGrowth, candidates
from autoprog_search.oneshot.estimate import search_steps
from autoprog_search.schedule import SubNetwork
from autoprog_search.space import GrowthSpace

GRAIN = 1000  # costs are kept in thousandths of the full run's, so that their sets stay small


@dataclass(frozen=True)
class Outlook:
    """The costs that a searching run can end at.

    Args:
        stage_steps: optimiser steps of each stage.
        step_cost: of one training step.
        estimate_cost: of evaluating a stage's candidates, as often as its search does.
    """

    space: GrowthSpace
    stage_steps: Sequence[int]
    step_cost: Callable[[SubNetwork], float]
    estimate_cost: Callable[[int, tuple[SubNetwork, ...]], float]
    search_share: float
    force_growth: ForceGrowth
    _rest: dict[tuple[int, SubNetwork | None], frozenset[int]] = field(default_factory=dict, init=False, compare=False)

    @cached_property
    def full_cost(self) -> float:
        """Of training the full network as long."""
        return sum(self.stage_steps) * self.step_cost(self.space.full)

    def from_stage(self, stage: int, previous: SubNetwork | None) -> frozenset[int]:
        """What stage k and those after it may cost, in thousandths of the full run."""
        key = (stage, previous)
        if key not in self._rest:
            last = stage == len(self.stage_steps)
            allowed = (self.space.full,) if last else candidates(self.space, stage, previous, self.force_growth)
            self._rest[key] = frozenset(
                self._grains(self._stage_cost(stage, chosen, allowed)) + rest
                for chosen in allowed
                for rest in ((0,) if last else self.from_stage(stage + 1, chosen))
            )
        return self._rest[key]

    def ends(self, spent: float, stage: int, steps_left: int, chosen: SubNetwork) -> tuple[float, ...]:
        """Where the run may end if it chooses that, as shares of the full run's cost, ascending.

        Args:
            spent: so far, estimates included.
            steps_left: of stage k, which the chosen sub-network trains.
        """
        sure = (spent + steps_left * self.step_cost(chosen)) / self.full_cost
        return tuple(sure + rest / GRAIN for rest in sorted(self.from_stage(stage + 1, chosen)))

    def _stage_cost(self, stage: int, chosen: SubNetwork, allowed: tuple[SubNetwork, ...]) -> float:
        steps = self.stage_steps[stage - 1]
        if len(allowed) == 1:
            return steps * self.step_cost(chosen)
        searching = search_steps(stage, steps, len(allowed), self.search_share)
        mean = sum(map(self.step_cost, allowed)) / len(allowed)
        search = searching * mean + self.estimate_cost(stage, allowed)
        return search + (steps - searching) * self.step_cost(chosen)

    def _grains(self, cost: float) -> int:
        return round(GRAIN * cost / self.full_cost)
