"""Curves are drawn a line a trial."""

from __future__ import annotations

import numpy as np
import pandas as pd

from autoprog_search.analysis.curves import validation_curves
from autoprog_search.analysis.headline import headline
from autoprog_search.report.curves import draw_curves
from autoprog_search.study.results import curves_frame, trials_frame


def test_a_line_a_trial_and_a_colour_a_method(study):
    """And a ring before each growth."""
    curves = validation_curves(curves_frame(study), headline(trials_frame(study), 0.5), "flops")
    figure = draw_curves(curves)
    lines = [trace for trace in figure.data if trace.mode == "lines+markers"]
    assert len({trace.line.color for trace in lines}) == len(lines) == 6
    assert sum(np.isnan(trace.x).sum() for trace in lines) == len(curves)  # a gap ends a trial's line
    rings = {trace.legendgroup: trace for trace in figure.data if trace.mode == "markers" and trace.legendgroup}
    assert len(rings["full"].x) == 0
    assert list(rings["linear"].text[:3]) == [
        "grows to 5 blocks, 16 patches",
        "grows to 6 blocks, 25 patches",
        "grows to 8 blocks, 36 patches",
    ]


def test_no_curves():
    assert validation_curves(pd.DataFrame(), pd.DataFrame(), "flops") == {}
    assert len(draw_curves({}).data) == 0
