"""Estimates that cannot be chosen from: each is one line that names the field and the value."""

from __future__ import annotations

from dataclasses import replace
from math import isfinite

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoprog_search.choosing import Estimate, StageContext
from autoprog_search.errors import ConfigError, EstimateError
from autoprog_search.oneshot.score import SCORES, ScoreRule, choose
from autoprog_search.schedule import SubNetwork
from tests.oneshot.made_up import PAPER, context, estimated

NAN, INF = float("nan"), float("inf")
GOOD = estimated([2.0, 1.9, 1.8], [1.0, 2.0, 3.0])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("loss", NAN),
        ("loss", INF),
        ("loss", -0.1),
        ("loss", None),
        ("loss", "1.0"),
        ("loss_se", NAN),
        ("loss_se", -1e-9),
        ("cost", NAN),
        ("cost", 0.0),
        ("cost", -1.0),
        ("cost", INF),
        ("decrease", NAN),
    ],
)
@pytest.mark.parametrize("count", [1, 2, 3])
def test_an_estimate_that_cannot_be_is_named_with_its_field_and_value(field, value, count):
    found = [*GOOD[: count - 1], replace(GOOD[count - 1], **{field: value})]
    with pytest.raises(EstimateError) as caught:
        choose(context(tuple(found)), PAPER())
    assert str(caught.value).startswith(f"estimate of {count} blocks x 4 patches, {field}: {value!r} cannot be")


@pytest.mark.parametrize("score", ["loss_decrease_per_flop", "slope"])
def test_a_score_of_decreases_wants_them(score):
    with pytest.raises(EstimateError, match=r"estimate of 1 blocks x 4 patches, decrease: None cannot be"):
        choose(context(GOOD), PAPER(score=score))


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (None, "3 candidates and 0 estimates"),
        ((), "3 candidates and 0 estimates"),
        (GOOD[:2], "3 candidates and 2 estimates"),
        ((*GOOD, GOOD[0]), "3 candidates and 4 estimates"),
        ((*GOOD[:2], replace(GOOD[2], sub_network=SubNetwork(7, 4))), "3 candidates and 3 estimates, of others"),
    ],
)
def test_every_candidate_needs_an_estimate_of_its_own(found, words):
    with pytest.raises(EstimateError, match=rf"stage 2 has {words}"):
        choose(replace(context(GOOD), estimates=found), PAPER())


def test_no_candidate_is_no_choice():
    with pytest.raises(EstimateError, match="candidates: stage 2 has none"):
        choose(context(()), PAPER())


@pytest.mark.parametrize(
    ("ends", "words"),
    [
        (None, "got none"),
        (((0.5,), (0.6,)), "got 2"),
        (((0.5,), (NAN,), (0.6,)), "ends of 2 blocks x 4 patches: nan"),
        (((0.5,), (0.6,), ()), "ends of 3 blocks x 4 patches"),
    ],
)
def test_a_target_wants_to_know_where_the_run_may_end(ends, words):
    with pytest.raises(EstimateError, match=words):
        choose(replace(context(GOOD), ends=ends), PAPER(target_speedup=2.0))


def test_estimates_in_another_order_than_the_candidates_are_put_in_theirs():
    ends = ((0.9,), (0.5,), (0.9,))  # the second alone leads to the target
    for found in (GOOD, GOOD[::-1], (GOOD[1], GOOD[0], GOOD[2])):
        offered = replace(context(GOOD), estimates=found, ends=ends)
        assert choose(offered, PAPER(target_speedup=2.0)).sub_network == SubNetwork(2, 4)


@pytest.mark.parametrize(
    ("field", "value"),
    [("w", NAN), ("w_scale", INF), ("w_default", NAN), ("tie_se", -1.0), ("tie_se", NAN), ("target_speedup", 0.0)],
)
def test_a_rule_of_no_numbers_is_refused(field, value):
    with pytest.raises(ConfigError, match=rf"^{field}: "):
        ScoreRule(**{field: value})


numbers = (
    st.sampled_from([NAN, INF, -INF, 0.0, -0.0, -1.0, 1e-320, 1e-300, 1e300, 1.7e308])
    | st.floats()
    | st.floats(0.1, 10)
)


@given(
    rows=st.lists(st.tuples(numbers, numbers, numbers, st.none() | numbers), max_size=5),
    ends=st.none() | st.lists(st.lists(numbers, max_size=2).map(tuple), max_size=5).map(tuple),
    candidates=st.integers(0, 5),
    rule=st.builds(
        ScoreRule,
        score=st.sampled_from(sorted(SCORES)),
        w=st.none() | st.floats(0, 1000),
        w_scale=st.floats(0, 100),
        tie_se=st.floats(0, 10),
        target_speedup=st.none() | st.floats(1, 10),
    ),
)
@settings(max_examples=300)
def test_any_mixture_of_numbers_gives_a_candidate_or_one_line(rows, ends, candidates, rule):
    names = tuple(SubNetwork(depth, 4) for depth in range(1, candidates + 1))
    found = tuple(Estimate(SubNetwork(depth, 4), *row) for depth, row in enumerate(rows, start=1))
    offered = StageContext(1, names, None, found, (found,), (1, 2, 3, 4, 5), (4,), ends)
    try:
        choice = choose(offered, rule)
    except EstimateError:
        return
    assert choice.sub_network in names
    assert choice.w is None or isfinite(choice.w)
