"""A study under a free clock: every method on one space of growth times."""

from __future__ import annotations

from itertools import pairwise

import pandas as pd
import pytest

from autoprog_search.engines.workplace import open_workplace
from autoprog_search.errors import ConfigError, SpaceError
from autoprog_search.growth.space_cost import cost_of
from autoprog_search.levels import LAST_CHOICES
from autoprog_search.report.figures import FIGURES
from autoprog_search.report.page import report_page
from autoprog_search.schedule import SubNetwork
from autoprog_search.space import TICKS
from autoprog_search.study.checks import check_config
from autoprog_search.study.creation import create_study
from autoprog_search.study.results import clock_frame, export, published_frames, stored_frames, trials_frame
from tests.tiny import FEW, SHORT, cli_here, run_here, tiny_config, without_measuring

METHODS = (
    "methods={full: {seeds: 1}, full-short: {seeds: 1}, linear: {seeds: 1}, replay: {seeds: 1}, "
    "autoprog: {seeds: 1, trials: 2}, random: {seeds: 1, trials: 1}, tpe: {seeds: 1, trials: 2}}"
)
CLOCK = (*SHORT, *FEW, "space.clock=free", "recipe.epochs=8.2", "recipe.sched=wsd", "recipe.warmup_share=0.1")
STEPS = 41


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    config = check_config(tiny_config(*CLOCK, METHODS))
    study = without_measuring(create_study(tmp_path_factory.mktemp("clock"), config))
    run_here(study)
    return study, trials_frame(study)


def test_every_schedule_is_monotone_sums_to_the_run_and_costs_what_cost_says(ran):
    study, trials = ran
    cost, batch = cost_of(study.config.space, num_classes=10), study.config.recipe.batch_size
    assert set(trials["state"]) == {"COMPLETE"}
    for row in trials.itertuples():
        sizes = [SubNetwork(*pair) for pair in zip(row.depths, row.patches, strict=True)]
        assert all(a.depth <= b.depth and a.patches <= b.patches for a, b in pairwise(sizes))
        assert sizes[-1] == study.config.space.full
        steps = [round(epochs * 5) for epochs in row.stage_epochs]
        if row.method != "full-short":
            assert sum(steps) == STEPS
        expected = sum(n * cost.step_flops(s, batch) for n, s in zip(steps, sizes, strict=True))
        assert row.train_flops == expected
        assert (row.search_flops > 0) == (row.method == "autoprog")


def test_growth_times_are_the_parameters_whoever_answers(ran):
    study, _ = ran
    space = study.config.space
    for method in ("autoprog", "random", "tpe"):
        for trial in study.optuna_study(method, 0).get_trials():
            assert set(trial.params) == set(space.distributions()), method
            ran_as = zip(trial.user_attrs["depths"], trial.user_attrs["patches"], strict=True)
            levels = space.levels_through([SubNetwork(*pair) for pair in ran_as], trial.user_attrs["stage_epochs"])
            assert space.from_parameters(trial.params) == levels


def test_what_was_expected_and_what_came_are_a_table_of_their_own(ran):
    study, trials = ran
    clock = clock_frame(study)
    assert set(clock["method"]) == set(trials["method"])
    for row in trials.itertuples():
        found = clock[(clock["method"] == row.method) & (clock["trial"] == row.trial)]
        assert found["size"].tolist() == [size for pair in zip(row.depths, row.patches, strict=True) for size in pair]
        assert found["grew"].any() == (len(set(zip(row.depths, row.patches, strict=True))) > 1)
        assert (found["probed"] > 0).any() == found["mixing"].notna().any() == (row.method == "autoprog")
        grew = found[found["grew"]]
        assert (grew["mixed"].isna() | (grew["mixed"] <= grew["watched"])).all()
        if row.method in ("autoprog", "random", "tpe", "replay"):
            assert (found["tick"] % 1 == 0).all()
        if row.method == "autoprog":
            assert (grew["tick"] == grew["deadline"]).all()
    export(study)
    read = published_frames(study.folder)
    pd.testing.assert_frame_equal(read.clock, clock, check_dtype=False, rtol=0, atol=0)


def test_a_clock_is_shown_drawn_and_reported(ran):
    study, _ = ran
    root, name = study.folder.parent, study.folder.name
    shown = cli_here("--root", root, "study", "show", name, cwd=root)
    assert (shown.returncode, shown.stderr) == (0, "")
    lines = [line for line in shown.stdout.splitlines() if ": grew to " in line]
    assert len(lines) == 7  # all trials but those of full and full-short
    assert all(("mixing expected" in line) == line.startswith("autoprog") for line in lines)
    assert "grew to" not in cli_here("--root", root, "study", "show", name, "-f", "csv", cwd=root).stdout
    drawn = cli_here("--root", root, "study", "plot", name, "--kind", "clock", cwd=root)
    assert (drawn.returncode, drawn.stdout.strip()) == (0, str(study.folder / "clock.html"))
    assert not FIGURES["clock"].silent(stored_frames(study))
    assert 'id="figure-clock-flops"' in report_page(stored_frames(study))


def test_replay_trains_what_autoprog_found_without_its_probe(ran):
    _, trials = ran
    by_method = trials.set_index(["method", "trial"])
    found, again = by_method.loc[("autoprog", 0)], by_method.loc[("replay", 0)]
    assert again["train_flops"] == found["train_flops"] < found["total_flops"]


def test_a_heavier_cost_moves_the_growths_to_later_ticks(ran):
    study, _trials = ran
    first, second = (t.params for t in study.optuna_study("autoprog", 0).get_trials())
    assert all(second[name] >= first[name] for name in first)


def test_where_patches_are_dropped_nothing_is_measured_and_a_heavier_cost_grows_later(tmp_path):
    methods = "methods={full: {seeds: 1}, autoprog: {seeds: 1, trials: 2}, replay: {seeds: 1}, hand-timed: {seeds: 1}}"
    dropped = ("space.patches_by=dropout", "growth.search.all_patches_steps=20")
    study = without_measuring(create_study(tmp_path, check_config(tiny_config(*CLOCK, *dropped, methods))))
    run_here(study)
    trials, clock = trials_frame(study).set_index(["method", "trial"]), clock_frame(study)
    assert set(trials["state"]) == {"COMPLETE"}
    assert (trials["search_flops"] == 0).all()
    assert trials.loc[("autoprog", 0), "depths"] == [study.config.space.depth] * 2
    assert trials.loc[("autoprog", 0), "train_flops"] == trials.loc[("replay", 0), "train_flops"]
    assert trials.loc[("autoprog", 1), "train_flops"] != trials.loc[("autoprog", 0), "train_flops"]
    grew = clock[clock["grew"]]
    assert set(grew["method"]) == {"autoprog", "replay", "hand-timed"}
    assert grew["mixed"].isna().all()
    assert 'id="figure-clock-flops"' in report_page(stored_frames(study))


def test_fixed_schedules_keep_their_stages(ran):
    _, trials = ran
    linear = trials[trials["method"] == "linear"].iloc[0]
    assert [round(e * 5) for e in linear["stage_epochs"]] == [14, 27]  # two levels an axis: the second stage is full
    assert len(trials[trials["method"] == "full"].iloc[0]["stage_epochs"]) == 1


@pytest.mark.parametrize(
    ("methods", "words"),
    [
        ("{pbt: {trials: 2}}", "pbt: it goes by given stages"),
        ("{autoprog: {}, survey: {}}", "survey: it goes by given stages"),
        ("{grid: {trials: 2}}", None),
    ],
)
def test_what_cannot_go_by_ticks_says_so(methods, words):
    if words is None:
        assert tiny_config(*CLOCK, f"methods={methods}").space.count() == TICKS**2
        return
    with pytest.raises(ConfigError, match=words):
        tiny_config(*CLOCK, f"methods={methods}")


def test_what_nni_proposes_and_what_it_steers_are_trained_on_the_clock(tmp_path, monkeypatch):
    pytest.importorskip("nni_node")
    pytest.importorskip("pytorch_lightning")
    monkeypatch.setenv("HOME", str(tmp_path))  # NNI's list of experiments is not to grow by our tests
    methods = "methods={'nni:random': {seeds: 1, trials: 1}, 'nni:autoprog': {seeds: 1}}"
    study = without_measuring(create_study(tmp_path, tiny_config(*CLOCK, "nni.engine=sequential", methods)))
    run_here(study)
    space, trials = study.config.space, trials_frame(study)
    assert set(trials["state"]) == {"COMPLETE"}
    for row in trials.itertuples():
        ran = [SubNetwork(*pair) for pair in zip(row.depths, row.patches, strict=True)]
        params = study.optuna_study(row.method, 0).get_trials()[0].params
        assert space.from_parameters(params) == space.levels_through(ran, row.stage_epochs)
        assert round(sum(row.stage_epochs) * 5) == STEPS


def test_a_schedule_is_followed_on_the_space_that_found_it():
    with pytest.raises(ConfigError, match=r"methods, replay, space: \{\} is not that of autoprog"):
        tiny_config(*SHORT, *FEW, "methods={autoprog: {space: {clock: free}}, replay: {}}")


def test_whole_epochs_are_asked_of_given_stages_whatever_stands_before_them():
    methods = "methods={random+free: {space: {clock: free}}, random: {}}"
    with pytest.raises(SpaceError, match=r"epochs: 8\.2 is not whole"):
        tiny_config(*SHORT, *FEW, "recipe.epochs=8.2", methods)


@pytest.mark.parametrize("method", ["random", "tpe"])
def test_a_study_that_is_too_short_is_refused_before_a_trial_runs(method, tmp_path):
    study = create_study(tmp_path, tiny_config(*CLOCK, "recipe.epochs=7", f"methods={{{method}: {{}}}}"))
    with pytest.raises(ConfigError, match="fewer than the 36 ticks"):
        open_workplace(study, "cpu", should_stop=lambda: False)


def test_stage_lengths_among_which_samplers_chose_are_refused_by_name():
    with pytest.raises(ConfigError, match=f"stage_length_choices: .*{LAST_CHOICES}"):
        tiny_config("space.stage_length_choices=[[0.2, 0.3, 0.5]]")
