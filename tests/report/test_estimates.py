"""Estimates are drawn a panel a stage."""

from __future__ import annotations

import numpy as np
import pandas as pd

from autoprog_search.analysis.estimates import stage_estimates
from autoprog_search.report.estimates import draw_estimates
from autoprog_search.study.results import estimates_frame


def test_drawing_marks_the_chosen_and_has_a_panel_a_stage(study):
    stages = stage_estimates(estimates_frame(study))
    figure = draw_estimates(stages, "FLOPs")
    filled = [trace for trace in figure.data if not trace.marker.symbol.endswith("-open")]
    assert len(filled) == len(stages)
    assert all(len(trace.x) == 3 for trace in filled)
    assert all(axis.type == "log" for axis in figure.select_xaxes() if axis.title.text)
    errors = np.concatenate([trace.error_y.array for trace in figure.data])
    assert (errors == 0.02).all()


def test_no_estimates_and_no_w():
    assert stage_estimates(pd.DataFrame()) == {}
    row = {"method": "autoprog", "seed": 0, "trial": 0, "stage": 2, "depth": 4, "patches": 9, "loss": 1.0}
    frame = pd.DataFrame([row | {"loss_se": 0.1, "cost": 2.0, "w": None, "margin": None, "chosen": True}])
    figure = draw_estimates(stage_estimates(frame), "s")
    assert figure.data[1].text[0].endswith("a step")
