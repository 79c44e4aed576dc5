"""The attainment surface against its definition, point by point."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from autoprog_search.analysis.attainment import LEVELS, attainment
from autoprog_search.report.attainment import MOST_BANDS, draw_attainment
from autoprog_search.study.results import trials_frame
from tests.synthetic import frame_of, synthetic_study

NUMBER = st.sampled_from([1.0, 2.0, 3.0, 4.0])  # few values, so that ties are common
TRIALS = st.lists(
    st.tuples(st.sampled_from([0, 1, 2]), st.sampled_from(["COMPLETE", "FAIL"]), NUMBER, NUMBER),
    min_size=1,
    max_size=12,
)


def table(trials: list[tuple[int, str, float, float]]) -> pd.DataFrame:
    frame = frame_of([("tpe", state, cost, top1) for _, state, cost, top1 in trials])
    return frame.assign(seed=[seed for seed, *_ in trials])


@given(trials=TRIALS)
def test_a_point_is_attained_by_the_share_of_seeds_that_its_level_says(trials):
    found = attainment(table(trials), "flops")
    done = [(seed, cost, top1) for seed, state, cost, top1 in trials if state == "COMPLETE"]
    assert found.cost.tolist() == sorted({cost for _, cost, _ in done})
    if not done:
        assert not found.attained
        return
    seeds = {seed for seed, _, _ in done}
    assert found.seeds == {"tpe": len(seeds)}
    for level, surface in zip(LEVELS.values(), found.attained["tpe"], strict=True):
        enough = max(1, level * len(seeds))
        for at, best in zip(found.cost, surface, strict=True):
            attained = [
                top1
                for top1 in (1.0, 2.0, 3.0, 4.0)
                if len({seed for seed, cost, other in done if cost <= at and other >= top1}) >= enough
            ]
            assert best == max(attained) if attained else np.isnan(best)


def test_cost_is_training_and_search(study):
    trials = trials_frame(study)
    flops, seconds = attainment(trials, "flops"), attainment(trials, "seconds")
    assert (flops.unit, seconds.unit) == ("FLOPs", "s")
    assert flops.cost.max() == trials["total_flops"].max()
    assert seconds.cost.max() == (trials["train_seconds"] + trials["search_seconds"]).max()
    assert list(flops.attained) == ["full", "full-short", "linear", "autoprog", "random", "tpe"]


def test_bands_are_drawn_where_they_can_be_told_apart(study):
    few = draw_attainment(attainment(trials_frame(synthetic_study(methods=("full", "random"))), "flops"))
    assert [trace.fill for trace in few.data] == ["toself", None, "toself", None]
    assert few.data[-1].name == "random (3 seeds)"
    many = attainment(trials_frame(study), "flops")
    assert len(many.attained) > MOST_BANDS
    assert all(trace.fill is None for trace in draw_attainment(many).data)
    one = draw_attainment(attainment(trials_frame(synthetic_study(seeds=1, methods=("full", "random"))), "flops"))
    assert [trace.name for trace in one.data] == ["full (1 seed)", "random (1 seed)"]
