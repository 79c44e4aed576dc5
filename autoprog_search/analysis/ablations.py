"""Ablations: each `METHOD+VARIANT` of a study against the plain METHOD, paired over seeds.

What is varied are growth settings, which are chosen on the validation split: so the difference is in validation
accuracy, and the test accuracy is only reported.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from autoprog_search.analysis.compare import paired_difference
from autoprog_search.errors import StudyError
from autoprog_search.methods.registry import VARIANT

COLUMNS = {
    "study": "study",
    "method": "METHOD or METHOD+VARIANT",
    "seeds": "seeds with a finished trial",
    "val_top1": "validation accuracy, mean over seeds, %",
    "val_top1_se": "its standard error, points",
    "top1": "test accuracy, mean over seeds, %",
    "top1_se": "its standard error, points",
    "difference": "validation accuracy minus the plain METHOD's of the same seed, mean, points",
    "difference_low": "95 % interval of the difference (Student's t over seeds), lower end",
    "difference_high": "upper end",
    "growth_top1": "validation accuracy just before and just after each growth, means over seeds, %: a list of pairs",
    "total_flops": "training and search FLOPs, mean",
    "speedup_flops": "full's FLOPs over the trial's, mean over seeds",
}


def ablations(trials: pd.DataFrame, epochs: float) -> pd.DataFrame:
    """One row a variant, a plain method that has one, and full; from each seed's first trial at the recipe's epochs.

    Returns:
        The columns of `COLUMNS`, in the order of the trials table; a plain method has no difference.

    Raises:
        StudyError: no variant has a finished trial of that length.
    """
    done = trials[(trials["scheduled_epochs"] == epochs) & (trials["state"] == "COMPLETE")]
    done = done.sort_values("trial").groupby(["method", "seed"], sort=False).head(1)
    by_method = {str(method): group.set_index("seed").sort_index() for method, group in done.groupby("method")}
    variants = [name for name in by_method if VARIANT in name]
    if not variants:
        raise StudyError(f"ablations: there is no finished trial of a METHOD{VARIANT}VARIANT at {epochs:g} epochs")
    shown = {"full", *variants, *(name.partition(VARIANT)[0] for name in variants)}
    rows = []
    for method in (name for name in trials["method"].unique() if name in by_method and name in shown):
        group, (base, plus, _) = by_method[method], method.partition(VARIANT)
        plain = by_method[base] if plus and base in by_method else group[:0]
        names = ("difference", "difference_low", "difference_high")
        rows.append(
            {
                "study": group["study"].iloc[0],
                "method": method,
                "seeds": len(group),
                **{name: group[name].mean() for name in ("val_top1", "top1", "total_flops", "speedup_flops")},
                **{f"{name}_se": group[name].std(ddof=1) / np.sqrt(len(group)) for name in ("val_top1", "top1")},
                **paired_difference(group["val_top1"], plain["val_top1"], *names),
                "growth_top1": _growths(group["growth_top1"]),
            }
        )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _growths(stored: pd.Series) -> list[list[float]]:
    """Of the stages that grew in every run, mean accuracies before and after."""
    stages = [stage for stage in zip(*stored.dropna(), strict=False) if all(stage)]
    return [[float(np.mean(side)) for side in zip(*stage, strict=True)] for stage in stages]
