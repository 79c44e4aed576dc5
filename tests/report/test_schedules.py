"""Schedules are drawn as two panels of staircases."""

from __future__ import annotations

from autoprog_search.analysis.headline import headline
from autoprog_search.analysis.schedules import staircases
from autoprog_search.report.schedules import draw_schedules
from autoprog_search.study.results import trials_frame


def test_drawing_has_two_panels_and_one_legend_entry_a_method(study):
    stairs = staircases(headline(trials_frame(study), 0.5))
    figure = draw_schedules(stairs)
    assert len(figure.data) == 2 * 6
    assert {trace.line.shape for trace in figure.data} == {"hv"}
    assert [trace.name for trace in figure.data if trace.showlegend] == list(
        dict.fromkeys(method for method, _, _ in stairs)
    )
    first = next(iter(stairs.values()))
    shown = list(figure.data[0].customdata)[: len(first)]
    assert shown == first["depth"].tolist()  # hovering shows what is, not the shifted line


def test_nothing_can_be_drawn():
    assert len(draw_schedules({}).data) == 0
