"""The Pareto front against its definition, trial by trial."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from autoprog_search.analysis.pareto import pareto_front, schedule_text
from autoprog_search.study.results import trials_frame
from tests.synthetic import frame_of

NUMBER = st.sampled_from([1.0, 2.0, 3.0, 4.0, float("nan")])  # few values, so that ties are common


TRIALS = st.lists(
    st.tuples(st.sampled_from(["full", "autoprog", "tpe"]), st.sampled_from(["COMPLETE", "FAIL"]), NUMBER, NUMBER),
    max_size=12,
)


def brute_force(points: list[tuple[int, float, float]]) -> set[int]:
    """Trials (number, cost, top1) that no other beats, or equals with a smaller number."""

    def beats(other: tuple[int, float, float], this: tuple[int, float, float]) -> bool:
        as_good = other[1] <= this[1] and other[2] >= this[2]
        return as_good and (other[1:] != this[1:] or other[0] < this[0])

    return {this[0] for this in points if not any(beats(other, this) for other in points)}


@given(trials=TRIALS, cost=st.sampled_from(["flops", "seconds"]))
def test_front_is_what_nobody_beats(trials, cost):
    front = pareto_front(frame_of(trials), cost)
    kept = [(i, t[2], t[3]) for i, t in enumerate(trials) if t[1] == "COMPLETE" and not np.isnan(t[2] + t[3])]
    assert set(front.trial) == {i for i, _, _ in kept}
    assert set(front.trial[front.on_front]) == brute_force(kept)
    for method in {trials[i][0] for i, _, _ in kept}:
        own = brute_force([k for k in kept if trials[k[0]][0] == method])
        assert set(front.trial[front.on_method_front & (front.method == method)]) == own
    assert list(front.cost) == sorted(front.cost)


def test_of_equal_trials_the_first_is_on_the_front():
    front = pareto_front(frame_of([("tpe", "COMPLETE", 2, 90), ("full", "COMPLETE", 2, 90)]), "flops")
    assert front.trial[front.on_front].tolist() == [0]
    assert front.on_method_front.all()


def test_cost_is_training_and_search(study):
    trials = trials_frame(study)
    flops, seconds = pareto_front(trials, "flops"), pareto_front(trials, "seconds")
    assert (flops.unit, seconds.unit) == ("FLOPs", "s")
    autoprog = trials[(trials["method"] == "autoprog") & (trials["seed"] == 0)].iloc[0]
    row = (flops.method == "autoprog") & (flops.seed == 0)
    assert flops.cost[row] == [autoprog["train_flops"] + autoprog["search_flops"]]
    row = (seconds.method == "autoprog") & (seconds.seed == 0)
    assert seconds.cost[row] == [autoprog["train_seconds"] + autoprog["search_seconds"]]
    assert flops.methods == ("full", "full-short", "linear", "autoprog", "random", "tpe")


def test_schedule_text_of_a_row_without_one():
    assert schedule_text(None, float("nan"), "px") == "schedule not stored"
