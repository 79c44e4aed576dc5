"""What trained when: the headline trials' depth and resolution over the epochs, all trials' stage by stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from autoprog_search.analysis.pareto import finished
from autoprog_search.analysis.sizes import sizes_of
from autoprog_search.cost import CostKind


def staircases(heads: pd.DataFrame) -> dict[tuple[str, int, int], pd.DataFrame]:
    """The schedules of headline trials (`analysis.headline`), by (method, seed, trial).

    Returns:
        A row a stage, and one for the end, where the last stage's sizes stand again: `epochs`, from where on; `depth`,
        blocks; `resolution`, px, or `patches` (`analysis.sizes`).
    """
    found, shown = {}, sizes_of(heads)
    for row in heads.to_dict("records"):
        sizes = {"depth": row["depths"], shown.name: row[shown.column]}
        steps = {name: [*levels, levels[-1]] for name, levels in sizes.items()}
        epochs = np.concatenate(([0.0], np.cumsum(row["stage_epochs"])))
        found[row["method"], row["seed"], row["trial"]] = pd.DataFrame({"epochs": epochs, **steps})
    return found


@dataclass(frozen=True)
class ParallelSchedules:
    """Finished trials, each a point on every axis.

    Attributes:
        method, seed, trial: which trial, (trials,).
        axes: what each axis holds: sizes of stages in which trials differ, as `depth, stage 1`, `px, stage 1` or
            `patches, stage 1`; then `FLOPs` or `s`, of training and search; validation `top-1, %`.
        values: (trials, axes).
        levels: of each axis the values there are; None for a continuous one.
    """

    method: np.ndarray
    seed: np.ndarray
    trial: np.ndarray
    axes: tuple[str, ...]
    values: np.ndarray
    levels: tuple[np.ndarray | None, ...]


def parallel_schedules(trials: pd.DataFrame, stages: int, cost: CostKind) -> ParallelSchedules:
    """The schedules of a study's trials side by side, stage by stage, with what they cost and came to.

    A trial of another number of stages, or under a free clock, is read off in the middle of each of `stages` equal
    parts of its run.
    """
    done = finished(trials, cost, "val_top1")
    done = done[done["depths"].map(bool) & done["resolutions"].map(bool)]
    columns, shown = {}, sizes_of(done)
    for stage in range(stages):
        for name, axis in (("depth", "depths"), (shown.unit, shown.column)):
            pairs = zip(done[axis], done["stage_epochs"], strict=True)
            columns[f"{name}, stage {stage + 1}"] = np.array([_at(*pair, stage, stages) for pair in pairs], dtype=float)
    chosen = {name: column for name, column in columns.items() if len(set(column)) > 1}
    ends = {"FLOPs" if cost == "flops" else "s": done["cost"], "top-1, %": done["val_top1"]}
    return ParallelSchedules(
        method=done["method"].to_numpy(object),
        seed=done["seed"].to_numpy(int),
        trial=done["trial"].to_numpy(int),
        axes=(*chosen, *ends),
        values=np.column_stack([*chosen.values(), *(column.to_numpy(float) for column in ends.values())]),
        levels=(*(np.unique(column) for column in chosen.values()), None, None),
    )


def _at(levels: Sequence[int], lengths: Sequence[float], stage: int, stages: int) -> int:
    if len(levels) == stages:
        return levels[stage]
    ends = np.cumsum(lengths)
    return levels[min(int(np.searchsorted(ends, ends[-1] * (stage + 0.5) / stages)), len(levels) - 1)]
