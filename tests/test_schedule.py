"""Schedules: frozen values that cannot be wrong, and the one line that says why a file is none."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoprog_search.errors import ScheduleError
from autoprog_search.schedule import GrowthSchedule, Stage, SubNetwork, check_square, patches_at
from tests.strategies import squares, sub_networks


@st.composite
def growth_schedules(draw: st.DrawFn) -> GrowthSchedule:
    count = draw(st.integers(1, 6))
    depths = sorted(draw(st.lists(st.integers(1, 48), min_size=count, max_size=count)))
    patches = sorted(draw(st.lists(squares, min_size=count, max_size=count)))
    epochs = draw(st.lists(st.integers(1, 300) | st.floats(0.01, 300), min_size=count, max_size=count))
    return GrowthSchedule.of(epochs, map(SubNetwork, depths, patches))


@given(schedule=growth_schedules())
def test_a_schedule_survives_the_round_trip_through_plain_data(schedule):
    assert GrowthSchedule.from_dict(schedule.to_dict(), patch_size=16) == schedule


@given(a=sub_networks, b=sub_networks)
def test_a_schedule_exists_iff_it_never_shrinks(a, b):
    shrinks = b.depth < a.depth or b.patches < a.patches
    if shrinks:
        with pytest.raises(ScheduleError, match=r"stage 2: .*never shrinks"):
            GrowthSchedule.of((1, 1), (a, b))
    else:
        assert [s.sub_network for s in GrowthSchedule.of((1, 1), (a, b)).stages] == [a, b]


@given(patches=st.integers(-10, 10_000))
def test_only_squares_are_patch_counts_and_the_error_names_the_squares_beside(patches):
    known = {i**2 for i in range(1, 101)}
    if patches in known:
        check_square(patches)
        return
    with pytest.raises(ScheduleError) as error:
        check_square(patches)
    below = max((s for s in known if s < patches), default=1)
    above = min(s for s in known if s > below)
    assert all(word in str(error.value) for word in (f"patches: {patches} ", f" {below} ", f" {above}"))


@given(grid=st.integers(1, 64), patch_size=st.integers(1, 32))
def test_resolution_and_patches_say_the_same(grid, patch_size):
    sub_network = SubNetwork(1, patches_at(grid * patch_size, patch_size))
    assert sub_network.grid == grid
    assert sub_network.resolution(patch_size) == grid * patch_size


def test_values_are_frozen_hashable_and_print_their_size():
    sub_network = SubNetwork(9, 64)
    assert {sub_network: 1}[SubNetwork(9, 64)] == 1
    assert str(sub_network) == "9 blocks x 64 patches"
    with pytest.raises(AttributeError):
        sub_network.depth = 10  # type: ignore[misc]


@pytest.mark.parametrize(("depth", "words"), [(0, ["depth: 0", "1"]), (-3, ["depth: -3", "1"])])
def test_a_sub_network_has_a_block(depth, words):
    with pytest.raises(ScheduleError) as error:
        SubNetwork(depth, 4)
    assert all(word in str(error.value) for word in words)


@pytest.mark.parametrize("epochs", [0, -1, float("nan"), float("-inf")])
def test_a_stage_trains_for_some_time(epochs):
    with pytest.raises(ScheduleError, match=f"epochs: {epochs} "):
        Stage(epochs, SubNetwork(1, 1))


def stage(text: str) -> str:
    return f"stages: [{{{text}}}]"


MALFORMED = {
    "empty file": ("", ["stages", "missing"]),
    "not a mapping": ("[1, 2]", ["stages", "missing"]),
    "no stages": ("epochs: 3", ["stages", "missing"]),
    "stages a number": ("stages: 3", ["stages", "missing"]),
    "stages a mapping": ("stages: {depth: 3}", ["stages", "missing"]),
    "zero stages": ("stages: []", ["stages", "0"]),
    "stage a number": ("stages: [3]", ["stage 1", "3"]),
    "broken YAML": ("stages: [", ["cannot be read"]),
    "impossible date": (stage("epochs: 2020-13-45, depth: 2, patches: 9"), ["stage 1, epochs", "2020-13-45"]),
    "a Python object": ("stages: !!python/object:os.system x", ["cannot be read"]),
    "unknown field": (stage("epochs: 1, depth: 2, patches: 9, width: 3"), ["stage 1", "width"]),
    "unknown fields of two types": (stage("epochs: 1, depth: 2, patches: 9, b: 3, 7: 1"), ["stage 1", "7 is unknown"]),
    "patches and resolution": (stage("epochs: 1, depth: 2, patches: 9, resolution: 12"), ["patches", "resolution"]),
    "neither": (stage("epochs: 1, depth: 2"), ["stage 1", "patches", "resolution"]),
    "not a square": (stage("epochs: 1, depth: 2, patches: 10"), ["stage 1", "patches", "10", "9", "16"]),
    "no patches": (stage("epochs: 1, depth: 2, patches: 0"), ["stage 1", "patches", "0"]),
    "patches null": (stage("epochs: 1, depth: 2, patches: null"), ["stage 1", "patches", "None"]),
    "odd resolution": (stage("epochs: 1, depth: 2, resolution: 13"), ["stage 1", "resolution", "13", "4"]),
    "no resolution": (stage("epochs: 1, depth: 2, resolution: 0"), ["stage 1", "resolution", "0"]),
    "negative resolution": (stage("epochs: 1, depth: 2, resolution: -4"), ["stage 1", "resolution", "-4"]),
    "no depth": (stage("epochs: 1, patches: 9"), ["stage 1", "depth", "missing"]),
    "depth 0": (stage("epochs: 1, depth: 0, patches: 9"), ["stage 1", "depth", "0"]),
    "depth 2.5": (stage("epochs: 1, depth: 2.5, patches: 9"), ["stage 1", "depth", "2.5"]),
    "depth true": (stage("epochs: 1, depth: true, patches: 9"), ["stage 1", "depth", "True"]),
    "depth text": (stage("epochs: 1, depth: two, patches: 9"), ["stage 1", "depth", "two"]),
    "no epochs": (stage("depth: 2, patches: 9"), ["stage 1", "epochs"]),
    "epochs 0": (stage("epochs: 0, depth: 2, patches: 9"), ["stage 1", "epochs", "0"]),
    "epochs nan": (stage("epochs: .nan, depth: 2, patches: 9"), ["stage 1", "epochs", "nan"]),
    "epochs infinite": (stage("epochs: .inf, depth: 2, patches: 9"), ["stage 1", "epochs", "inf"]),
    "epochs text": (stage("epochs: long, depth: 2, patches: 9"), ["stage 1", "epochs", "long"]),
    "epochs true": (stage("epochs: true, depth: 2, patches: 9"), ["stage 1, epochs", "True"]),
    "epochs without end": (stage("epochs: 1e7, depth: 2, patches: 9"), ["stage 1, epochs", "1,000,000"]),
    "depth infinite": (stage("epochs: 1, depth: .inf, patches: 9"), ["stage 1, depth", "inf"]),
    "depth huge": (stage("epochs: 1, depth: 1" + "0" * 30 + ", patches: 9"), ["beyond"]),
    "patches a date": (stage("epochs: 1, depth: 2, patches: 2024-01-01"), ["stage 1, patches", "'2024-01-01'"]),
    "a tag": (stage("epochs: !!int 1, depth: 2, patches: 9"), ["tag !!int"]),
    "a cycle": ("stages: &a [*a]", ["*a is within"]),
    "a field twice": (stage("epochs: 1, epochs: 2, depth: 2, patches: 9"), ["'epochs' is given twice"]),
    "another field": ("stages: []\nstage: 3", ["'stage' is unknown"]),
    "stages without end": ("stages: [" + "{}, " * 1001 + "]", ["stages", "1,001", "1,000"]),
    "depth shrinks": (
        "stages: [{epochs: 1, depth: 3, patches: 9}, {epochs: 1, depth: 2, patches: 9}]",
        ["stage 2", "2 blocks", "3 blocks", "shrinks"],
    ),
    "patches shrink": (
        "stages: [{epochs: 1, depth: 3, patches: 9}, {epochs: 1, depth: 3, patches: 4}]",
        ["stage 2", "9 patches", "4 patches", "shrinks"],
    ),
}


@pytest.mark.parametrize(("text", "words"), MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_file_gives_one_line_that_names_field_and_value(tmp_path, text, words):
    path = tmp_path / "schedule.yaml"
    path.write_text(text)
    with pytest.raises(ScheduleError) as error:
        GrowthSchedule.from_file(path, patch_size=4)
    message = str(error.value)
    assert "\n" not in message
    assert all(word in message for word in words), message


def test_numbers_may_be_written_with_exponents(tmp_path):
    (tmp_path / "s.yaml").write_text(
        "stages: [{epochs: 5e-1, depth: 2e0, patches: 0x9}, {epochs: 2e1, depth: 3, patches: 16.}]"
    )
    schedule = GrowthSchedule.from_file(tmp_path / "s.yaml", patch_size=4)
    assert schedule == GrowthSchedule.of([0.5, 20], [SubNetwork(2, 9), SubNetwork(3, 16)])


def test_a_file_that_cannot_be_read_gives_one_line(tmp_path):
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\xfa")
    for path in (binary, tmp_path / "missing.yaml", tmp_path, Path("/dev/null/x.yaml")):
        with pytest.raises(ScheduleError, match=f"{path} cannot be read"):
            GrowthSchedule.from_file(path, patch_size=4)


def test_which_sub_network_trains_when():
    schedule = GrowthSchedule.of([2, 1.5, 4], [SubNetwork(3, 9), SubNetwork(4, 9), SubNetwork(6, 36)])
    assert schedule.epochs == 7.5
    depths = [schedule.at(epoch).depth for epoch in (0, 1.99, 2, 3, 3.5, 7, 7.5, 100)]
    assert depths == [3, 3, 4, 4, 6, 6, 6, 6]
