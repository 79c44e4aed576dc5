"""Accuracy against cost: which trials nobody beats at their price."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from autoprog_search.analysis.sizes import sizes_of
from autoprog_search.cost import CostKind


@dataclass(frozen=True)
class ParetoFront:
    """A study's finished trials, cheapest first; of equal cost the most accurate first.

    Attributes:
        method, seed, trial: which trial, (trials,).
        cost: training and search, (trials,), see `unit`.
        top1: test accuracy of the recipe's eval_weights, (trials,), per cent.
        val_top1: validation accuracy of the same weights, (trials,), per cent.
        schedule: depths and resolutions, or patches, in words, (trials,).
        on_front: no other trial is as cheap and as accurate, (trials,) bool; of equal trials the first.
        on_method_front: the same among the method's own trials, all seeds together.
        unit: of `cost`.
        methods: those of the trials, in the order of the table.
    """

    method: np.ndarray
    seed: np.ndarray
    trial: np.ndarray
    cost: np.ndarray
    top1: np.ndarray
    val_top1: np.ndarray
    schedule: np.ndarray
    on_front: np.ndarray
    on_method_front: np.ndarray
    unit: Literal["FLOPs", "s"]
    methods: tuple[str, ...]


def pareto_front(trials: pd.DataFrame, cost: CostKind) -> ParetoFront:
    """The front of a study's trials table (`study.results.trials_frame`).

    Trials that have not finished, and those without a cost or an accuracy, are left out.

    Args:
        cost: `flops` (training and search) or `seconds`.
    """
    done = finished(trials, cost, "top1")
    methods = tuple(dict.fromkeys(done["method"]))
    # The place in the table is the last key: of equal trials the first comes first.
    done = done.iloc[np.lexsort((np.arange(len(done)), -done["top1"].to_numpy(float), done["cost"].to_numpy(float)))]
    shown = sizes_of(done)
    steps = zip(done["depths"], done[shown.column], strict=True)
    method, top1 = done["method"].to_numpy(object), done["top1"].to_numpy(float)
    own = np.zeros(len(done), dtype=bool)
    for name in methods:
        own[method == name] = _above_all_before(top1[method == name])
    return ParetoFront(
        method=method,
        seed=done["seed"].to_numpy(int),
        trial=done["trial"].to_numpy(int),
        cost=done["cost"].to_numpy(float),
        top1=top1,
        val_top1=done["val_top1"].to_numpy(float),
        schedule=np.array([schedule_text(*r, shown.unit) for r in steps], object),
        on_front=_above_all_before(top1),
        on_method_front=own,
        unit="FLOPs" if cost == "flops" else "s",
        methods=methods,
    )


def finished(trials: pd.DataFrame, cost: CostKind, accuracy: str) -> pd.DataFrame:
    """The finished trials that have a cost, as the column `cost`, and that accuracy."""
    done = trials[trials["state"] == "COMPLETE"]
    costs = done["total_flops"] if cost == "flops" else done["train_seconds"] + done["search_seconds"]
    return done.assign(cost=costs.astype(float)).dropna(subset=["cost", accuracy])


def _above_all_before(top1: np.ndarray) -> np.ndarray:
    before = np.concatenate(([-np.inf], np.maximum.accumulate(top1)[:-1])) if len(top1) else top1
    return np.asarray(top1 > before)


def schedule_text(depths: Any, sizes: Any, unit: str) -> str:
    """For example `depth 6 → 12; 16 → 28 px`, from the table's lists."""
    if not isinstance(depths, list) or not isinstance(sizes, list):
        return "schedule not stored"
    arrows = [" → ".join(map(str, levels)) for levels in (depths, sizes)]
    return f"depth {arrows[0]}; {arrows[1]} {unit}"
