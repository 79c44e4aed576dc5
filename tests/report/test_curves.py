"""Curves are drawn a line a trial."""

from __future__ import annotations

import pandas as pd

from autoprog_search.analysis.curves import validation_curves
from autoprog_search.analysis.headline import headline
from autoprog_search.report.curves import draw_curves
from autoprog_search.study.results import curves_frame, trials_frame


def test_a_line_a_trial_and_a_colour_a_method(study):
    curves = validation_curves(curves_frame(study), headline(trials_frame(study), 0.5), "flops")
    figure = draw_curves(curves)
    assert len(figure.data) == len(curves)
    assert len({trace.line.color for trace in figure.data}) == 6


def test_no_curves():
    assert validation_curves(pd.DataFrame(), pd.DataFrame(), "flops") == {}
    assert len(draw_curves({}).data) == 0
