"""Who wins: each method's headline trials against `full` of the same seed, paired (DESIGN §7, §8)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from autoprog_search.errors import StudyError
from autoprog_search.study.results import headline, trials_frame
from autoprog_search.study.store import StoredStudy

COLUMNS = {
    "study": "study",
    "method": "method",
    "seeds": "seeds with a finished trial",
    "trials": "finished trials, all seeds, those stopped early included",
    "top1": "test accuracy of the headline trials, mean over seeds, %",
    "top1_se": "its standard error, points",
    "val_top1": "validation accuracy of the same trials, %",
    "difference": "test accuracy minus full's of the same seed, mean, points",
    "difference_low": "95 % interval of the difference (Student's t over seeds), lower end",
    "difference_high": "upper end",
    "short_difference": "test accuracy minus full-short's of the same seed, mean, points",
    "short_low": "95 % interval of that difference, lower end",
    "short_high": "upper end",
    "total_flops": "training and search FLOPs of the headline trial, mean",
    "seconds": "training and search seconds of the headline trial, mean",
    "speedup_flops": "full's FLOPs over the trial's, mean over seeds",
    "speedup_seconds": "the same in seconds",
    "search_share": "search FLOPs over total FLOPs of the trial, mean, %",
    "spent": "FLOPs of all steps of all trials that finding the headline took, over full's of one run",
}


@dataclass(frozen=True)
class Interval:
    """Mean and 95 % confidence interval; the ends are NaN for a single value."""

    mean: float
    low: float
    high: float


def mean_interval(values: Sequence[float]) -> Interval:
    """Student's t interval of the mean."""
    array = np.asarray(values, dtype=float)
    mean = float(array.mean()) if len(array) else float("nan")
    if len(array) < 2:
        return Interval(mean, float("nan"), float("nan"))
    half = float(stats.t.ppf(0.975, len(array) - 1) * array.std(ddof=1) / np.sqrt(len(array)))
    return Interval(mean, mean - half, mean + half)


def paired_difference(own: pd.Series[float], reference: pd.Series[float]) -> Interval:
    """Of values indexed by seed, over the seeds that both have."""
    return mean_interval((own - reference).dropna().tolist())


def compare(frame: pd.DataFrame, tolerance: float) -> pd.DataFrame:
    """One row a method, from a study's trials table.

    Returns:
        The columns of `COLUMNS`, in the order of the methods in `frame`.
    """
    heads = headline(frame, tolerance)
    full, short = (heads[heads["method"] == name].set_index("seed") for name in ("full", "full-short"))
    rows = []
    for method, group in heads.groupby("method", sort=False):
        paired = group[group["seed"].isin(full.index)]
        base = full.loc[paired["seed"]]
        own = group.set_index("seed")["top1"]
        difference, over_short = paired_difference(own, full["top1"]), paired_difference(own, short["top1"])
        rows.append(
            {
                "study": group["study"].iloc[0],
                "method": method,
                "seeds": len(group),
                "trials": int(group["trials"].sum()),
                "top1": group["top1"].mean(),
                "top1_se": group["top1"].std(ddof=1) / np.sqrt(len(group)),
                "val_top1": group["val_top1"].mean(),
                "difference": difference.mean,
                "difference_low": difference.low,
                "difference_high": difference.high,
                "short_difference": over_short.mean,
                "short_low": over_short.low,
                "short_high": over_short.high,
                "total_flops": group["total_flops"].mean(),
                "seconds": (group["train_seconds"] + group["search_seconds"]).mean(),
                "speedup_flops": group["speedup_flops"].mean(),
                "speedup_seconds": group["speedup_seconds"].mean(),
                "search_share": 100 * (group["search_flops"] / group["total_flops"]).mean(),
                "spent": (paired["spent_flops"].to_numpy() / base["total_flops"].to_numpy()).mean()
                if len(paired)
                else float("nan"),
            }
        )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def compare_studies(studies: Sequence[StoredStudy]) -> pd.DataFrame:
    """`compare` for each study, one under the other.

    Raises:
        StudyError: a study has no finished trial yet.
    """
    parts = []
    for study in studies:
        table = compare(trials_frame(study), study.config.tolerance)
        if table.empty:
            raise StudyError(f"study {study.config.name!r} has no finished trial yet; run it first")
        parts.append(table)
    return pd.concat(parts, ignore_index=True)
