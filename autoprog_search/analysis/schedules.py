"""What trained when: the headline trials' depth and resolution over the epochs."""

from __future__ import annotations

import numpy as np
import pandas as pd


def staircases(heads: pd.DataFrame) -> dict[tuple[str, int, int], pd.DataFrame]:
    """The schedules of headline trials (`analysis.headline`), by (method, seed, trial).

    Returns:
        A row a stage, and one for the end, where the last stage's sizes stand again: `epochs`, from where on; `depth`,
        blocks; `resolution`, px.
    """
    found = {}
    for row in heads.to_dict("records"):
        sizes = {"depth": row["depths"], "resolution": row["resolutions"]}
        steps = {name: [*levels, levels[-1]] for name, levels in sizes.items()}
        epochs = np.concatenate(([0.0], np.cumsum(row["stage_epochs"])))
        found[row["method"], row["seed"], row["trial"]] = pd.DataFrame({"epochs": epochs, **steps})
    return found
