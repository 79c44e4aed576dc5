"""What trained when: the headline trials' depth and resolution over the epochs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Staircase:
    """One trial's schedule.

    Attributes:
        epochs: where each stage begins, then where the last one ends, (stages + 1,).
        depth, resolution: from there on, blocks and pixels, (stages + 1,); the last stage's stands twice.
    """

    method: str
    seed: int
    trial: int
    epochs: np.ndarray
    depth: np.ndarray
    resolution: np.ndarray


def staircases(heads: pd.DataFrame) -> list[Staircase]:
    """The schedules of headline trials (`analysis.headline`), one a (method, seed)."""
    found = []
    for row in heads.to_dict("records"):
        depths, resolutions, lengths = (row[name] for name in ("depths", "resolutions", "stage_epochs"))
        found.append(
            Staircase(
                method=str(row["method"]),
                seed=int(row["seed"]),
                trial=int(row["trial"]),
                epochs=np.concatenate(([0.0], np.cumsum(lengths))),
                depth=np.array([*depths, depths[-1]]),
                resolution=np.array([*resolutions, resolutions[-1]]),
            )
        )
    return found
