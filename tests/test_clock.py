"""Schedules under a free clock: counted, drawn, named, and what they cost."""

from __future__ import annotations

from itertools import pairwise
from math import comb
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoprog_search.analysis.planning import schedule_flops
from autoprog_search.cost import ModelCost, Polynomial
from autoprog_search.methods.fixed import full, linear, through
from autoprog_search.monotone import Monotone
from autoprog_search.schedule import SubNetwork
from autoprog_search.space import TICKS, GrowthSpace
from tests.strategies import SMALL, growth_spaces

COST = ModelCost(Polynomial(5, 3), (Polynomial(0, 11, 2),))


def free(space: GrowthSpace) -> GrowthSpace:
    return space.model_copy(update={"clock": "free"})


@given(length=st.integers(0, 4), values=st.integers(1, 6), seed=st.integers(0, 99))
def test_sequences_are_listed_numbered_and_drawn_alike(length, values, seed):
    sequences = Monotone(length, values)
    listed = list(sequences)
    assert len(set(listed)) == len(listed) == sequences.count()
    assert [sequences.numbered(k) for k in range(len(listed))] == listed
    assert sequences.sample(Random(seed)) in set(listed)


@given(space=growth_spaces(), seed=st.integers(0, 2**32))
def test_a_drawn_schedule_is_monotone_ends_at_full_size_and_survives_its_names(space, seed):
    space = free(space)
    levels = space.sample(Random(seed))
    assert len(levels) == TICKS
    assert all(a[0] <= b[0] and a[1] <= b[1] for a, b in pairwise(levels))
    assert space.at(*levels[-1]) == space.full
    named = space.to_parameters(levels)
    assert list(named) == list(space.distributions())
    assert all(space.distributions()[name]._contains(tick) for name, tick in named.items())
    assert space.from_parameters(named) == levels


@given(space=growth_spaces(), seed=st.integers(0, 99), epochs=st.integers(1, 40))
def test_its_program_trains_as_long_and_costs_as_much(space, seed, epochs):
    space = free(space)
    levels = space.sample(Random(seed))
    program = through(space, levels)
    assert sum(program.shares) == pytest.approx(1)
    assert all(a != b for a, b in pairwise(program.sub_networks))
    assert space.levels_through(program.sub_networks, program.shares) == levels
    stages = zip(program.shares, program.sub_networks, strict=True)
    costs = sum(share * epochs * 1000 * 3 * COST.forward_flops(network) for share, network in stages)
    assert schedule_flops(space, COST, levels, epochs, images=1000) == pytest.approx(costs)


def test_schedules_are_counted_by_stars_and_bars():
    space = free(GrowthSpace.model_validate(SMALL))  # 3 depths, 2 resolutions
    assert space.count() == comb(TICKS + 1, 2) * TICKS
    assert space.numbered(0) == ((2, 1),) * TICKS  # every level begins with the run: full
    latest = space.numbered(space.count() - 1)
    assert latest == ((0, 0),) * (TICKS - 1) + ((2, 1),)


def test_draws_are_uniform_over_growth_times():
    """The mean tick of one level is the middle of the run; drawing level by level would pile up."""
    space = free(GrowthSpace.model_validate({**SMALL, "depths": [2, 4]}))
    drawn = [space.to_parameters(space.sample(Random(k)))["depth_level1_tick"] for k in range(2000)]
    assert sum(drawn) / len(drawn) == pytest.approx((TICKS - 1) / 2, abs=1)
    assert set(drawn) == set(range(TICKS))


def test_numbers_that_shrink_mean_their_running_maximum():
    space = free(GrowthSpace.model_validate(SMALL))
    named = {"depth_level1_tick": 9, "depth_level2_tick": 3, "patches_level1_tick": 0}
    levels = space.from_parameters(named)
    assert levels[8] == (0, 1)
    assert levels[9] == (2, 1)


def test_fixed_schedules_keep_their_stages():
    space = free(GrowthSpace.model_validate(SMALL))
    assert full(space) == (space.levels_of(space.full),) * TICKS
    ticks = through(space, linear(space))
    assert (
        ticks.sub_networks
        == through(GrowthSpace.model_validate(SMALL), linear(GrowthSpace.model_validate(SMALL))).sub_networks
    )
    assert ticks.shares == pytest.approx((1 / 3, 1 / 3, 1 / 3))
    halves = space.model_copy(update={"stage_lengths": (0.5, 0.25, 0.25)})
    assert through(halves, linear(halves)).shares == pytest.approx((0.5, 0.25, 0.25))


def test_lengths_need_not_be_whole_under_a_free_clock():
    space = free(GrowthSpace.model_validate(SMALL))
    assert sum(space.part_epochs(1.5)) == pytest.approx(1.5)
    assert SubNetwork(4, 36) == space.full
