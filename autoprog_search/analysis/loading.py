"""How much of their training time runs waited for images, method by method."""

from __future__ import annotations

import pandas as pd

from autoprog_search.analysis.findings import waited_shares


def waiting(trials: pd.DataFrame) -> pd.DataFrame:
    """Of the finished trials in a table of them, those that say it.

    Returns:
        A row a (method, stage): `method`; `stage`, from 1; `share`, of the time of the stage's training steps, %.
    """
    done = trials[trials["state"] == "COMPLETE"].dropna(subset=["loader_seconds", "stage_seconds"])
    rows = [
        {"method": method, "stage": stage, "share": 100 * share}
        for method, group in done.groupby("method", sort=False)
        for stage, share in enumerate(waited_shares(group), start=1)
    ]
    return pd.DataFrame(rows, columns=["method", "stage", "share"])
