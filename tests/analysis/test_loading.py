"""Waiting is pooled over a method's runs, stage by stage."""

from __future__ import annotations

import pandas as pd

from autoprog_search.analysis.loading import waiting


def test_shares_are_of_the_time_of_all_runs():
    rows = [
        ("full", "COMPLETE", [1.0, 2.0], [10.0, 10.0]),
        ("full", "COMPLETE", [3.0, 0.0], [10.0, 30.0]),
        ("full", "FAIL", [9.0, 9.0], [9.0, 9.0]),
        ("linear", "COMPLETE", [0.0], [5.0]),
        ("tpe", "COMPLETE", None, None),
    ]
    found = waiting(pd.DataFrame(rows, columns=["method", "state", "loader_seconds", "stage_seconds"]))
    assert found.to_numpy().tolist() == [["full", 1, 20.0], ["full", 2, 5.0], ["linear", 1, 0.0]]
