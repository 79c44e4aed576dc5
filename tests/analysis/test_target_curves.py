"""Curves of cost to target are the table's numbers."""

from __future__ import annotations

import pytest

from autoprog_search.analysis.targets import cost_to_target, target_curves
from tests.swept import EPOCHS, LENGTHS, swept_trials


@pytest.mark.parametrize("cost", ["flops", "seconds"])
def test_curves_are_means_over_seeds_in_units_of_full(cost):
    trials = swept_trials()
    curves = target_curves(trials, EPOCHS, cost)
    assert list(curves) == ["full", "linear", "autoprog", "random"]
    linear, met = curves["linear"]
    assert linear["epochs"].tolist() == sorted(LENGTHS)
    assert linear["cost"].tolist() == pytest.approx((0.49 * linear["epochs"] / EPOCHS).tolist())
    runs = trials[(trials["method"] == "linear") & (trials["scheduled_epochs"] == 8)]["top1"]
    assert (linear["top1"][0], linear["top1_se"][0]) == (pytest.approx(runs.mean()), pytest.approx(runs.sem()))
    table = cost_to_target(trials, EPOCHS)
    row = table[(table["method"] == "linear") & (table["split"] == "test") & (table["cost"] == cost)].iloc[0]
    assert met["bound"] == ""
    assert met["share"] == pytest.approx(row["share"])
    assert met["speedup"] == pytest.approx(row["speedup"])
    assert curves["random"][1]["bound"] == "at most"  # its one length is above the target: its cost is a bound
