"""Regret: hypervolumes by hand and by Optuna, and what matching AutoProg takes, on made-up trials."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna._hypervolume import compute_hypervolume

from autoprog_search.analysis.regret import (
    COLUMNS,
    REFERENCE,
    _scored,
    hypervolume,
    interquartile,
    regret_curves,
    regret_summary,
    scored,
)
from autoprog_search.errors import ConfigError, StudyError
from autoprog_search.report.figures import FIGURES
from autoprog_search.report.regret import draw_regret
from autoprog_search.report.texts import regret_rows
from autoprog_search.space import Levels
from autoprog_search.study.creation import create_study
from autoprog_search.study.resolve import make_config
from autoprog_search.study.results import stored_frames
from autoprog_search.tables.loading import load_table
from autoprog_search.tables.table import GrowthTable
from tests.synthetic import synthetic_study
from tests.tabulated import SPACE, cost, write_artificial
from tests.tiny import run_here

FULL: Levels = ((1, 1), (1, 1), (1, 1))  # 2560 FLOPs; the cheapest is 1440
CHEAPEST: Levels = ((0, 0), (0, 0), (1, 1))
MIDDLE: Levels = ((1, 0), (1, 0), (1, 1))  # 1600


def accuracy(levels: Levels, seed: int) -> float:
    """The cheapest is worst, the middle one best, all others between."""
    return {CHEAPEST: 90.0, MIDDLE: 100.0}.get(levels, 95.0)


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> GrowthTable:
    return load_table(str(write_artificial(tmp_path_factory.mktemp("t") / "t.parquet", accuracy=accuracy)))


def trial(method: str, seed: int, number: int, levels: Levels, more: float = 0.0) -> dict[str, object]:
    chosen = [SPACE.at(*pair) for pair in levels]
    return {
        "method": method,
        "seed": seed,
        "trial": number,
        "depths": [s.depth for s in chosen],
        "patches": [s.patches for s in chosen],
        "total_flops": cost(levels) + more,
    }


@pytest.fixture(scope="module")
def rows(table) -> pd.DataFrame:
    return _scored(
        pd.DataFrame(
            [
                trial("autoprog", 0, 0, MIDDLE, more=64),
                trial("autoprog", 1, 0, MIDDLE, more=64),
                trial("random", 0, 0, FULL),
                trial("random", 0, 1, MIDDLE),
                trial("random", 0, 2, CHEAPEST),
                trial("random", 1, 0, FULL),
                trial("random", 1, 1, CHEAPEST),
                trial("random", 1, 2, FULL),
            ]
        ),
        table,
    )


def test_hypervolume_of_a_staircase():
    costs, values = np.array([0.5, 0.0, 0.7, 2.0]), np.array([1.0, 0.5, 0.2, 5.0])
    # (0, 0.5) from -0.1 up, then (0.5, 1) above it; the third is dominated, the last too dear.
    assert hypervolume(costs, values) == pytest.approx(1.1 * 0.6 + 0.6 * 0.5)
    assert hypervolume(np.array([]), np.array([])) == 0


@given(st.lists(st.tuples(st.floats(0, 1.2), st.floats(-0.2, 1.0)), min_size=1, max_size=12))
def test_hypervolume_is_optunas(points):
    costs, values = np.array(points).T
    losses = np.stack((costs, -values), axis=1)
    inside = losses[(losses < (REFERENCE[0], -REFERENCE[1])).all(axis=1)]
    expected = compute_hypervolume(inside, np.array([REFERENCE[0], -REFERENCE[1]])) if len(inside) else 0.0
    assert hypervolume(costs, values) == pytest.approx(expected)


def test_regret_after_every_trial(rows):
    at, between = (1600 - 1440) / (2560 - 1440), (1520 - 1440) / (2560 - 1440)  # costs of the middle one, of one below
    whole = 1.1 * 0.1 + (1.1 - between) * 0.5 + (1.1 - at) * 0.5
    expected = [(1.1 - 1) * 0.6, (1.1 - at) * 1.1, 1.1 * 0.1 + (1.1 - at) * 1.0]
    random = rows[(rows["method"] == "random") & (rows["seed"] == 0)]
    assert random["regret"].tolist() == pytest.approx([1 - volume / whole for volume in expected])
    assert random["spent"].tolist() == pytest.approx([1, (2560 + 1600) / 2560, (2560 + 1600 + 1440) / 2560])


def test_what_matching_autoprog_takes(rows):
    table = regret_summary(rows).set_index("method")
    assert list(table.reset_index().columns) == list(COLUMNS)
    random, ours = table.loc["random"], table.loc["autoprog"]
    # Seed 0 finds the same schedule second, without the search's cost; seed 1 never does: the lower median is seed 0's.
    assert (random["match"], random["match_never"]) == (pytest.approx(4160 / 2560), 50)
    assert (random["volume"], random["volume_never"]) == (pytest.approx(4160 / 2560), 50)
    assert (ours["match"], ours["match_never"]) == (pytest.approx(1664 / 2560), 0)
    assert ours["spent"] == pytest.approx(1664 / 2560)
    assert random["trials"] == 3
    assert (ours["rank"], random["rank"]) == (1.5, 1.5)  # each is better on one seed
    assert regret_rows(table.reset_index())[1]["until autoprog's run"] == "1.62× (never: 50 %)"


def test_without_autoprog_there_is_nothing_to_match(rows):
    table = regret_summary(rows[rows["method"] == "random"])
    assert table["match"].isna().all()
    assert regret_rows(table)[0]["until autoprog's run"] == "–"


def test_curves_step_down_where_trials_end(rows):
    curves = regret_curves(rows, budgets=561)
    random = curves.methods.index("random")
    means = rows[rows["method"] == "random"].groupby("trial")["regret"].mean()
    first = np.searchsorted(curves.budgets, 1.0)
    assert curves.regret[random][0] == 1
    assert curves.regret[random][first + 2] == pytest.approx(means[0])
    assert curves.regret[random][-1] == pytest.approx(means[2])
    assert (np.diff(curves.regret, axis=1) <= 1e-12).all()
    assert (curves.low <= curves.regret).all()
    assert (curves.regret <= curves.high).all()
    assert len(draw_regret(curves).data) == 4 * len(curves.methods)


def test_the_interquartile_mean_leaves_the_outer_quarters_out():
    mean, low, high = interquartile(np.array([[0.0], [1.0], [2.0], [1000.0]]))
    assert mean[0] == 1.5
    assert low[0] <= 1.5 <= high[0]
    single = interquartile(np.array([[3.0]]))
    assert single[0][0] == 3
    assert np.isnan(single[1][0])


def test_a_study_on_a_table_is_drawn(tmp_path):
    file = write_artificial(tmp_path / "t.parquet", accuracy=accuracy)
    data = {"name": f"table:{file}"}
    config = make_config("on", space=None, data=data, methods=["autoprog", "random"], trials=2, seeds=2)
    study = create_study(tmp_path, config)
    with pytest.raises(StudyError, match="no finished trial"):
        FIGURES["regret"].draw(stored_frames(study), "flops")
    run_here(study)
    assert len(FIGURES["regret"].draw(stored_frames(study), "flops").data) == 8
    with pytest.raises(ConfigError, match="got 'seconds'"):
        FIGURES["regret"].draw(stored_frames(study), "seconds")


def test_a_study_on_no_table_is_measured_against_its_own_trials():
    """Seed by seed, on those that every method has; hypervolumes by Optuna."""
    study = stored_frames(synthetic_study(methods=("full", "random")))
    study.trials.loc[(study.trials["method"] == "random") & (study.trials["seed"] == 2), "state"] = "FAIL"
    stopped = (study.trials["method"] == "random") & (study.trials["trial"] == 1)
    study.trials.loc[stopped, "state"] = "PRUNED"
    rows = scored(study)
    assert set(rows["seed"]) == {0, 1}
    assert [int(n) for n in rows[rows["seed"] == 0]["trial"]] == [0, 0, 2, 3, 4]
    for seed in (0, 1):
        ran = study.trials[study.trials["seed"] == seed]
        ended = ran[ran["state"] == "COMPLETE"]
        full = ended[ended["method"] == "full"]["total_flops"].iloc[0]
        cheapest, worst = ended["total_flops"].min(), ended["val_top1"].min()
        losses = np.stack(
            [
                (ended["total_flops"] - cheapest) / (full - cheapest),
                -(ended["val_top1"] - worst) / (ended["val_top1"].max() - worst),
            ],
            axis=1,
        )
        corner = np.array([REFERENCE[0], -REFERENCE[1]])
        whole = compute_hypervolume(losses, corner)
        own = rows[(rows["method"] == "random") & (rows["seed"] == seed)]
        drawn = losses[(ended["method"] == "random").to_numpy()]
        expected = [1 - compute_hypervolume(drawn[: n + 1], corner) / whole for n in range(len(drawn))]
        assert own["regret"].tolist() == pytest.approx(expected)
        paid = ran[ran["method"] == "random"]["own_flops"].cumsum() / full  # what was stopped was paid, too
        assert own["spent"].tolist() == pytest.approx(paid.iloc[[0, 2, 3, 4]].tolist())


def test_without_a_seed_of_every_method_there_is_no_regret():
    study = stored_frames(synthetic_study(seeds=2, methods=("full", "random")))
    study.trials["state"] = "FAIL"
    with pytest.raises(StudyError, match="no finished trial yet"):
        scored(study)
    study.trials.loc[(study.trials["method"] == "random") & (study.trials["seed"] == 0), "state"] = "COMPLETE"
    with pytest.raises(StudyError, match="no seed with full, the unit of compute"):
        scored(study)
    study.trials.loc[(study.trials["method"] == "full") & (study.trials["seed"] == 1), "state"] = "COMPLETE"
    with pytest.raises(StudyError, match="no seed with a finished trial of every method"):
        scored(study)
