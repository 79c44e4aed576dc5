"""Estimates, stage by stage."""

from __future__ import annotations

from autoprog_search.analysis.estimates import stage_estimates
from autoprog_search.study.results import estimates_frame


def test_stages_hold_their_candidates(study):
    frame = estimates_frame(study)
    stages = stage_estimates(frame, patch_size=4, unit="FLOPs")
    assert [s.stage for s in stages] == [1, 2, 3]  # the last stage searches nothing
    assert sum(len(s.loss) for s in stages) == len(frame)
    for s in stages:
        rows = frame[frame["stage"] == s.stage]
        assert s.loss.tolist() == rows["loss"].tolist()
        assert (s.resolution**2).tolist() == (16 * rows["patches"]).tolist()
        assert s.chosen.sum() == 3  # one a seed
