"""Ablations: each `METHOD+VARIANT` of a study against the plain METHOD, paired over seeds.

What is varied are growth settings, which are chosen on the validation split: so the difference is in validation
accuracy, and the test accuracy is only reported.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from autoprog_search.methods.table import VARIANT
from autoprog_search.study.compare import equal_epochs, mean_interval

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
    "total_flops": "training and search FLOPs, mean",
    "speedup_flops": "full's FLOPs over the trial's, mean over seeds",
}


def ablations(trials: pd.DataFrame, epochs: float) -> pd.DataFrame:
    """One row a method or variant, from the first trial of each (method, seed) at the recipe's epochs.

    Returns:
        The columns of `COLUMNS`, in the order of the trials table; a plain method has no difference.
    """
    done = equal_epochs(trials, epochs)
    done = done[done["state"] == "COMPLETE"].sort_values("trial").groupby(["method", "seed"], sort=False).head(1)
    by_method = {str(method): group.set_index("seed").sort_index() for method, group in done.groupby("method")}
    rows = []
    for method in (name for name in trials["method"].unique() if name in by_method):
        group, (base, plus, _) = by_method[method], method.partition(VARIANT)
        differences = pd.Series(dtype=float)
        if plus and base in by_method:
            differences = (group["val_top1"] - by_method[base]["val_top1"]).dropna()
        difference = mean_interval(differences.tolist())
        rows.append(
            {
                "study": group["study"].iloc[0],
                "method": method,
                "seeds": len(group),
                "val_top1": group["val_top1"].mean(),
                "val_top1_se": group["val_top1"].std(ddof=1) / np.sqrt(len(group)),
                "top1": group["top1"].mean(),
                "top1_se": group["top1"].std(ddof=1) / np.sqrt(len(group)),
                "difference": difference.mean,
                "difference_low": difference.low,
                "difference_high": difference.high,
                "total_flops": group["total_flops"].mean(),
                "speedup_flops": group["speedup_flops"].mean(),
            }
        )
    return pd.DataFrame(rows, columns=list(COLUMNS))
