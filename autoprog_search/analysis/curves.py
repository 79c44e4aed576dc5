"""Validation accuracy against the cost spent so far: what a run would have been worth, stopped at any time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from autoprog_search.cost import CostKind
from autoprog_search.errors import ConfigError


@dataclass(frozen=True)
class Curve:
    """One trial's epochs.

    Attributes:
        epoch: epochs done, (points,).
        flops: training and search FLOPs so far, (points,).
        val_top1: validation accuracy then, (points,), per cent.
    """

    method: str
    seed: int
    trial: int
    epoch: np.ndarray
    flops: np.ndarray
    val_top1: np.ndarray


def validation_curves(curves: pd.DataFrame, heads: pd.DataFrame, cost: CostKind) -> list[Curve]:
    """The curves (`study.results.curves_frame`) of the headline trials, in their order.

    Raises:
        ConfigError: `cost` is not "flops".
    """
    if cost != "flops":
        raise ConfigError(f"cost: curves are stored against FLOPs only, got {cost!r}; use flops")
    if curves.empty:
        return []
    groups = {key: group.sort_values("epoch") for key, group in curves.groupby(["method", "seed", "trial"])}
    found = []
    for method, seed, trial in zip(heads["method"], heads["seed"], heads["trial"], strict=True):
        if (method, seed, trial) in groups:
            group = groups[method, seed, trial]
            arrays = (group[name].to_numpy(float) for name in ("epoch", "flops", "val_top1"))
            found.append(Curve(str(method), int(seed), int(trial), *arrays))
    return found
