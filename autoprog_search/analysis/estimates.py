"""What the one-shot search saw: every candidate's estimated loss and cost, stage by stage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from autoprog_search.schedule import SubNetwork


@dataclass(frozen=True)
class StageEstimates:
    """The candidates of one stage, of all trials that searched there, (candidates,) each.

    Attributes:
        resolution: pixels.
        loss, loss_se: estimate and its standard error over the images that it was evaluated on, nats.
        cost: of one training step, as the score took it, see `unit`.
        w: the exponent that the score gave the cost; NaN where none was used.
        chosen: the search took this one, bool.
    """

    stage: int
    method: np.ndarray
    seed: np.ndarray
    trial: np.ndarray
    depth: np.ndarray
    resolution: np.ndarray
    loss: np.ndarray
    loss_se: np.ndarray
    cost: np.ndarray
    w: np.ndarray
    chosen: np.ndarray
    unit: Literal["FLOPs", "s"]


def stage_estimates(estimates: pd.DataFrame, patch_size: int, unit: Literal["FLOPs", "s"]) -> list[StageEstimates]:
    """The estimates (`study.results.estimates_frame`), one entry a stage that was searched, ascending."""
    if estimates.empty:
        return []
    found = []
    for stage, group in estimates.groupby("stage"):
        pairs = zip(group["depth"], group["patches"], strict=True)
        found.append(
            StageEstimates(
                stage=int(str(stage)),
                method=group["method"].to_numpy(object),
                seed=group["seed"].to_numpy(int),
                trial=group["trial"].to_numpy(int),
                depth=group["depth"].to_numpy(int),
                resolution=np.array([SubNetwork(int(d), int(n)).resolution(patch_size) for d, n in pairs]),
                loss=group["loss"].to_numpy(float),
                loss_se=group["loss_se"].to_numpy(float),
                cost=group["cost"].to_numpy(float),
                w=group["w"].to_numpy(float),
                chosen=group["chosen"].to_numpy(bool),
                unit=unit,
            )
        )
    return found
