"""What the one-shot search saw: every candidate's estimated loss and cost, stage by stage."""

from __future__ import annotations

import pandas as pd


def stage_estimates(estimates: pd.DataFrame) -> dict[int, pd.DataFrame]:
    """The estimates (`study.results.estimates_frame`) of every stage that was searched, ascending.

    Returns:
        A stage's rows, a candidate each (`runs.row.EstimateRow`).
    """
    if estimates.empty:
        return {}
    return {int(str(stage)): rows for stage, rows in estimates.groupby("stage")}
