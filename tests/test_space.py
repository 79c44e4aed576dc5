"""Growth spaces: enumeration, uniform sampling, repair, stage lengths, presets, and what is said of malformed files."""

from __future__ import annotations

import time
from collections import Counter
from fractions import Fraction
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.stats import chisquare

from autoprog_search.errors import SpaceError
from autoprog_search.methods.fixed import full, linear
from autoprog_search.schedule import SubNetwork
from autoprog_search.space import GrowthSpace, Levels, parameter_name, to_parameters
from autoprog_search.values import dump_yaml
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
    assert space.stage_epochs(1_000_000)[:2] == (3333, 3333)
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
    assert space.from_parameters(to_parameters(levels)) == space.repair(levels)
    assert list(to_parameters(levels)) == list(space.distributions())


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


@given(space=growth_spaces(), epochs=st.integers(1, 400), seed=st.integers(0, 99))
def test_a_schedule_has_the_levels_and_the_lengths(space, epochs, seed):
    if epochs < space.stages:
        return
    levels = space.sample(Random(seed))
    schedule = space.schedule(levels, epochs)
    assert tuple(space.levels_of(s.sub_network) for s in schedule.stages) == levels
    assert tuple(s.epochs for s in schedule.stages) == space.stage_epochs(epochs)


# ── stage lengths ───────────────────────────────────────────────────────────────────────────────────────────────────


@given(stages=st.integers(1, 12), epochs=st.integers(0, 1000))
def test_equal_stages_start_at_the_floor_of_their_share_and_sum_to_the_run(stages, epochs):
    space = GrowthSpace.model_validate({**SMALL, "stages": stages})
    if epochs < stages:
        with pytest.raises(SpaceError, match=rf"epochs: {epochs} .* of {stages}"):
            space.stage_epochs(epochs)
        return
    parts = space.stage_epochs(epochs)
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
            space.stage_epochs(epochs)
    else:
        assert space.stage_epochs(epochs) == expected


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


# ── malformed files ─────────────────────────────────────────────────────────────────────────────────────────────────


def small(*without: str, **fields: Any) -> str:
    """The small space as YAML, fields left out or changed."""
    return dump_yaml({k: v for k, v in {**SMALL, **fields}.items() if k not in without})


def fractions(**fields: Any) -> str:
    return small("resolutions", **{"resolution_fractions": [0.5, 1], **fields})


MALFORMED = {
    "empty file": ("", ["not a mapping"]),
    "a list": ("[1, 2]", ["not a mapping"]),
    "a text": ("text", ["not a mapping"]),
    "broken YAML": ("depths: [", ["cannot be read"]),
    "a control character": ("\x00", ["cannot be read"]),
    "an unhashable key": ("? [1]\n: 2", ["cannot be read"]),
    "a Python object": ("model: !!python/object:os.system x", ["cannot be read"]),
    "an impossible date": (small("depth") + "depth: 2020-13-45", ["depth", "2020-13-45"]),
    "unknown field": (small(bogus=1), ["bogus", "1"]),
    "no model": (small("model"), ["model", "required"]),
    "model a number": (small(model=3), ["model", "3"]),
    "model_args a list": (small(model_args=[1]), ["model_args", "[1]"]),
    "unknown pos_embed": (small(pos_embed="rope"), ["pos_embed", "rope", "sincos"]),
    "no depths": (small("depths"), ["depths", "depth_fractions", "none"]),
    "depths twice": (small(depth_fractions=[0.5, 1]), ["depths", "depth_fractions"]),
    "depths a number": (small(depths=4), ["depths", "4"]),
    "depths descending": (small(depths=[4, 2]), ["depths", "[4, 2]", "ascending"]),
    "depths repeated": (small(depths=[2, 2, 4]), ["depths", "[2, 2, 4]"]),
    "depth level 0": (small(depths=[0, 4]), ["depths", "[0, 4]", "above 0"]),
    "depth level 2.5": (small(depths=[2.5, 4]), ["depths", "2.5"]),
    "depth level text": (small(depths=["two", 4]), ["depths", "two"]),
    "depths above the model": (small(depths=[2, 5]), ["depths", "5", "vit_tiny_patch16_224", "4"]),
    "depths end below full": (small(depths=[2, 3]), ["depths", "3", "full size 4"]),
    "depth 0": (small(depth=0), ["depth", "0"]),
    "depth null": (small(depth=None), ["depth", "None"]),
    "depth fraction 0": (small("depths", depth_fractions=[0, 1]), ["depth_fractions", "[0, 1]"]),
    "depth fraction 2": (small("depths", depth_fractions=[0.5, 2]), ["depth_fractions", "2"]),
    "depth fraction nan": (small("depths", depth_fractions=[float("nan"), 1]), ["depth_fractions", "nan"]),
    "depth fraction text": (small("depths", depth_fractions=["half", 1]), ["depth_fractions", "half"]),
    "depth fractions a number": (small("depths", depth_fractions=0.5), ["depth_fractions", "0.5"]),
    "depth fractions without depth": (small("depths", "depth", depth_fractions=[0.5, 1]), ["depth", "missing"]),
    "depth fractions that coincide": (small("depths", depth_fractions=[0.1, 0.2, 1]), ["depths", "[1, 1, 4]"]),
    "no patches": (small("resolutions"), ["patches", "resolutions", "resolution_fractions", "none"]),
    "patches and resolutions": (small(patches=[9, 36]), ["patches", "resolutions"]),
    "patches not square": (small("resolutions", patches=[10, 36]), ["patches", "10", "9", "16"]),
    "patches 0": (small("resolutions", patches=[0, 36]), ["patches", "0"]),
    "patches a number": (small("resolutions", patches=36), ["patches", "36"]),
    "patches text": (small("resolutions", patches=["few"]), ["patches", "few"]),
    "patches above the model": (small("resolutions", patches=[9, 49]), ["patches", "49", "36"]),
    "resolutions a number": (small(resolutions=24), ["resolutions", "24"]),
    "resolutions text": (small(resolutions=["low", 24]), ["resolutions", "low"]),
    "resolutions null": (small(resolutions=[None, 24]), ["resolutions", "None"]),
    "resolutions a mapping": (small(resolutions={"low": 1}), ["resolutions", "low"]),
    "resolution level odd": (small(resolutions=[13, 24]), ["resolution", "13", "patch size 4"]),
    "resolution level 0": (small(resolutions=[0, 24]), ["resolution", "0"]),
    "resolution level negative": (small(resolutions=[-12, 24]), ["resolution", "-12"]),
    "resolution odd": (small(resolution=25), ["resolution", "25", "patch size 4"]),
    "resolution null": (small(resolution=None), ["resolution", "None"]),
    "resolution fractions without resolution": (fractions(resolution=None), ["resolution", "None"]),
    "resolution step 0": (fractions(resolution_step=0), ["resolution_step", "0"]),
    "resolution step negative": (fractions(resolution_step=-4), ["resolution_step", "-4"]),
    "resolution step text": (fractions(resolution_step="big"), ["resolution_step", "big"]),
    "patch size 0": (small(patch_size=0), ["patch_size", "0"]),
    "patch size text": (small(patch_size="big"), ["patch_size", "big"]),
    "patch size null": (small(patch_size=None), ["patch_size", "None"]),
    "patch size text, fractions": (fractions(patch_size="big"), ["patch_size", "big"]),
    "patch size 0, fractions": (fractions(patch_size=0), ["patch_size", "0"]),
    "stages without end": (small(stages=10**6), ["stages", "300", "1000000"]),
    "depth without end": (small(depth=10**6), ["depth", "1000000", "1,000"]),
    "depth true": (small(depth=True), ["depth", "True"]),
    "stages true": (small(stages=True), ["stages", "True"]),
    "resolution without end": (small(resolution=10**6), ["resolution", "1000000"]),
    "patch size infinite": (small(patch_size=float("inf")), ["patch_size", "inf"]),
    "levels without end": (small(depths=list(range(1, 1000))), ["depths", "999", "100"]),
    "sizes without end": (small("resolutions", patches=[1] * 10_000), ["patches", "10,000", "100"]),
    "resolution infinite": (small(resolutions=[12, float("inf")]), ["resolutions", "inf"]),
    "fraction of a text": (small("depths", depth_fractions=["5e-1", 1]), ["depth_fractions", "'5e-1'"]),
    "lengths without end": (small(stage_lengths=[0.5] * 1000), ["stage_lengths", "1,000", "300"]),
    "length choices without end": (
        small(stage_length_choices=[[0.2, 0.2, 0.6]] * 101),
        ["stage_length_choices", "100"],
    ),
    "length choices a number": (small(stage_length_choices=3), ["stage_length_choices", "3"]),
    "length choice nan": (small(stage_length_choices=[[float("nan"), 0, 1]]), ["stage_length_choices", "nan"]),
    "model_args.depth differs": (small(model_args={"depth": 3}), ["model_args, depth", "3", "4"]),
    "model_args.depth a text": (small(model_args={"depth": "4"}), ["model_args, depth", "'4'"]),
    "model_args infinite": (small(model_args={"mlp_ratio": float("inf")}), ["model_args", "inf"]),
    "model_args infinite, deep": (small(model_args={"a": [{"b": [float("-inf")]}]}), ["model_args", "-inf"]),
    "model_args huge": (small(model_args={"embed_dim": 10**9}), ["model_args, embed_dim", "1,000,000"]),
    "a field misspelt": (
        small("depth", dept=4),
        ["dept: unknown field", "did you mean depth?", "resolution_fractions"],
    ),
    "name an escape code": (small() + 'name: "\\e[31m"', ["cannot be read"]),
    "description without end": (small(description="x" * 5000), ["description", "5,000 characters"]),
    "a key given twice": (small() + "stages: 2", ["'stages' is given twice"]),
    "stages 0": (small(stages=0), ["stages", "0"]),
    "stages 2.5": (small(stages=2.5), ["stages", "2.5"]),
    "stages text": (small(stages="few"), ["stages", "few"]),
    "too few lengths": (small(stage_lengths=[0.5, 0.5]), ["stage_lengths", "2", "3 stages"]),
    "lengths above 1": (small(stage_lengths=[0.5, 0.5, 0.5]), ["stage_lengths", "0.5", "sum to 1"]),
    "length 0": (small(stage_lengths=[0, 0.5, 0.5]), ["stage_lengths", "0"]),
    "length negative": (small(stage_lengths=[-0.5, 1, 0.5]), ["stage_lengths", "-0.5"]),
    "length nan": (small(stage_lengths=[float("nan"), 0.5, 0.5]), ["stage_lengths", "nan"]),
    "length infinite": (small(stage_lengths=[float("inf"), 0.5, 0.5]), ["stage_lengths", "inf"]),
    "lengths a number": (small("stages", stage_lengths=3), ["stage_lengths", "3"]),
    "lengths text": (small(stage_lengths="even"), ["stage_lengths", "even"]),
}


@pytest.mark.parametrize(("text", "words"), MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_file_gives_one_line_that_names_field_and_value(tmp_path, text, words):
    path = tmp_path / "custom.yaml"
    path.write_text(text)
    with pytest.raises(SpaceError) as error:
        GrowthSpace.load(str(path))
    message = str(error.value)
    assert "\n" not in message
    assert message.startswith("space")
    assert all(word in message for word in words), message


def test_numbers_may_be_written_with_exponents(tmp_path):
    path = tmp_path / "custom.yaml"
    fields = {"depths": "depth_fractions: [5e-1, 1]", "depth": "depth: 4e0", "stages": "stages: 3e0", "resolutions": ""}
    path.write_text(
        small(*fields) + "\n".join(fields.values()) + "resolution_fractions: [5e-1, 1e0]\nmodel_args: {eps: 1e-6}"
    )
    space = GrowthSpace.load(str(path))
    assert (space.depths, space.patches, space.stages, space.model_args) == ((2, 4), (9, 36), 3, {"eps": 1e-6})


@pytest.mark.parametrize("name", ["nowhere", "", "../digits", "digits.txt", "missing.yaml"])
def test_a_space_that_is_not_there_gives_one_line(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SpaceError) as error:
        GrowthSpace.load(name)
    message = str(error.value)
    assert "\n" not in message
    assert name.endswith(".yaml") or "digits" in message  # the presets are listed where no file was meant


def test_a_file_that_is_no_text_gives_one_line(tmp_path):
    path = tmp_path / "binary.yaml"
    path.write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(SpaceError, match="cannot be read"):
        GrowthSpace.load(str(path))
