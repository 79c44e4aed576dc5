"""A growth space in Ray Tune: what its configurations mean. Tune itself is asked where it is installed."""

from __future__ import annotations

import pytest

from autoprog_search.methods.tune import tune_space, tuned_schedule
from autoprog_search.space import GrowthSpace


def test_a_configuration_is_a_schedule():
    """With what is not of it left alone; one that shrinks is its running maximum."""
    space = GrowthSpace.load("digits")
    numbers = dict.fromkeys(space.distributions(), 0) | {"stage1_depth_level": 1, "lr": 0.1}
    schedule = tuned_schedule(space, numbers, 12)
    assert [stage.epochs for stage in schedule.stages] == [3, 3, 3, 3]
    assert [stage.sub_network.depth for stage in schedule.stages] == [*[space.depths[1]] * 3, space.depths[-1]]
    assert [stage.sub_network.patches for stage in schedule.stages] == [*[space.patches[0]] * 3, space.patches[-1]]


@pytest.mark.parametrize("clock", ["stages", "free"])
def test_tune_draws_the_numbers_of_the_space(clock):
    pytest.importorskip("ray.tune")
    space = GrowthSpace.load("digits").model_copy(update={"clock": clock})
    for _ in range(20):
        drawn = {name: domain.sample() for name, domain in tune_space(space).items()}
        assert set(drawn) == set(space.distributions())
        assert all(found.low <= drawn[name] <= found.high for name, found in space.distributions().items())
        assert tuned_schedule(space, drawn, 36.0).stages[-1].sub_network == space.full
