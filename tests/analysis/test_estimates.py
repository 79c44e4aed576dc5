"""Estimates, stage by stage."""

from __future__ import annotations

from autoprog_search.analysis.estimates import stage_estimates
from autoprog_search.study.results import estimates_frame


def test_stages_hold_their_candidates(study):
    frame = estimates_frame(study)
    stages = stage_estimates(frame)
    assert list(stages) == [1, 2, 3]  # the last stage searches nothing
    assert sum(map(len, stages.values())) == len(frame)
    for stage, found in stages.items():
        rows = frame[frame["stage"] == stage]
        assert found["loss"].tolist() == rows["loss"].tolist()
        assert found["chosen"].sum() == 3  # one a seed
