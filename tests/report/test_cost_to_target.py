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
    assert [ring.x[0] for ring in rings] == [met["share"] for _, met in curves.values() if not met["bound"]]
    assert {ring.y[0] for ring in rings} == {figure.layout.shapes[0].y0}
    names = [f"{m} {'≥ ' * (met['bound'] == 'at most')}{met['speedup']:.2f}×" for m, (_, met) in curves.items()]
    assert [trace.name for trace in figure.data if trace.name] == names
    low, high = 10 ** np.array(figure.layout.xaxis.range)
    assert all(points["cost"].between(low, high, inclusive="neither").all() for points, _ in curves.values())


def test_one_seed_has_no_error_bars():
    curves = target_curves(swept_trials(seeds=1), EPOCHS, "flops")
    assert all(points["top1_se"].isna().all() for points, _ in curves.values())
    draw_target_curves(curves, "FLOPs")
