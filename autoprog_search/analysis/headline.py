"""The headline: which trial of a (method, seed) stands for it in comparisons, and what finding it cost."""

from __future__ import annotations

from typing import Any

import pandas as pd

from autoprog_search.methods.registry import method_named
from autoprog_search.study.store import ENDED_WELL

SPENT = ["trials", "spent_flops", "spent_seconds"]


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
    paid = of_full_length(ended)
    first = _ranked(paid[paid["state"] == "COMPLETE"], full, tolerance).groupby(["method", "seed"]).head(1)
    heads: dict[Any, Any] = dict(zip(zip(first["method"], first["seed"], strict=True), first.index, strict=True))
    seconds = paid["train_seconds"] + paid["search_seconds"]
    rows: dict[Any, dict[str, Any]] = {}
    for key, trials in paid.groupby(["method", "seed"], sort=False)["trial"]:
        if (head := heads.get(key)) is not None:
            counted = method_named(str(key[0])).paid_for(head, list(trials.index))
            spent = (paid["own_flops"].loc[counted].sum(), seconds.loc[counted].sum())
            rows[head] = dict(zip(SPENT, (len(counted), *spent), strict=True))
    spending = pd.DataFrame.from_dict(rows, orient="index", columns=SPENT)
    return frame.loc[[*rows]].infer_objects().join(spending).reset_index(drop=True)


def _ranked(done: pd.DataFrame, full: pd.Series[float], tolerance: float) -> pd.DataFrame:
    """First those within the tolerance, the cheapest ahead; then the others, the most accurate ahead."""
    enough = done["val_top1"] >= done["seed"].map(full) - tolerance
    cost, loss = done["total_flops"], -done["val_top1"].astype(float)
    keys = done.assign(short=~enough, first=cost.where(enough, loss), second=loss.where(enough, cost))
    return keys.sort_values(["short", "first", "second", "trial"])


def of_full_length(ended: pd.DataFrame) -> pd.DataFrame:
    """Of trials that ended, those that were to train as long as full's first; all where full has none."""
    lengths = ended[(ended["method"] == "full") & (ended["trial"] == 0)]["scheduled_epochs"].unique()
    return ended[ended["scheduled_epochs"].isin(lengths)] if len(lengths) else ended
