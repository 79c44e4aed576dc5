"""Lambda_k, against the paper's rule written as sets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoprog_search.errors import SpaceError
from autoprog_search.oneshot.candidates import candidates, paths
from autoprog_search.oneshot.estimate import supernet_of
from autoprog_search.schedule import SubNetwork
from autoprog_search.space import GrowthSpace
from tests.strategies import growth_spaces

DIGITS = GrowthSpace.load("digits")  # depths 4 5 6 8, patches 9 16 25 36
FORCE = ("none", "any", "depth", "patches")


@given(space=growth_spaces(), data=st.data(), force=st.sampled_from(FORCE))
def test_candidates_are_the_rule(space, data, force):
    current = data.draw(st.sampled_from(space.sub_networks))
    i, j = space.levels_of(current)
    depths, patches = space.depths[i : i + 3], space.patches[j : j + 2]
    found = {(d, n) for d in depths for n in patches}
    assert (current.depth, current.patches) in found  # "not growing" is a candidate (section 4)
    if force == "depth" and len(depths) > 1:
        found = {(d, n) for d, n in found if d > current.depth}
    elif force == "patches" and len(patches) > 1:
        found = {(d, n) for d, n in found if n > current.patches}
    elif force != "none" and len(found) > 1:
        found -= {(current.depth, current.patches)}
    got = candidates(space, 2, current, force)
    assert len(got) == len(set(got))
    assert {(c.depth, c.patches) for c in got} == found


@given(space=growth_spaces(), data=st.data(), force=st.sampled_from(FORCE), stage=st.integers(1, 4))
def test_candidates_never_shrink_and_the_largest_comes_last(space, data, force, stage):
    current = data.draw(st.sampled_from(space.sub_networks)) if stage > 1 else None
    got = candidates(space, stage, current, force)
    assert got
    assert set(got) <= set(space.sub_networks)
    assert got[-1] == supernet_of(got)  # the supernet is itself a candidate
    if current is not None:
        assert all(c.depth >= current.depth and c.patches >= current.patches for c in got)


@given(space=growth_spaces(), force=st.sampled_from(FORCE))
def test_the_first_stage_looks_at_smallest_middle_and_largest(space, force):
    got = candidates(space, 1, None, force)
    for axis, levels in (("depth", space.depths), ("patches", space.patches)):
        assert {getattr(c, axis) for c in got} == {levels[0], levels[len(levels) // 2], levels[-1]}
    assert space.full in got
    assert space.sub_networks[0] in got


def test_exact_examples():
    assert candidates(DIGITS, 1, None) == tuple(SubNetwork(d, n) for d in (3, 5, 6) for n in (9, 25, 36))
    assert candidates(DIGITS, 2, SubNetwork(3, 9)) == tuple(SubNetwork(d, n) for d in (3, 4, 5) for n in (9, 16))
    assert candidates(DIGITS, 2, SubNetwork(5, 36)) == (SubNetwork(5, 36), SubNetwork(6, 36))
    assert candidates(DIGITS, 2, SubNetwork(5, 36), "any") == (SubNetwork(6, 36),)
    assert candidates(DIGITS, 3, SubNetwork(5, 25), "depth") == (SubNetwork(6, 25), SubNetwork(6, 36))
    assert candidates(DIGITS, 3, SubNetwork(6, 9), "depth") == (SubNetwork(6, 16),)  # no deeper one is left
    assert candidates(DIGITS, 3, SubNetwork(5, 25), "patches") == (SubNetwork(5, 36), SubNetwork(6, 36))
    assert candidates(DIGITS, 3, SubNetwork(5, 36), "patches") == (SubNetwork(6, 36),)  # no finer one is left
    for force in FORCE:
        assert candidates(DIGITS, 3, DIGITS.full, force) == (DIGITS.full,)  # nothing larger: no search


@pytest.mark.parametrize("stranger", [SubNetwork(8, 9), SubNetwork(4, 49)])
def test_a_current_sub_network_outside_the_space_is_refused(stranger):
    with pytest.raises(SpaceError, match="is not a level"):
        candidates(DIGITS, 2, stranger)


def test_paths_are_every_way_through_the_candidates():
    found = paths(DIGITS, 2, "any")
    firsts = candidates(DIGITS, 1, None, "any")
    assert found == tuple((first, second) for first in firsts for second in candidates(DIGITS, 2, first, "any"))
    assert paths(DIGITS, 0) == ((),)  # nothing to choose: one way
