"""Methods planned in several lengths, with settings of their own, after another's schedule, on seeds of their own."""

from __future__ import annotations

import pytest

from autoprog_search.analysis.sizes import PATCHES, sizes_of
from autoprog_search.errors import AutoProgError
from autoprog_search.study.checks import check_config
from autoprog_search.study.creation import create_study
from autoprog_search.study.results import trials_frame
from tests.tiny import SHORT, run_here, tiny_config, without_measuring

METHODS = """{
  full: {seeds: 1, epochs: [6, 3]},
  autoprog: {seeds: 1, epochs: [6, 7]},
  replay: {seeds: 1, epochs: [6, 7]},
  efficienttrain: {seeds: 1},
  linear+equal: {seeds: 1, space: {equal_compute: true}},
  linear+larger: {seeds: 1, space: {patches_by: patch_size}},
  linear+long_last: {seeds: 1, space: {stage_lengths: [0.17, 0.17, 0.66]}, growth: {operator: zero_init}},
}"""


@pytest.fixture(scope="module")
def frame(tmp_path_factory):
    config = check_config(
        tiny_config(f"methods={METHODS}", "first_seed=7", "space.depths=[2, 4]", *SHORT, "recipe.batch_size=28")
    )
    study = without_measuring(create_study(tmp_path_factory.mktemp("plans"), config))
    run_here(study)
    frame = trials_frame(study)
    assert set(frame["state"]) == {"COMPLETE"}
    assert set(frame["seed"]) == {7}
    return frame.set_index(["method", "trial"])


def test_a_sweep_trains_each_length(frame):
    assert frame["scheduled_epochs"]["full"].tolist() == frame["epochs"]["full"].tolist() == [6, 3]
    assert frame["total_flops"]["full"][0] == 2 * frame["total_flops"]["full"][1]
    assert set(frame["w_scale"]["autoprog"]) == {1.0}


def test_replay_trains_what_autoprog_found_and_searches_nothing(frame):
    for trial in (0, 1):
        found, again = frame.loc[("autoprog", trial)], frame.loc[("replay", trial)]
        assert (again["depths"], again["patches"]) == (found["depths"], found["patches"])
        assert found["search_flops"] > 0
        assert again["search_flops"] == 0


def test_a_program_has_stages_of_its_own(frame):
    row = frame.loc[("efficienttrain", 0)]
    lengths = row["stage_epochs"]
    assert len(lengths) == 10
    assert sum(lengths) == pytest.approx(6)


def test_a_variant_has_its_own_settings(frame):
    lengths = frame.loc[("linear+long_last", 0)]["stage_epochs"]
    assert lengths == [1, 1, 4]
    assert frame.loc[("replay", 0)]["stage_epochs"] == [2, 2, 2]


def test_a_variant_may_grow_its_patches_otherwise(frame):
    larger, equal = frame.loc[("linear+larger", 0)], frame.loc[("linear+equal", 0)]
    assert larger["patches"] == equal["patches"] == [4, 9, 16]
    assert larger["resolutions"] == [16, 18, 16]  # patches of 8, 6 and 4 px
    assert equal["resolutions"] == [8, 12, 16]


def test_stages_of_equal_compute_cost_what_full_does(frame):
    equal, full = frame.loc[("linear+equal", 0)], frame.loc[("full", 0)]
    assert equal["total_flops"] == pytest.approx(full["total_flops"], rel=0.02)
    lengths = equal["stage_epochs"]
    assert lengths[2] == 2  # the full network's third
    assert lengths[0] > lengths[1] > lengths[2]


@pytest.mark.parametrize(
    ("methods", "said"),
    [
        ("{tpe: {epochs: [3, 6]}}", "methods, tpe, epochs"),
        ("{full: {epochs: [3, 6], trials: 3}}", "trials: 3 for 2 lengths"),
        ("{replay: {}}", "replay follows autoprog"),
        ("{autoprog: {epochs: [6, 8]}, replay: {}}", "methods, replay, epochs"),
        ("{linear+a: {growth: {operatr: zero_init}}}", "methods, linear\\+a, growth, operatr"),
        ("{linear+a: {space: {depths: [9]}}}", "depths: 9 is above"),
        ("{linear+a: {space: {stages: 7}}}", "stage"),
        ("{linear: {epochs: [2]}}", "without an epoch"),
        ("{pbt: {trials: 2, space: {depths: [2, 4]}}}", "methods, pbt, space"),
        ("{tpe: {space: {equal_compute: true}}}", "methods, tpe: stages of equal compute"),
    ],
)
def test_a_wrong_plan_is_refused_in_words(methods, said):
    with pytest.raises(AutoProgError, match=said):
        check_config(tiny_config(f"methods={methods}"))


def test_a_study_drops_patches_too(tmp_path):
    methods = (
        "methods={full: {seeds: 1}, linear: {seeds: 1}, linear+resized: {seeds: 1, space: {patches_by: resolution}}}"
    )
    study = without_measuring(create_study(tmp_path, tiny_config(*SHORT, "space.patches_by=dropout", methods)))
    run_here(study)
    trials = trials_frame(study).set_index("method")
    assert (trials["state"] == "COMPLETE").all()
    assert trials["patches"]["linear"] == trials["patches"]["linear+resized"] == [4, 9, 16]
    assert trials["resolutions"]["linear"] == [16, 16, 16]
    assert sizes_of(trials) == PATCHES
    assert trials["top1"]["linear"] != trials["top1"]["linear+resized"]
