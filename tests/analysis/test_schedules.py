"""Staircases are the stored schedules, and end at full size."""

from __future__ import annotations

from autoprog_search.analysis.headline import headline
from autoprog_search.analysis.schedules import staircases
from autoprog_search.study.results import trials_frame


def test_staircases_are_the_headline_schedules(study):
    heads = headline(trials_frame(study), 0.5)
    stairs = staircases(heads)
    assert list(stairs) == list(zip(heads["method"], heads["seed"], heads["trial"], strict=True))
    for s in stairs.values():
        assert tuple(s.iloc[-1][["depth", "resolution"]]) == (8, 24)  # the last stage always trains the full network
        assert s["depth"].is_monotonic_increasing
        assert s["resolution"].is_monotonic_increasing
    linear = next(s for (method, _, _), s in stairs.items() if method == "linear")
    assert linear["epochs"].tolist() == [0, 10, 20, 30, 40]
    assert linear["depth"].tolist() == [4, 5, 6, 8, 8]
    assert linear["resolution"].tolist() == [12, 16, 20, 24, 24]
