"""Estimated ranks against true ones, on a table whose truth is written down."""

from __future__ import annotations

from statistics import fmean

import pandas as pd
import pytest
from scipy import stats

from autoprog_search.analysis.ranks import estimated_ranks
from autoprog_search.errors import StudyError
from autoprog_search.schedule import SubNetwork
from autoprog_search.study.resolve import make_config
from autoprog_search.study.results import StudyFrames, stored_frames
from autoprog_search.tables.loading import load_table, table_like
from tests.synthetic import synthetic_study
from tests.tabulated import SPACE, rising, write_artificial

CANDIDATES = [SPACE.at(i, j) for i in (0, 1) for j in (0, 1)]
LOSSES = (1.0, 0.9, 0.5, 0.7)  # of these; chosen: the third


def estimates(chosen: SubNetwork = CANDIDATES[2]) -> pd.DataFrame:
    rows = [
        {"method": "autoprog", "seed": 0, "trial": 0, "stage": 1, "depth": c.depth, "patches": c.patches,
         "loss": loss, "decrease": None, "chosen": c == chosen}
        for c, loss in zip(CANDIDATES, LOSSES, strict=True)
    ]  # fmt: skip
    return pd.DataFrame(rows)


@pytest.fixture
def study(tmp_path) -> StudyFrames:
    data = {"name": f"table:{write_artificial(tmp_path / 'nine.parquet')}"}
    config = make_config("t", space=None, data=data, methods=("full", "autoprog"), trials=1, seeds=2)
    nothing = pd.DataFrame()
    return StudyFrames(config, pd.DataFrame({"seed": [0, 1]}), nothing, estimates(), nothing)


def test_ranks_are_those_of_the_other_seeds_runs(study):
    found = estimated_ranks(study)
    of_run = found[found["end"] == "run"]
    assert set(found["end"]) == {"stage", "run"}
    assert set(found["searches"]) == {1}
    trained = [
        fmean(rising(levels, 1) for levels in SPACE.enumerate() if levels[0] == SPACE.levels_of(c)) for c in CANDIDATES
    ]
    true = stats.rankdata([-accuracy for accuracy in trained])
    by_place = dict(zip(stats.rankdata(LOSSES).astype(int), true, strict=True))
    assert of_run["estimated"].is_monotonic_increasing  # a line is drawn through them
    assert dict(zip(of_run["estimated"], of_run["true"], strict=True)) == by_place
    assert of_run["tau"].unique() == pytest.approx(stats.kendalltau(LOSSES, [-a for a in trained]).statistic)


def test_what_has_no_truth_says_so():
    study = stored_frames(synthetic_study())
    with pytest.raises(StudyError, match=r"has no true ranks: no table \(fashion\) has space 'digits'"):
        estimated_ranks(study)
    with pytest.raises(StudyError, match="no one-shot estimates"):
        estimated_ranks(stored_frames(synthetic_study(methods=("full", "linear"))))


def test_the_packages_table_is_found_by_its_settings():
    info = load_table("fashion").info
    assert table_like(info.space, info.recipe, info.data).name == "fashion"
