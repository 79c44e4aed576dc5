"""Staircases are the stored schedules, and end at full size."""

from __future__ import annotations

import numpy as np

from autoprog_search.analysis.headline import headline
from autoprog_search.analysis.schedules import staircases
from autoprog_search.study.results import trials_frame


def test_staircases_are_the_headline_schedules(study):
    heads = headline(trials_frame(study), 0.5)
    stairs = staircases(heads)
    assert [(s.method, s.seed, s.trial) for s in stairs] == list(
        zip(heads["method"], heads["seed"], heads["trial"], strict=True)
    )
    for s in stairs:
        assert (s.depth[-1], s.resolution[-1]) == (8, 24)  # the last stage always trains the full network
        assert len(s.epochs) == len(s.depth) == len(s.resolution)
        assert (np.diff(s.depth) >= 0).all()
        assert (np.diff(s.resolution) >= 0).all()
    linear = next(s for s in stairs if s.method == "linear")
    assert linear.epochs.tolist() == [0, 10, 20, 30, 40]
    assert linear.depth.tolist() == [4, 5, 6, 8, 8]
    assert linear.resolution.tolist() == [12, 16, 20, 24, 24]
