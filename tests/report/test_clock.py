"""Clocks are drawn a lane a run and a column an axis."""

from __future__ import annotations

import pandas as pd
import pytest

from autoprog_search.analysis.clock import clocks, rates
from autoprog_search.errors import StudyError
from autoprog_search.report.clock import draw_clocks
from autoprog_search.report.colours import colour_of
from autoprog_search.report.figures import FIGURES
from autoprog_search.settings.recipe import Recipe
from autoprog_search.study.results import stored_frames
from tests.synthetic import clock_rows


def drawn():
    frame = pd.DataFrame(
        [*clock_rows("autoprog", 0, 419.0), *clock_rows("autoprog", 1, None), *clock_rows("tpe", 0, 90.0)]
    )
    heads = pd.DataFrame({"method": ["autoprog", "autoprog", "tpe"], "seed": [0, 1, 0], "trial": [0, 0, 0]})
    return draw_clocks(clocks(frame, heads), rates(Recipe()))


def test_a_lane_says_what_was_expected_and_what_came():
    figure = drawn()
    texts = [trace.text[0] for trace in figure.data if trace.mode == "text"]
    assert texts == ["200 → 419", "200 → > 490", "200 → 90"] * 2  # resolution, then depth
    assert list(figure.layout.yaxis3.ticktext) == ["tpe, seed 0", "autoprog, seed 1", "autoprog, seed 0"]
    came = [trace for trace in figure.data if trace.mode == "lines" and trace.line.width == 4 and trace.y[0] % 1 > 0.5]
    assert [trace.x[1] - trace.x[0] for trace in came] == pytest.approx([419 / 70, 90 / 70] * 2)
    assert {trace.line.color for trace in came} == {colour_of("autoprog"), colour_of("tpe")}


def test_deadlines_and_the_probe_are_marked_where_they_were():
    marked = [trace for trace in drawn().data if trace.showlegend is False and trace.mode == "markers"]
    probes = [trace for trace in marked if trace.marker.symbol == "diamond"]
    assert [list(trace.x) for trace in probes] == [[4.0]] * 6
    due = [trace for trace in marked if trace.marker.symbol == "line-ns"]
    assert [list(trace.x) for trace in due] == [[18.0, 18.0]] * 3 + [[29.0, 29.0, 29.0]] * 3
    assert [list(trace.text) for trace in due] == [[4.0, 18.0]] * 3 + [[4.0, 18.0, 29.0]] * 3


def test_a_study_whose_stages_are_given_has_no_clock(study):
    assert "stages are given" in FIGURES["clock"].silent(stored_frames(study))
    with pytest.raises(StudyError, match="no clock to draw: no finished trial grew under one"):
        FIGURES["clock"].draw(stored_frames(study), "flops")
