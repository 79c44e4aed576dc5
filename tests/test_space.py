"""Growth spaces: enumeration, uniform sampling, repair, stage lengths, presets."""

from __future__ import annotations

import time
from collections import Counter
from fractions import Fraction
from itertools import pairwise
from random import Random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.stats import chisquare

from autoprog_search.errors import SpaceError
from autoprog_search.methods.fixed import full, linear
from autoprog_search.parameters import parameter_name
from autoprog_search.schedule import SubNetwork
from autoprog_search.space import GrowthSpace, Levels
from tests.strategies import SMALL, any_levels, growth_spaces


def grows_to_full_size(space: GrowthSpace, levels: Levels) -> bool:
    monotone = all(a[0] <= b[0] and a[1] <= b[1] for a, b in pairwise(levels))
    return len(levels) == space.stages and monotone and space.at(*levels[-1]) == space.full


# ── schedules ───────────────────────────────────────────────────────────────────────────────────────────────────────


@given(space=growth_spaces())
def test_count_is_the_number_of_distinct_schedules_enumerated(space):
    found = list(space.enumerate())
    assert space.count() == len(found) == len(set(found))
    assert all(grows_to_full_size(space, levels) for levels in found)


@given(space=growth_spaces())
def test_a_schedule_is_found_by_its_number(space):
    assert [space.numbered(place) for place in range(space.count())] == list(space.enumerate())


def test_the_largest_space_is_counted_and_drawn_from_soon():
    began = time.process_time()
    levels = {
        "depth": 100,
        "depths": list(range(1, 101)),
        "resolutions": [4 * g for g in range(1, 101)],
        "resolution": 400,
    }
    space = GrowthSpace.model_validate({**SMALL, **levels, "stages": 300})
    assert len(f"{space.count():,}") > 200
    assert float(space.count()) > 1e190
    assert grows_to_full_size(space, space.sample(Random(0)))
    assert space.numbered(0) == ((0, 0),) * 299 + ((99, 99),)
    assert space.numbered(space.count() - 1) == ((99, 99),) * 300
    assert space.part_epochs(1_000_000)[:2] == (3333, 3333)
    assert len(linear(space)) == 300
    assert time.process_time() - began < 2


@given(space=growth_spaces(), data=st.data())
def test_enumeration_leaves_out_no_monotone_schedule(space, data):
    levels = data.draw(any_levels(space))
    assert grows_to_full_size(space, levels) == (levels in set(space.enumerate()))


@given(space=growth_spaces(), seed=st.integers(0, 2**32))
def test_samples_are_schedules_of_the_space_and_depend_on_the_seed_only(space, seed):
    drawn = space.sample(Random(seed))
    assert drawn in set(space.enumerate())
    assert drawn == space.sample(Random(seed))


def test_sampling_is_uniform_over_schedules():
    space = GrowthSpace.model_validate(SMALL)
    schedules = list(space.enumerate())
    draws, rng = 200 * len(schedules), Random(0)
    drawn = Counter(space.sample(rng) for _ in range(draws))
    assert chisquare([drawn[s] for s in schedules]).pvalue > 0.01

    def stage_by_stage() -> Levels:  # the control: each stage uniform over what the one before left
        levels, i, j = [], 0, 0
        for _ in range(space.stages - 1):
            i, j = rng.randint(i, len(space.depths) - 1), rng.randint(j, len(space.patches) - 1)
            levels.append((i, j))
        return (*levels, (len(space.depths) - 1, len(space.patches) - 1))

    piled_up = Counter(stage_by_stage() for _ in range(draws))
    assert chisquare([piled_up[s] for s in schedules]).pvalue < 1e-6


@given(space=growth_spaces(), data=st.data())
def test_repair_gives_a_schedule_is_idempotent_and_leaves_schedules_alone(space, data):
    levels = data.draw(any_levels(space))
    repaired = space.repair(levels)
    assert grows_to_full_size(space, repaired)
    assert space.repair(repaired) == repaired
    assert (repaired == levels) == grows_to_full_size(space, levels)
    assert all(a[0] >= b[0] and a[1] >= b[1] for a, b in zip(repaired, levels, strict=True))  # it only ever enlarges


@given(space=growth_spaces(), data=st.data())
def test_a_schedule_is_its_parameters_and_shrinking_parameters_are_their_running_maximum(space, data):
    levels = data.draw(any_levels(space))
    assert space.from_parameters(space.to_parameters(levels)) == space.repair(levels)
    assert list(space.to_parameters(levels)) == list(space.distributions())


@given(space=growth_spaces())
def test_levels_and_sub_networks_say_the_same(space):
    assert space.full in space.sub_networks
    assert len(space.sub_networks) == len(space.depths) * len(space.patches)
    assert all(space.at(*space.levels_of(s)) == s for s in space.sub_networks)


@pytest.mark.parametrize(
    ("sub_network", "words"), [(SubNetwork(5, 9), ["depth: 5", "small"]), (SubNetwork(2, 16), ["patches: 16", "small"])]
)
def test_levels_of_a_stranger(sub_network, words):
    with pytest.raises(SpaceError) as error:
        GrowthSpace.model_validate(SMALL).levels_of(sub_network)
    assert all(word in str(error.value) for word in words)


# ── stage lengths ───────────────────────────────────────────────────────────────────────────────────────────────────


@given(stages=st.integers(1, 12), epochs=st.integers(1, 1000))
def test_equal_stages_start_at_the_floor_of_their_share_and_sum_to_the_run(stages, epochs):
    space = GrowthSpace.model_validate({**SMALL, "stages": stages})
    if epochs < stages:
        with pytest.raises(SpaceError, match=rf"epochs: {epochs} .* of {stages}"):
            space.part_epochs(epochs)
        return
    parts = space.part_epochs(epochs)
    assert sum(parts) == epochs
    assert [sum(parts[:k]) for k in range(stages)] == [k * epochs // stages for k in range(stages)]


@given(weights=st.lists(st.integers(1, 20), min_size=1, max_size=6), epochs=st.integers(1, 1000))
@example(weights=[1, 4, 1], epochs=30)  # 30 * (1/6 + 4/6) is 24.999999999999996 in floating point
def test_given_lengths_lose_no_epoch_to_rounding(weights, epochs):
    total = sum(weights)
    lengths = [w / total for w in weights]
    space = GrowthSpace.model_validate({**SMALL, "stages": len(weights), "stage_lengths": lengths})
    starts = [int(Fraction(epochs * sum(weights[:k]), total)) for k in range(len(weights))] + [epochs]
    expected = tuple(b - a for a, b in pairwise(starts))
    if min(expected) < 1:
        with pytest.raises(SpaceError, match=f"epochs: {epochs} "):
            space.part_epochs(epochs)
    else:
        assert space.part_epochs(epochs) == expected


def test_the_number_of_stages_follows_from_their_lengths():
    lengths = [0.2, 0.2, 0.2, 0.2, 0.2]
    space = GrowthSpace.model_validate({**{k: v for k, v in SMALL.items() if k != "stages"}, "stage_lengths": lengths})
    assert space.stages == 5


# ── Optuna ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@given(space=growth_spaces())
def test_distributions_are_the_free_stages_levels_in_stage_order(space):
    distributions = space.distributions()
    assert list(distributions) == [
        f"stage{k}_{axis}_level" for k in range(1, space.stages) for axis in ("depth", "patches")
    ]
    for k in range(1, space.stages):
        for axis, levels in (("depth", space.depths), ("patches", space.patches)):
            distribution = distributions[parameter_name(k, axis)]
            assert (distribution.low, distribution.high, distribution.step) == (0, len(levels) - 1, 1)


# ── presets and the paper's table ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", GrowthSpace.presets())
def test_every_preset_loads_enumerates_and_samples(name):
    space = GrowthSpace.load(name)
    assert space.name == name
    assert space.description
    schedules = set(space.enumerate())
    assert len(schedules) == space.count() > 1
    assert space.sample(Random(0)) in schedules
    assert full(space) in schedules
    assert linear(space) in schedules


def test_the_presets_are_there():
    assert {"digits", "deit_tiny", "volo_d1_05", "volo_d1_04"} <= set(GrowthSpace.presets())


@pytest.mark.parametrize(
    ("name", "depths", "resolutions"),
    [
        ("volo_d1_05", (9, 12, 15, 18), (128, 160, 192, 224)),
        ("volo_d1_04", (7, 11, 14, 18), (96, 128, 192, 224)),
    ],
)
def test_linear_on_volo_d1_is_the_papers_schedule(name, depths, resolutions):
    space = GrowthSpace.load(name)
    schedule = [space.at(*levels) for levels in linear(space)]
    assert tuple(s.depth for s in schedule) == depths
    assert tuple(s.resolution(space.patch_size) for s in schedule) == resolutions


@given(space=growth_spaces())
def test_linear_goes_from_the_smallest_to_the_full_network_and_full_stays(space):
    levels = linear(space)
    assert grows_to_full_size(space, levels)
    if space.stages > 1:
        assert space.at(*levels[0]) == space.sub_networks[0]
    assert {space.at(*pair) for pair in full(space)} == {space.full}


def test_linear_takes_the_nearest_level_halves_up():
    space = GrowthSpace.model_validate({**SMALL, "depths": [2, 3, 4], "resolutions": [12, 20, 24], "stages": 5})
    # Targets 2, 2.5, 3, 3.5, 4 blocks and 3, 3.75, 4.5, 5.25, 6 patches a side, of which 3, 5, 6 exist.
    assert linear(space) == ((0, 0), (1, 0), (1, 1), (2, 1), (2, 2))


@pytest.mark.parametrize(
    ("axes", "depths", "patches"),
    [
        ({"depths": [2, 4], "patches": [9, 36]}, (2, 4), (9, 36)),
        ({"depth_fractions": [0.5, 0.67, 1], "resolutions": [12, 16, 24]}, (2, 3, 4), (9, 16, 36)),
        ({"depths": [4], "resolution_fractions": [0.5, 1]}, (4,), (9, 36)),
        ({"depths": [4], "resolution_fractions": [0.5, 1], "resolution_step": 8}, (4,), (16, 36)),  # 12 goes up to 16
        ({"depth_fractions": [0.01, 1], "resolution_fractions": [0.01, 1]}, (1, 4), (1, 36)),  # at least one of each
    ],
)
def test_levels_may_be_given_in_each_way(axes, depths, patches):
    rest = {name: value for name, value in SMALL.items() if name not in ("depths", "resolutions")}
    space = GrowthSpace.model_validate({**rest, **axes})
    assert (space.depths, space.patches) == (depths, patches)
