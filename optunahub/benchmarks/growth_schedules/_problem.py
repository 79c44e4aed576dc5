"""Growth schedules of a small vision Transformer, each of them trained: a tabulated benchmark of two objectives."""

from __future__ import annotations

from typing import Any

import optuna
import optunahub

from autoprog_search.tables.loading import load_table


class Problem(optunahub.benchmarks.BaseProblem):
    """FLOPs and validation accuracy of a growth schedule, looked up.

    Args:
        table: a table's name, or a .parquet file of one's own (`autoprog-search table make`).
        seed: which training of each schedule is looked up; None: the mean over the table's seeds.

    Attributes:
        metric_names: of the two objectives.
        pareto_front: (FLOPs, mean accuracy) of the schedules that no other beats in both, cheapest first.
    """

    metric_names = ("total_flops", "val_top1")

    def __init__(self, table: str = "fashion", seed: int | None = None) -> None:
        self._table = load_table(table)
        seeds = self._table.info.seeds
        if seed is not None and not 0 <= seed < seeds:
            raise ValueError(f"seed: {seed} is none of the table's, which are 0 to {seeds - 1}")
        self._seed = seed

    @property
    def search_space(self) -> dict[str, optuna.distributions.BaseDistribution]:
        """Two levels a stage; a schedule that would shrink is its running maximum."""
        return dict(self._table.info.space.distributions())

    @property
    def directions(self) -> list[optuna.study.StudyDirection]:
        return [optuna.study.StudyDirection.MINIMIZE, optuna.study.StudyDirection.MAXIMIZE]

    @property
    def pareto_front(self) -> list[tuple[float, float]]:
        front: list[tuple[float, float]] = []
        for flops, accuracy in sorted(self._table.truth.values(), key=lambda values: (values[0], -values[1])):
            if not front or accuracy > front[-1][1]:
                front.append((flops, accuracy))
        return front

    def evaluate(self, params: dict[str, Any]) -> tuple[float, float]:
        """FLOPs and validation accuracy (per cent) of the schedule."""
        levels = self._table.info.space.from_parameters(params)
        flops, accuracy = self._table.truth[levels]
        if self._seed is not None:
            accuracy = self._table.runs[self._seed, levels]["val_top1"]
        return flops, accuracy
