"""Whether runs that were made again are the published ones: `python -m benchmarks.repeated PUBLISHED AGAIN`.

Both are names of studies under `studies/`. On the CPU, with the same versions, every number of a run but its clock is
the same to the last bit; on another processor sums may round differently.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).parent.parent / "studies"
TRIAL = ["method", "seed", "trial"]
SAME = ["depths", "patches", "val_top1", "top1", "loss", "total_flops"]


def differing(published: pd.DataFrame, again: pd.DataFrame) -> tuple[int, pd.DataFrame]:
    """How many finished trials both tables have, and those of them that differ in a column of `SAME`."""
    both = published.merge(again[again["state"] == "COMPLETE"], on=TRIAL, suffixes=("", "_again"))
    different = pd.concat([both[name] != both[f"{name}_again"] for name in SAME], axis=1).any(axis=1)
    return len(both), both[different]


def main() -> None:
    """Say how many trials are the same; exit code 1 if none is there to compare."""
    published, again = (pd.read_csv(ROOT / name / "results.csv") for name in sys.argv[1:])
    count, other = differing(published, again)
    print(f"{count - len(other)} of {count} trials are the published ones, bit for bit")
    for row in other.to_dict("records"):
        print(
            f"  {row['method']} seed {row['seed']} trial {row['trial']}: test {row['top1_again']:.2f} % "
            f"(published {row['top1']:.2f} %)"
        )
    sys.exit(0 if count else 1)


if __name__ == "__main__":
    main()
