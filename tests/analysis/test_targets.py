"""Cost to target against curves whose crossing is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import isotonic_regression

from autoprog_search.analysis.targets import (
    COLUMNS,
    COSTS,
    SPLITS,
    cost_to_target,
    crossing,
    headlines_by_length,
    non_decreasing,
    sweeps,
)
from autoprog_search.errors import StudyError
from autoprog_search.runs.row import COLUMNS as TRIALS
from tests.swept import EPOCHS, swept_trials, trial_row

FULL = 1e12  # FLOPs of full at the recipe's epochs


def table_of(**methods: list[tuple[float, float, float]]) -> pd.DataFrame:
    """Trials (epochs, share of FULL, accuracy) of each method, on three seeds that differ by nothing."""
    rows = [
        trial_row(method, seed, trial, epochs, share * FULL, top1)
        for method, points in methods.items()
        for seed in range(3)
        for trial, (epochs, share, top1) in enumerate(points)
    ]
    return pd.DataFrame(rows, columns=[column.name for column in TRIALS])


def row_of(trials: pd.DataFrame, method: str, split: str = "test", cost: str = "flops", **more: float) -> pd.Series:
    table = cost_to_target(trials, EPOCHS, **more).set_index(["method", "split", "cost"])
    return table.loc[(method, split, cost)]


# Full: a point of accuracy a halving of the cost, so the target, 0.2 below, costs 2^-0.2.
SWEPT_FULL = [(20, 1.0, 98.0), (10, 0.5, 97.0), (5, 0.25, 96.0)]


@pytest.mark.parametrize("margin", [0.0, 0.2, 1.0, 1.5])
def test_a_curve_that_is_straight_in_log_cost(margin):
    table = cost_to_target(table_of(full=SWEPT_FULL), EPOCHS, margin)
    assert list(zip(table["split"], table["cost"], strict=True)) == [(s, c) for s in SPLITS for c in COSTS]
    assert table["share"].tolist() == pytest.approx([2**-margin] * 6)
    assert table["speedup"].tolist() == pytest.approx([2**margin] * 6)
    assert table["target"].tolist() == pytest.approx([98 - margin] * 3 + [97.5 - margin] * 3)
    for end in ("share_low", "share_high"):  # the seeds do not differ
        assert table[end].tolist() == pytest.approx(table["share"].tolist())
    assert set(table["bound"]) == {""}
    assert set(zip(table["seeds"], table["lengths"], table["reached"], strict=True)) == {(3, 3, 100)}


def test_a_cheaper_method_and_the_columns():
    """From 97 % at 0.2 to 98 % at 0.4: 97.8 % after 0.8 of the doubling."""
    trials = table_of(full=SWEPT_FULL, linear=[(20, 0.4, 98.0), (10, 0.2, 97.0)])
    assert row_of(trials, "linear")["share"] == pytest.approx(0.2 * 2**0.8)
    table = cost_to_target(trials, EPOCHS)
    assert list(table.columns) == list(COLUMNS)
    assert list(table["method"]) == ["full"] * 6 + ["linear"] * 6


def test_not_reached_costs_more_than_the_longest_run():
    row = row_of(table_of(full=SWEPT_FULL, linear=[(20, 0.4, 97.7), (10, 0.2, 97.0)]), "linear")
    assert (row["bound"], row["reached"]) == ("more than", 0)
    assert row["share"] == pytest.approx(0.4)
    assert row["share_high"] == np.inf
    assert row["speedup_low"] == 0


def test_above_the_target_from_the_cheapest_run_on():
    row = row_of(table_of(full=SWEPT_FULL, linear=[(20, 0.4, 98.0), (10, 0.2, 97.9)]), "linear")
    assert row["bound"] == "at most"
    assert row["share"] == pytest.approx(0.2)


def test_a_lucky_length_alone_does_not_reach_the_target():
    """98.2, then 97.4 for more: together 97.8 is as much as this method shows, and 98 is not reached."""
    trials = table_of(full=SWEPT_FULL, linear=[(20, 0.4, 97.4), (10, 0.2, 98.2), (5, 0.1, 96.8)])
    assert row_of(trials, "linear", margin=0.0)["bound"] == "more than"
    assert row_of(trials, "linear", margin=0.5)["share"] == pytest.approx(0.1 * 2**0.7)


def test_a_search_over_trials_pays_for_all_of_them():
    """Trial 1 stands: the cheapest within the margin on validation. It is 0.3 of full's cost, the search all three."""
    trials = table_of(full=SWEPT_FULL, random=[(20, 0.5, 98.0), (20, 0.3, 97.9), (20, 0.2, 97.0)])
    assert row_of(trials, "random")["share"] == pytest.approx(1.0)
    assert row_of(trials, "random", cost="seconds")["share"] == pytest.approx(1.0)
    assert row_of(trials, "random", cost="flops_without_search")["share"] == pytest.approx(0.3)


def test_the_search_inside_a_run_is_charged_unless_left_out():
    trials = table_of(full=SWEPT_FULL, autoprog=[(20, 0.4, 98.0), (10, 0.2, 97.0)])
    ours = trials["method"] == "autoprog"
    trials.loc[ours, "search_flops"] = 0.1 * trials.loc[ours, "total_flops"]
    trials.loc[ours, "train_flops"] = 0.9 * trials.loc[ours, "total_flops"]
    with_search = row_of(trials, "autoprog")["share"]
    assert with_search == pytest.approx(0.2 * 2**0.8)
    assert row_of(trials, "autoprog", cost="flops_without_search")["share"] == pytest.approx(0.9 * with_search)


def test_seeds_are_resampled_in_pairs_and_always_alike():
    """A method that is full plus a constant, seed by seed, meets full's accuracy at the same cost in every resample."""
    trials = swept_trials()
    full = trials[trials["method"] == "full"]
    costs = ("train_flops", "total_flops", "own_flops")
    half = full.assign(method="linear", **{name: full[name] / 2 for name in costs})
    both = pd.concat([full, half], ignore_index=True)
    table = cost_to_target(both, EPOCHS)
    pd.testing.assert_frame_equal(table, cost_to_target(both, EPOCHS))
    flops = table[table["cost"] == "flops"].set_index(["method", "split"])
    for name in ("share", "share_low", "share_high"):
        assert flops.loc["linear", name].tolist() == pytest.approx((flops.loc["full", name] / 2).tolist())
    assert (flops["share_low"] < flops["share"]).all()
    assert (flops["share"] < flops["share_high"]).all()


def test_only_seeds_with_every_length_count():
    trials = swept_trials(seeds=4)
    trials.loc[(trials["method"] == "linear") & (trials["seed"] == 1) & (trials["trial"] == 2), "state"] = "FAIL"
    trials.loc[(trials["method"] == "full") & (trials["seed"] == 2), "state"] = "WAITING"
    seeds = {sweep.method: sweep.seeds.tolist() for sweep in sweeps(headlines_by_length(trials), EPOCHS)}
    assert seeds == {"full": [0, 1, 3], "linear": [0, 3], "autoprog": [0, 1, 3], "random": [0, 1, 3]}


def test_one_seed_has_no_interval():
    row = row_of(swept_trials(seeds=1), "linear")
    assert np.isfinite(row["share"])
    assert np.isnan([row["share_low"], row["speedup_high"], row["reached"]]).all()


def test_without_full_there_is_no_target():
    with pytest.raises(StudyError, match="no finished trial of full at 20 epochs"):
        cost_to_target(table_of(linear=SWEPT_FULL), EPOCHS)
    with pytest.raises(StudyError, match="no finished trial of full at 20 epochs"):
        cost_to_target(table_of(full=SWEPT_FULL[1:]), EPOCHS)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=8))
def test_the_monotone_curve_is_isotonic_regression(values):
    both = non_decreasing(np.array([values, values[::-1]]))
    assert both[0] == pytest.approx(isotonic_regression(values).x, abs=1e-9)
    assert both[1] == pytest.approx(isotonic_regression(values[::-1]).x, abs=1e-9)


def test_crossings_of_several_curves_at_once():
    accuracy, cost = np.array([[1.0, 2, 3]] * 3), np.array([[1.0, 10, 100]] * 3)
    paid, point = crossing(accuracy, cost, np.array([0.5, 2.5, 3.5]))
    assert paid.tolist() == pytest.approx([1, 10**1.5, np.inf])
    assert point.tolist() == [0, 2, 3]
