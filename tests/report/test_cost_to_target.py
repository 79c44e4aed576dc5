"""The cost-to-target figure shows what the table says."""

from __future__ import annotations

import numpy as np

from autoprog_search.analysis.targets import target_curves
from autoprog_search.report.cost_to_target import draw_target_curves
from tests.swept import EPOCHS, swept_trials


def test_drawing_marks_each_crossing_and_the_target():
    curves = target_curves(swept_trials(), EPOCHS, "flops")
    figure = draw_target_curves(curves, "FLOPs")
    rings = [trace for trace in figure.data if trace.marker.symbol == "circle-open"]
    assert [ring.x[0] for ring in rings] == [c.crossing for c in curves if c.crossing is not None]
    assert {ring.y[0] for ring in rings} == {figure.layout.shapes[0].y0}
    names = [f"{c.method} {'≥ ' * (c.bound == 'at most')}{c.speedup:.2f}×" for c in curves]
    assert [trace.name for trace in figure.data if trace.name] == names
    low, high = 10 ** np.array(figure.layout.xaxis.range)
    assert all((low < c.cost).all() and (c.cost < high).all() for c in curves)


def test_one_seed_has_no_error_bars():
    curves = target_curves(swept_trials(seeds=1), EPOCHS, "flops")
    assert all(np.isnan(c.top1_se).all() for c in curves)
    draw_target_curves(curves, "FLOPs")
