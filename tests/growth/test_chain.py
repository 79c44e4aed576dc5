"""Which blocks run: the rule of docs/design.md in exact fractions, computed apart from the code."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from math import floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoprog_search.growth.chain import CHAINS, even_chain, lowest_chain


@st.composite
def depth_levels(draw: st.DrawFn) -> tuple[int, list[int]]:
    blocks = draw(st.integers(1, 30))
    return blocks, sorted(draw(st.sets(st.integers(1, blocks), min_size=1, max_size=6)))


def rule(blocks: int, depths: list[int]) -> dict[int, set[int]]:
    """The smallest depth runs {floor(i L / d)}; the next add those at floor((j + 1/2) |M| / (d' - d)) of the rest M."""
    sets = {depths[0]: {floor(Fraction(i * blocks, depths[0])) for i in range(depths[0])}}
    for before, after in pairwise(depths):
        rest = sorted(set(range(blocks)) - sets[before])
        count = after - before
        sets[after] = sets[before] | {rest[floor((j + Fraction(1, 2)) * len(rest) / count)] for j in range(count)}
    return sets


@given(levels=depth_levels())
def test_even_chain_is_the_rule(levels):
    blocks, depths = levels
    chain = even_chain(blocks, depths)
    assert {depth: set(active) for depth, active in chain.items()} == rule(blocks, depths)


@pytest.mark.parametrize("name", CHAINS)
@given(levels=depth_levels())
def test_chains_are_nested_ascending_and_of_the_right_size(name, levels):
    blocks, depths = levels
    chain = CHAINS[name](blocks, depths)
    assert list(chain) == depths
    for depth, active in chain.items():
        assert len(active) == depth
        assert list(active) == sorted(set(active))
        assert 0 in active  # interpolation needs a donor below every new block
        assert active[-1] < blocks
    assert all(set(chain[a]) <= set(chain[b]) for a, b in pairwise(depths))


def test_exact_examples():
    assert even_chain(6, [3, 5, 6]) == {3: (0, 2, 4), 5: (0, 1, 2, 4, 5), 6: (0, 1, 2, 3, 4, 5)}
    assert even_chain(8, [4, 5, 6, 8]) == {
        4: (0, 2, 4, 6),
        5: (0, 2, 4, 5, 6),  # of 1 3 5 7 the one at floor(0.5 * 4) = 2
        6: (0, 2, 3, 4, 5, 6),  # of 1 3 7 the one at floor(0.5 * 3) = 1
        8: (0, 1, 2, 3, 4, 5, 6, 7),
    }
    assert even_chain(12, [6, 8, 10, 12])[8] == (0, 2, 3, 4, 6, 8, 9, 10)  # of 1 3 5 7 9 11 those at 1 and 4
    assert even_chain(5, [3])[3] == (0, 1, 3)
    assert lowest_chain(6, [2, 4]) == {2: (0, 1), 4: (0, 1, 2, 3)}
