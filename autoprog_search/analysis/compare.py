"""Who wins: each method's headline trials against `full` of the same seed, paired (docs/results.md)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import special

from autoprog_search.analysis.headline import headline
from autoprog_search.analysis.margin import MARGIN, check_margin
from autoprog_search.analysis.noninferiority import noninferiority
from autoprog_search.errors import StudyError
from autoprog_search.study.results import trials_frame
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
    "paired": "seeds that full has finished too: those of the difference",
    "trained": "different runs of full among these: fewer where a table answers more seeds than it was trained with",
    "spread": "standard deviation of the difference over these seeds, points",
    "margin": "loss that would do no harm, points",
    "p_margin": "one-sided p-value against a loss of the margin or more: to 0.025 none is shown; missing: not testable",
    "seeds_if_equal": "seeds that would show it, with a power of 80 %, if in truth nothing is lost",
    "seeds_if_measured": "the same if as much is lost as was measured; infinite (missing in files) if none would",
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


ERRORS = ("top1_se", "difference_low", "difference_high")  # that none has where seeds look the same runs up again
MEANS = ("top1", "val_top1", "total_flops", "speedup_flops", "speedup_seconds")  # over seeds, of the same columns


def mean_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """The mean and the ends of its 95 % interval (Student's t), NaN for a single value."""
    array = np.asarray(values, dtype=float)
    mean = float(array.mean()) if len(array) else float("nan")
    if len(array) < 2:
        return mean, float("nan"), float("nan")
    half = float(special.stdtrit(len(array) - 1, 0.975) * array.std(ddof=1) / np.sqrt(len(array)))
    return mean, mean - half, mean + half


def paired_difference(own: pd.Series[float], reference: pd.Series[float], *names: str) -> dict[str, float]:
    """`mean_interval` of values indexed by seed, over the seeds that both have, as columns of these three names."""
    return dict(zip(names, mean_interval((own - reference).dropna().tolist()), strict=True))


def compare(frame: pd.DataFrame, tolerance: float, margin: float = MARGIN) -> pd.DataFrame:
    """One row a method, from a study's trials table.

    Args:
        tolerance: within which of full's validation accuracy a cheaper trial makes the headline, points.
        margin: of test accuracy, that may be lost (`analysis.noninferiority`), points.

    Returns:
        The columns of `COLUMNS`, in the order of the methods in `frame`.

    Raises:
        ConfigError: no such margin.
    """
    check_margin(margin)
    heads = headline(frame, tolerance)
    full, short = (heads[heads["method"] == name].set_index("seed") for name in ("full", "full-short"))
    rows = []
    for method, group in heads.groupby("method", sort=False):
        paired = group[group["seed"].isin(full.index)]
        own = group.set_index("seed")["top1"]
        spent = paired["spent_flops"].to_numpy() / full.loc[paired["seed"], "total_flops"].to_numpy()
        tested = _within_margin(own, full, margin)
        row = {
            "study": group["study"].iloc[0],
            "method": method,
            "seeds": len(group),
            "trials": int(group["trials"].sum()),
            **{name: group[name].mean() for name in MEANS},
            "top1_se": group["top1"].std(ddof=1) / np.sqrt(len(group)),
            **paired_difference(own, full["top1"], "difference", "difference_low", "difference_high"),
            **tested,
            **paired_difference(own, short["top1"], "short_difference", "short_low", "short_high"),
            "seconds": (group["train_seconds"] + group["search_seconds"]).mean(),
            "search_share": 100 * (group["search_flops"] / group["total_flops"]).mean(),
            "spent": spent.mean() if len(spent) else float("nan"),
        }
        rows.append(row | (dict.fromkeys(ERRORS, float("nan")) if tested["trained"] < tested["paired"] else {}))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _within_margin(own: pd.Series[float], full: pd.DataFrame, margin: float) -> dict[str, float]:
    """Of the test, its columns. Seeds that look the same runs up again are no more runs, so they test nothing."""
    found = noninferiority((own - full["top1"]).dropna().tolist(), margin)
    trained = len(full[full.index.isin(own.index)][["loss", "top1", "val_top1"]].drop_duplicates())
    whole = trained == found.seeds
    return {
        "paired": found.seeds,
        "trained": trained,
        "spread": found.spread,
        "margin": margin,
        "p_margin": found.p if whole else float("nan"),
        "seeds_if_equal": found.seeds_if_equal if whole else float("nan"),
        "seeds_if_measured": found.seeds_if_measured if whole else float("nan"),
    }


def compare_study(study: StoredStudy, margin: float = MARGIN) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A study's trials table as it is now, and what `compare` makes of it.

    Raises:
        ConfigError: no such margin.
        StudyError: the study has no finished trial yet.
    """
    trials = trials_frame(study)
    table = compare(trials, study.config.tolerance, margin)
    if table.empty:
        raise StudyError(f"study {study.config.name!r} has no finished trial yet; run it first")
    return trials, table
