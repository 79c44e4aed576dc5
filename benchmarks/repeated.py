"""Whether runs that were made again are the published ones: `python -m benchmarks.repeated PUBLISHED AGAIN`.

Both are names of studies under `studies/`. On the CPU, with the same versions, every number of a run but its clock is
the same to the last bit. On another processor sums round differently, and training carries that far: then the methods'
means are shown side by side.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).parent.parent / "studies"
TRIAL = ["method", "seed", "trial"]
SAME = ["depths", "patches", "val_top1", "top1", "loss", "total_flops"]


def compared(published: pd.DataFrame, again: pd.DataFrame) -> pd.DataFrame:
    """The finished trials that both tables have, `same`: whether all columns of `SAME` are."""
    both = published.merge(again[again["state"] == "COMPLETE"], on=TRIAL, suffixes=("", "_again"))
    same = pd.concat([both[name] == both[f"{name}_again"] for name in SAME], axis=1).all(axis=1)
    return both.assign(same=same)


def means(both: pd.DataFrame) -> pd.DataFrame:
    """One row a (method, training length): test accuracy then and now, and the difference of the same seeds, points.

    `FLOPs`: now over then, which a search on other roundings may change.
    """
    both = both.assign(
        published=both["top1"],
        again=both["top1_again"],
        difference=both["top1_again"] - both["top1"],
        FLOPs=both["total_flops_again"] / both["total_flops"],
    )
    groups = both.groupby(["method", "scheduled_epochs"], sort=False)
    table = groups[["published", "again", "difference", "FLOPs"]].mean()
    table.insert(3, "±", groups["difference"].sem())
    table.insert(0, "trials", groups.size())
    return table.round(2)


def main() -> None:
    """Say how many trials are the same, and how far the others' means are apart; exit code 1 if there are none."""
    both = compared(*(pd.read_csv(ROOT / name / "results.csv") for name in sys.argv[1:]))
    print(f"{both['same'].sum()} of {len(both)} trials are the published ones, bit for bit")
    if not both["same"].all():
        print("The others, on another processor or with other versions; test accuracy, %:")
        print(means(both).to_string())
    sys.exit(0 if len(both) else 1)


if __name__ == "__main__":
    main()
