"""The method table: orders of all schedules, and spaces too large for them."""

from __future__ import annotations

import time
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoprog_search.errors import AutoProgError, ConfigError
from autoprog_search.methods.draws import MOST_SCHEDULES, grid
from autoprog_search.methods.kinds import Drawn
from autoprog_search.methods.oneshot import survey_paths
from autoprog_search.methods.plan import MethodPlan, Planned
from autoprog_search.methods.registry import METHODS
from autoprog_search.oneshot.candidates import candidates, paths
from autoprog_search.settings.growth import GrowthSettings
from autoprog_search.space import GrowthSpace
from tests.strategies import SMALL, growth_spaces


def large(levels: int, stages: int) -> GrowthSpace:
    sizes = {"depths": list(range(1, levels + 1)), "resolutions": [4 * g for g in range(1, levels + 1)]}
    full = {"depth": levels, "resolution": 4 * levels}
    return GrowthSpace.model_validate({**SMALL, **full, **sizes, "stages": stages})


ORDERED = [name for name, kind in METHODS.items() if isinstance(kind, Drawn) and kind.once]


def check(name: str, space: GrowthSpace) -> None:
    METHODS[name].check(Planned(name, {name: MethodPlan(trials=2)}, space, GrowthSettings(), epochs=100))


def listed(space: GrowthSpace, number: int, rng: Callable[[int], Random]) -> dict[str, int]:
    """The grid as it was drawn first: all schedules in a list, for every trial."""
    schedules = [space.to_parameters(levels) for levels in space.enumerate()]
    rng(-1).shuffle(schedules)
    return schedules[number]


@given(space=growth_spaces(max_levels=3, max_stages=4), seed=st.integers(0, 99))
def test_the_grid_keeps_its_order(space, seed):
    def rng(number: int) -> Random:
        return Random(f"{seed}/{number}")

    count = space.count()
    for number in {0, count - 1, *Random(seed).sample(range(count), min(3, count))}:
        assert grid(space, number, rng) == listed(space, number, rng)


def test_a_grid_of_many_trials_is_drawn_soon():
    space = large(6, 7)
    assert 200_000 < space.count() < MOST_SCHEDULES
    began = time.process_time()
    drawn = [grid(space, number, lambda n: Random(n)) for number in range(500)]
    assert time.process_time() - began < 3
    assert len({tuple(parameters.items()) for parameters in drawn}) == 500


@pytest.mark.parametrize("name", ORDERED)
def test_orders_of_too_many_schedules_are_refused(name):
    space = large(10, 6)
    assert space.count() > MOST_SCHEDULES
    with pytest.raises(ConfigError, match=rf"methods: {name} goes through all schedules, the space has 4\.0e\+06"):
        check(name, space)
    check(name, large(6, 7))
    check("random", space)


def test_methods_that_draw_from_an_order_say_so():
    assert {name for name, kind in METHODS.items() if isinstance(kind, Drawn) and kind.draw is grid} == set(ORDERED)


@pytest.mark.parametrize("force_growth", ["none", "any", "depth", "patches"])
def test_too_many_ways_to_go_are_refused_soon(force_growth):
    began = time.process_time()
    with pytest.raises(AutoProgError, match=r"stages: a search can go more than .* ways through 298 stages"):
        survey_paths(large(100, 300), force_growth)
    assert time.process_time() - began < 2
    assert len(survey_paths(large(2, 300), "any")) == 6  # long, but soon at full size


@given(
    space=growth_spaces(max_levels=3, max_stages=4), force_growth=st.sampled_from(["none", "any", "depth", "patches"])
)
def test_paths_are_all_ways_through_the_candidates(space, force_growth):
    expected = [()]
    for stage in range(1, space.stages + 1):
        expected = [
            (*path, chosen)
            for path in expected
            for chosen in candidates(space, stage, path[-1] if path else None, force_growth)
        ]
    assert paths(space, space.stages, force_growth) == tuple(expected)
