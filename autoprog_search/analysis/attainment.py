"""What accuracy a method attains at what cost, whatever the seed: the empirical attainment surface.

A (cost, accuracy) is attained by a seed where one of its trials is no dearer and no less accurate; the surface of a
level is the best that this share of the seeds attain. Source: Grunert da Fonseca, Fonseca and Hall, EMO 2001.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from autoprog_search.analysis.pareto import finished
from autoprog_search.cost import CostKind

LEVELS = {"every seed": 1.0, "half of the seeds": 0.5, "any seed": 0.0}
"""Shares of the seeds, at least one of them."""


@dataclass(frozen=True)
class Attainment:
    """The surfaces of a study's methods, from the same costs.

    Attributes:
        cost: ascending, those of all finished trials, (costs,), see `unit`.
        attained: by method, validation accuracy at that cost or less, (`LEVELS`, costs), %; NaN where too few seeds
            have so cheap a trial.
        seeds: by method, with a finished trial.
        unit: of `cost`.
    """

    cost: np.ndarray
    attained: Mapping[str, np.ndarray]
    seeds: Mapping[str, int]
    unit: Literal["FLOPs", "s"]


def attainment(trials: pd.DataFrame, cost: CostKind) -> Attainment:
    """The surfaces of a study's trials table, from every finished trial, of whatever length."""
    done = finished(trials, cost, "val_top1")
    grid = np.unique(done["cost"].to_numpy(float))
    attained, seeds = {}, {}
    for method, group in done.groupby("method", sort=False):
        best = np.array([_best(own, grid) for _, own in group.groupby("seed")])
        attained[str(method)], seeds[str(method)] = surfaces(best), len(best)
    return Attainment(grid, attained, seeds, "FLOPs" if cost == "flops" else "s")


def _best(trials: pd.DataFrame, grid: np.ndarray) -> np.ndarray:
    """A seed's best accuracy at each cost or less, -infinity below its cheapest trial."""
    ordered = trials.sort_values("cost", kind="stable")
    best = np.concatenate(([-np.inf], np.maximum.accumulate(ordered["val_top1"].to_numpy(float))))
    return np.asarray(best[np.searchsorted(ordered["cost"].to_numpy(float), grid, side="right")])


def surfaces(best: np.ndarray) -> np.ndarray:
    """What each level's share of the seeds attain, (`LEVELS`, costs), from the best of every seed, (seeds, costs)."""
    descending = -np.sort(-best, axis=0)
    places = [max(1, math.ceil(level * len(best))) - 1 for level in LEVELS.values()]
    found = descending[places]
    return np.where(np.isfinite(found), found, np.nan)
