"""The figure of the Pareto front shows every trial."""

from __future__ import annotations

from autoprog_search.analysis.pareto import pareto_front
from autoprog_search.report.pareto import draw_pareto_front
from autoprog_search.study.results import trials_frame
from tests.synthetic import frame_of


def test_drawing_shows_every_trial_with_its_schedule(study):
    figure = draw_pareto_front(pareto_front(trials_frame(study), "flops"))
    hovers = [text for trace in figure.data for text in trace.text or ()]
    assert len(hovers) == 40
    assert sum("depth 4 → 5 → 6 → 8; 12 → 16 → 20 → 24 px" in text for text in hovers) >= 3
    assert "GFLOPs" in figure.layout.xaxis.title.text


def test_nothing_can_be_drawn():
    front = pareto_front(frame_of([]), "seconds")
    assert front.methods == ()
    draw_pareto_front(front)
