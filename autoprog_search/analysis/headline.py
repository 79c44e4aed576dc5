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
    paid = of_full_length(ended).reset_index(drop=True)  # its labels are its positions
    by_seed = paid.groupby(["method", "seed"], sort=False)
    best = _best(paid[paid["state"] == "COMPLETE"], full - tolerance)
    best = best.loc[by_seed.ngroup()[best.index].sort_values().index]
    flops, seconds = paid["own_flops"].to_numpy(float), (paid["train_seconds"] + paid["search_seconds"]).to_numpy(float)
    taken = {
        chosen: method_named(str(method)).paid_for(chosen, list(by_seed.groups[method, seed]))
        for chosen, method, seed in zip(best.index, best["method"], best["seed"], strict=True)
    }
    return best.reset_index(drop=True).assign(
        trials=[len(trials) for trials in taken.values()],
        spent_flops=[np.nansum(flops[trials]) for trials in taken.values()],
        spent_seconds=[np.nansum(seconds[trials]) for trials in taken.values()],
    )


def _best(done: pd.DataFrame, targets: pd.Series) -> pd.DataFrame:
    """One trial of each (method, seed): of those that meet the seed's target the cheapest, else the most accurate."""
    accuracy, cost = done["val_top1"].astype(float), done["total_flops"].astype(float)
    short = ~(accuracy >= done["seed"].map(targets))
    first, second = (-accuracy).where(short, cost), cost.where(short, -accuracy)
    ranked = pd.DataFrame({"short": short, "first": first, "second": second, "trial": done["trial"]})
    order = ranked.sort_values(["short", "first", "second", "trial"]).index
    return done.loc[order].drop_duplicates(["method", "seed"])


def of_full_length(ended: pd.DataFrame) -> pd.DataFrame:
    """Of trials that ended, those that were to train as long as full's first; all where full has none."""
    lengths = ended[(ended["method"] == "full") & (ended["trial"] == 0)]["scheduled_epochs"].unique()
    return ended[ended["scheduled_epochs"].isin(lengths)] if len(lengths) else ended
