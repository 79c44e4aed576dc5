"""Validation accuracy against the cost spent so far: what a run would have been worth, stopped at any time."""

from __future__ import annotations

import numpy as np
import pandas as pd

from autoprog_search.cost import CostKind
from autoprog_search.errors import ConfigError


def validation_curves(
    curves: pd.DataFrame, heads: pd.DataFrame, cost: CostKind
) -> dict[tuple[str, int, int], pd.DataFrame]:
    """The curves (`study.results.curves_frame`) of the headline trials.

    Returns:
        By (method, seed, trial), in the order of `heads`: an epoch a row (`runs.row.CurveRow`), ascending.

    Raises:
        ConfigError: `cost` is not "flops".
    """
    if cost != "flops":
        raise ConfigError(f"cost: curves are stored against FLOPs only, got {cost!r}; use flops")
    if curves.empty:
        return {}
    of_trial = curves.groupby(["method", "seed", "trial"])
    wanted = zip(heads["method"], heads["seed"], heads["trial"], strict=True)
    return {trial: of_trial.get_group(trial).sort_values("epoch") for trial in wanted if trial in of_trial.groups}


def growth_points(curve: pd.DataFrame) -> pd.DataFrame:
    """The last epochs of a trial's curve before its network grows, with what it grows to: `to_depth`, `to_patches`."""
    sizes = curve[["depth", "patches"]].to_numpy()
    last = np.flatnonzero((np.diff(sizes, axis=0) > 0).any(axis=1))
    return curve.iloc[last].assign(to_depth=sizes[last + 1, 0], to_patches=sizes[last + 1, 1])
