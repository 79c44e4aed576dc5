"""Curves of cost to target are the table's numbers."""

from __future__ import annotations

import pytest

from autoprog_search.analysis.targets import cost_to_target, target_curves
from tests.swept import EPOCHS, LENGTHS, swept_trials


@pytest.mark.parametrize("cost", ["flops", "seconds"])
def test_curves_are_means_over_seeds_in_units_of_full(cost):
    trials = swept_trials()
    curves = {c.method: c for c in target_curves(trials, EPOCHS, cost)}
    assert list(curves) == ["full", "linear", "autoprog", "random"]
    linear = curves["linear"]
    assert linear.epochs.tolist() == sorted(LENGTHS)
    assert linear.cost == pytest.approx(0.49 * linear.epochs / EPOCHS)
    runs = trials[(trials["method"] == "linear") & (trials["scheduled_epochs"] == 8)]["top1"]
    assert (linear.top1[0], linear.top1_se[0]) == (pytest.approx(runs.mean()), pytest.approx(runs.sem()))
    table = cost_to_target(trials, EPOCHS)
    row = table[(table["method"] == "linear") & (table["split"] == "test") & (table["cost"] == cost)].iloc[0]
    assert linear.crossing == pytest.approx(row["share"])
    assert linear.speedup == pytest.approx(row["speedup"])
    assert curves["random"].crossing is None  # its one length is above the target: its cost is a bound
    assert curves["random"].bound == "at most"
