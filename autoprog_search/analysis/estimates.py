"""What the one-shot search saw: every candidate's estimated loss and cost, stage by stage."""

from __future__ import annotations

import pandas as pd

from autoprog_search.patching import Patching
from autoprog_search.schedule import SubNetwork


def stage_estimates(estimates: pd.DataFrame, patching: Patching) -> dict[int, pd.DataFrame]:
    """The estimates (`study.results.estimates_frame`) of every stage that was searched, ascending.

    Returns:
        A stage's rows, a candidate each (`runs.row.EstimateRow`), and one column more: `resolution`, px.
    """
    if estimates.empty:
        return {}
    pairs = zip(estimates["depth"], estimates["patches"], strict=True)
    resolutions = [patching.image_side(SubNetwork(int(depth), int(patches))) for depth, patches in pairs]
    return {int(str(stage)): rows for stage, rows in estimates.assign(resolution=resolutions).groupby("stage")}
