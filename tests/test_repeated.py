"""What `make evidence-quick` says of runs that were made again."""

from __future__ import annotations

import pandas as pd
import pytest

from benchmarks.repeated import compared, means


def table(*rows: tuple[str, int, float, str]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["method", "seed", "top1", "state"])
    same = {"trial": 0, "scheduled_epochs": 9.0, "depths": "[2, 4]", "patches": "[4, 9]", "loss": 1.0}
    return frame.assign(**same, val_top1=frame["top1"], total_flops=8.0 + frame["seed"])


PUBLISHED = table(("full", 0, 80.0, "COMPLETE"), ("full", 1, 82.0, "COMPLETE"), ("linear", 0, 79.0, "COMPLETE"))


def test_only_what_both_finished_is_compared():
    again = table(("full", 0, 80.0, "COMPLETE"), ("full", 1, 82.0, "RUNNING"), ("linear", 7, 79.0, "COMPLETE"))
    both = compared(PUBLISHED, again)
    assert both[["method", "seed"]].to_numpy().tolist() == [["full", 0]]
    assert both["same"].all()


def test_a_last_bit_is_a_difference_and_means_tell_how_large():
    again = table(("full", 0, 80.5, "COMPLETE"), ("full", 1, 82.1, "COMPLETE"), ("linear", 0, 79.0, "COMPLETE"))
    both = compared(PUBLISHED, again)
    assert both["same"].tolist() == [False, False, True]
    full = means(both).loc[("full", 9.0)]
    assert full[["trials", "published", "again", "difference", "FLOPs"]].tolist() == [2, 81, 81.3, 0.3, 1]
    assert full["±"] == pytest.approx(0.2)  # half of what 0.5 and 0.1 are apart
