"""Whose turn it is in a search."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from autoprog_search.oneshot.draws import shuffled
from autoprog_search.schedule import SubNetwork

CANDIDATES = tuple(SubNetwork(d, n) for d in (2, 3, 5) for n in (9, 16))

sub_networks = st.builds(SubNetwork, st.integers(1, 12), st.sampled_from([4, 9, 16]))
candidate_tuples = st.sets(sub_networks, min_size=1, max_size=9)


@given(found=candidate_tuples.map(sorted), seed=st.integers(0, 2**63), passes=st.integers(1, 4))
def test_every_candidate_trains_exactly_once_a_pass(found, seed, passes):
    drawn = [shuffled(found, seed, step) for step in range(passes * len(found))]
    for start in range(0, len(drawn), len(found)):
        assert Counter(drawn[start : start + len(found)]) == Counter(found)


def test_the_draw_is_a_pure_function_and_a_fresh_permutation_a_pass():
    steps = range(20 * len(CANDIDATES))
    forwards = [shuffled(CANDIDATES, 7, step) for step in steps]
    assert [shuffled(CANDIDATES, 7, step) for step in reversed(steps)] == forwards[::-1]  # in any order: no state
    count = len(CANDIDATES)
    passes = {tuple(forwards[start : start + count]) for start in range(0, len(forwards), count)}
    assert len(passes) > 15
    assert [shuffled(CANDIDATES, 8, step) for step in steps] != forwards
    # The same in every process and on every rank, whatever PYTHONHASHSEED says.
    assert [CANDIDATES.index(c) for c in forwards[:6]] == [5, 2, 0, 3, 4, 1]


def test_no_candidate_is_first_more_often_than_chance():
    first = Counter(shuffled(CANDIDATES, seed, 0) for seed in range(1200))
    assert all(120 < first[c] < 280 for c in CANDIDATES)  # 200 expected, the standard deviation is 13
