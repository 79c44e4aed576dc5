"""A table of growth schedules: every schedule of a small space trained once a seed, and the searches that it can hold.

It is looked up instead of trained, so that methods are compared over many seeds in seconds (docs/table.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from autoprog_search.choosing import Estimate
from autoprog_search.methods.fixed import full
from autoprog_search.oneshot.candidates import ForceGrowth
from autoprog_search.randomness import derive
from autoprog_search.schedule import SubNetwork
from autoprog_search.space import Levels
from autoprog_search.tables.format import TableInfo

Walk = tuple[SubNetwork, ...]
"""The sub-networks of the stages before a search."""


@dataclass(frozen=True, slots=True)
class StoredSearch:
    """A search that a stage opened with: its estimates and what it cost.

    Attributes:
        supernet_flops: of its `searched_steps` training steps.
        search_flops, search_seconds: of evaluating the candidates.
    """

    estimates: tuple[Estimate, ...]
    searched_steps: int
    supernet_flops: float
    search_flops: float
    search_seconds: float

    def among(self, candidates: Sequence[SubNetwork]) -> StoredSearch:
        """As if only these had been searched: the same losses, costs in proportion to the mean candidate's.

        That is what estimates and supernet steps do cost, but for rounding; the losses are of a supernet that also
        trained the others.
        """
        kept = tuple(e for e in self.estimates if e.sub_network in candidates)
        share = _mean_cost(kept) / _mean_cost(self.estimates)
        return replace(
            self,
            estimates=kept,
            supernet_flops=self.supernet_flops * share,
            search_flops=self.search_flops * share,
            search_seconds=self.search_seconds * share,
        )


@dataclass(frozen=True)
class GrowthTable:
    """A table in memory.

    Attributes:
        name: of the file, without its suffix.
        info: what it was made of: space, data, recipe, growth settings, how many seeds.
        runs: by (seed, schedule's levels), a pair a stage: `val_top1`, `top1`, `top5`, `ema_top1` (per cent), `loss`
            (nats), `train_seconds`, `wall_seconds`; lists of a number a stage: `depths`, `patches`, `stage_flops`;
            lists of a number an epoch: `epoch_train_loss`, `epoch_val_loss`, `epoch_val_top1`, `epoch_lr`.
        searches: by (the candidates' `force_growth`, seed, sub-networks of the stages before).
    """

    name: str
    info: TableInfo
    runs: Mapping[tuple[int, Levels], Mapping[str, Any]]
    searches: Mapping[tuple[ForceGrowth, int, Walk], StoredSearch]

    @cached_property
    def full_flops(self) -> float:
        """Of training the full network."""
        return sum(self.stage_flops(0, full(self.info.space)))

    @cached_property
    def truth(self) -> dict[Levels, tuple[float, float]]:
        """Of every schedule its training FLOPs and its validation accuracy, mean over the seeds."""
        seeds = range(self.info.seeds)
        return {
            levels: (
                sum(self.stage_flops(0, levels)),
                sum(self.runs[seed, levels]["val_top1"] for seed in seeds) / self.info.seeds,
            )
            for levels in self.info.space.enumerate()
        }

    def stage_flops(self, seed: int, levels: Levels) -> list[float]:
        """Of a run's training, stage by stage."""
        return list(self.runs[seed, levels]["stage_flops"])

    def seed_of(self, seed: int, trial: int, last: int) -> int:
        """Which of the table's seeds answers a trial of a study whose last seed is `last`.

        Its own, where the table has all the study's seeds. Else one drawn by (seed, trial), the same for every method,
        as benchmarks of this kind draw one of a configuration's repetitions at each query.
        """
        return seed if last < self.info.seeds else derive("table", seed, trial) % self.info.seeds

    def search(
        self, force_growth: ForceGrowth, seed: int, path: Walk, candidates: Sequence[SubNetwork]
    ) -> StoredSearch:
        """The search after this path: made under this `force_growth`, or else cut out of the one without it."""
        own = self.searches.get((force_growth, seed, path))
        return own if own is not None else self.searches["none", seed, path].among(candidates)


def _mean_cost(estimates: Sequence[Estimate]) -> float:
    return sum(e.cost for e in estimates) / len(estimates)
