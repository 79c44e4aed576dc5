"""Staircases are the stored schedules, and end at full size."""

from __future__ import annotations

from autoprog_search.analysis.headline import headline
from autoprog_search.analysis.schedules import parallel_schedules, staircases
from autoprog_search.study.results import trials_frame
from tests.synthetic import synthetic_study


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


def test_trials_side_by_side():
    """Sizes in which trials differ; a trial of other stages is read off in the middle of each."""
    trials = trials_frame(synthetic_study(seeds=1))
    found = parallel_schedules(trials, 4, "flops")
    assert found.axes[-2:] == ("FLOPs", "top-1, %")
    assert {"depth, stage 1", "px, stage 3"} <= set(found.axes)
    assert not any("stage 4" in axis for axis in found.axes)  # the full network's, in all of them
    linear, short = (list(found.method).index(name) for name in ("linear", "full-short"))
    depth = found.axes.index("depth, stage 2")
    assert found.values[linear, depth] == 5
    assert found.values[short, depth] == 8  # its only stage
    assert found.levels[depth].tolist() == sorted(set(found.values[:, depth]))
    assert found.values[linear, -2] == trials[trials["method"] == "linear"]["total_flops"].item()
