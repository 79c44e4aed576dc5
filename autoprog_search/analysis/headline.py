"""The headline: which trial of a (method, seed) stands for it in comparisons, and what finding it cost."""

from __future__ import annotations

import numpy as np
import pandas as pd

from autoprog_search.methods.registry import method_named
from autoprog_search.study.store import ENDED_WELL


def headline(frame: pd.DataFrame, tolerance: float) -> pd.DataFrame:
    """The one trial of each (method, seed) that stands for it (docs/results.md), with what finding it cost.

    Of the trials whose validation accuracy is within `tolerance` points of full's of the same seed, the cheapest; else
    the most accurate. The test split has no say. Of a sweep of lengths only the trials that were to train as long as
    full's first are looked at, or paid for.

    Returns:
        Rows of `frame`, with `trials`: how many of the (method, seed) ended well, stopped early or not, and
        `spent_flops`, `spent_seconds`: of all the steps and searches that these took.
    """
    ended = frame[frame["state"].isin(ENDED_WELL)]
    full = ended[(ended["method"] == "full") & (ended["trial"] == 0)].set_index("seed")["val_top1"]
    rows = []
    for (method, seed), paid in of_full_length(ended).groupby(["method", "seed"], sort=False):
        done = paid[paid["state"] == "COMPLETE"]
        if done.empty:
            continue
        target = full.get(seed, np.nan) - tolerance
        enough = done[done["val_top1"] >= target]
        if len(enough):
            best = enough.sort_values(["total_flops", "val_top1", "trial"], ascending=[True, False, True]).iloc[0]
        else:
            best = done.sort_values(["val_top1", "total_flops", "trial"], ascending=[False, True, True]).iloc[0]
        paid = paid.loc[method_named(str(method)).paid_for(best.name, list(paid.index))]
        spent_seconds = (paid["train_seconds"] + paid["search_seconds"]).sum()
        spent = {"spent_flops": paid["own_flops"].sum(), "spent_seconds": spent_seconds}
        rows.append({**best, "trials": len(paid), **spent})
    return pd.DataFrame(rows, columns=[*frame.columns, "trials", "spent_flops", "spent_seconds"])


def of_full_length(ended: pd.DataFrame) -> pd.DataFrame:
    """Of trials that ended, those that were to train as long as full's first; all where full has none."""
    lengths = ended[(ended["method"] == "full") & (ended["trial"] == 0)]["scheduled_epochs"].unique()
    return ended[ended["scheduled_epochs"].isin(lengths)] if len(lengths) else ended
