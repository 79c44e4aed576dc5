"""What stages on fewer patches are told apart by."""

from __future__ import annotations

import pandas as pd
import pytest

from autoprog_search.analysis.pareto import schedule_text
from autoprog_search.analysis.schedules import parallel_schedules, staircases
from autoprog_search.analysis.sizes import PATCHES, RESOLUTION, sizes_of


def trials_of(patches: list[list[int] | float], sides: list[list[int] | float]) -> pd.DataFrame:
    of_one = {"method": "linear", "seed": 0, "state": "COMPLETE", "val_top1": 90.0, "total_flops": 1e9}
    rows = [
        {**of_one, "trial": k, "depths": [2, 6], "patches": p, "resolutions": s, "stage_epochs": [1.0, 2.0]}
        for k, (p, s) in enumerate(zip(patches, sides, strict=True))
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("patches", "sides", "expected"),
    [
        ([[9, 25]], [[12, 20]], RESOLUTION),
        ([[25, 25]], [[20, 20]], RESOLUTION),  # of a trial that never grew in patches
        ([[9, 25]], [[20, 20]], PATCHES),  # dropped ones
        ([[9, 16, 25]], [[42, 40, 40]], PATCHES),  # larger ones
        ([[25, 25], [9, 25]], [[20, 20], [20, 20]], PATCHES),
        ([float("nan")], [float("nan")], RESOLUTION),  # of a trial that has not ended
    ],
)
def test_images_sides_unless_they_do_not_tell(patches, sides, expected):
    assert sizes_of(trials_of(patches, sides)) == expected


def test_schedules_of_dropped_patches_are_told_apart():
    trials = trials_of([[4, 25], [9, 25]], [[20, 20], [20, 20]])
    stairs = staircases(trials)
    assert [stair["patches"].tolist() for stair in stairs.values()] == [[4, 25, 25], [9, 25, 25]]
    assert "patches, stage 1" in parallel_schedules(trials, 3, "flops").axes
    assert schedule_text([2, 6], [4, 25], PATCHES.unit) == "depth 2 → 6; 4 → 25 patches"
