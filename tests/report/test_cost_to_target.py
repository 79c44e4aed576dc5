"""The cost-to-target figure shows what the table says."""

from __future__ import annotations

import numpy as np
import pytest

from autoprog_search.analysis.targets import cost_to_target
from autoprog_search.report.cost_to_target import draw_target_curves, target_curves
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
    assert linear.speedup == f"{row['speedup']:.2f}×"
    assert curves["random"].crossing is None  # its one length is above the target: its cost is a bound
    assert curves["random"].speedup.startswith("≥ ")


def test_drawing_marks_each_crossing_and_the_target():
    curves = target_curves(swept_trials(), EPOCHS, "flops")
    figure = draw_target_curves(curves, "FLOPs")
    rings = [trace for trace in figure.data if trace.marker.symbol == "circle-open"]
    assert [ring.x[0] for ring in rings] == [c.crossing for c in curves if c.crossing is not None]
    assert {ring.y[0] for ring in rings} == {figure.layout.shapes[0].y0}
    assert [trace.name for trace in figure.data if trace.name] == [f"{c.method} {c.speedup}" for c in curves]
    low, high = 10 ** np.array(figure.layout.xaxis.range)
    assert all((low < c.cost).all() and (c.cost < high).all() for c in curves)


def test_one_seed_has_no_error_bars():
    curves = target_curves(swept_trials(seeds=1), EPOCHS, "flops")
    assert all(np.isnan(c.top1_se).all() for c in curves)
    draw_target_curves(curves, "FLOPs")
