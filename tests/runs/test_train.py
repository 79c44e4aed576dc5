"""One run outside a study: the same run as a study's, on as few epochs as its schedule needs."""

from __future__ import annotations

import optuna
import pytest
import torch

from autoprog_search import AutoProgSampler, GrowthSchedule, SubNetwork, load_study, train
from autoprog_search.errors import AutoProgError, ConfigError, SpaceError
from autoprog_search.study.creation import create_study
from tests.tiny import cli_here, run_here, tiny_config, without_measuring

SMALL = ("space.model_args.embed_dim=12", "data.train_share=0.2", "recipe.batch_size=50")
SAME = ("depths", "stage_epochs", "val_top1", "top1", "ema_top1", "loss", "total_flops")


def small(*overrides: str) -> dict:
    """Arguments of a run that takes a second."""
    config = tiny_config("methods={full: {seeds: 1}}", *SMALL, *overrides)
    return {"space": config.space, "data": config.data, "recipe": config.recipe, "device": "cpu"}


@pytest.fixture
def two_threads():
    """What a caller may have set."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.slow
def test_the_callers_threads_are_left_as_they_were(two_threads):
    seen: list[int] = []

    def look(progress):
        seen.append(torch.get_num_threads())

    train(**small("recipe.epochs=1"), schedule="full", on_progress=look)
    assert set(seen) == {1}
    assert torch.get_num_threads() == 2
    with pytest.raises(AutoProgError):
        train(**small(), schedule="spiral")
    assert torch.get_num_threads() == 2
    torch.set_num_threads(1)
    train(**small("recipe.epochs=1"), schedule="full", threads=2, on_progress=look)
    assert seen[-1] == 2
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize("threads", [0, -1, 1_000_000])
def test_a_number_of_threads_that_cannot_be(threads):
    with pytest.raises(ConfigError, match=f"threads: {threads} is not from 1 to"):
        train(**small("recipe.epochs=1"), schedule="full", threads=threads)


def test_a_run_is_the_same_in_a_study_and_alone_whatever_the_caller_set(tmp_path, two_threads):
    config = tiny_config("methods={full: {seeds: 1}}", *SMALL, "recipe.epochs=2", name="s")
    study = without_measuring(create_study(tmp_path / "studies", config))
    row = train(**small("recipe.epochs=2"), schedule="full")
    assert torch.get_num_threads() == 2
    run_here(study)
    (stored,) = load_study("s", tmp_path / "studies").results().to_dict("records")
    assert {name: row[name] for name in SAME} == {name: stored[name] for name in SAME}
    assert stored["stage_epochs"] == [2.0]  # fewer than the space's 3 stages: one
    assert stored["speedup_flops"] == 1


@pytest.mark.parametrize(("epochs", "stages"), [(1, [1]), (2, [2]), (3, [1, 1, 1]), (4, [1, 1, 2])])
def test_full_keeps_the_spaces_stages_where_the_epochs_suffice(epochs, stages):
    row = train(**small(f"recipe.epochs={epochs}"), schedule="full")
    assert row["stage_epochs"] == stages
    assert set(row["depths"]) == {4}
    assert row["epochs"] == epochs


def test_stages_of_one_size_need_no_epoch_each():
    one_size = ("space.depths=[4]", "space.resolutions=[16]")
    row = train(**small("recipe.epochs=1", *one_size), schedule="linear")
    assert row["stage_epochs"] == [1]
    lengths = ("space.stage_lengths=[0.8,0.1,0.1]", "recipe.epochs=4")  # its second stage would be empty
    assert train(**small(*lengths), schedule="full")["stage_epochs"] == [4]
    assert train(**small("space.equal_compute=true", "recipe.epochs=1"), schedule="full")["epochs"] == 1


@pytest.mark.parametrize("schedule", ["linear", "autoprog"])
def test_stages_that_differ_need_an_epoch_each(schedule):
    with pytest.raises(SpaceError, match="epochs: 2 leave stage 1 of 3 without an epoch"):
        train(**small("recipe.epochs=2"), schedule=schedule)


@pytest.mark.parametrize("schedule", ["one-layer", "timm-progressive"])
def test_schedules_with_lengths_of_their_own_need_a_step_a_stage(schedule):
    row = train(**small("recipe.epochs=1"), schedule=schedule)
    assert row["epochs"] == 1
    with pytest.raises(ConfigError, match=r"epochs: stage \d is 0\.\d+ epochs of 1 steps long, less than one step"):
        train(**small("recipe.epochs=1", "recipe.batch_size=200"), schedule=schedule)


@pytest.mark.parametrize("schedule", ["replay", "full-short"])
def test_schedules_that_follow_another_trial_are_a_studys(schedule):
    with pytest.raises(ConfigError, match=f"schedule: {schedule} follows a trial of autoprog, so it runs in a study"):
        train(**small(), schedule=schedule)


def test_stages_store_what_they_and_their_searches_cost():
    row = train(**small("recipe.epochs=3", "recipe.batch_size=10"), schedule="autoprog")
    assert sum(row["stage_flops"]) == row["train_flops"]
    assert sum(stage["search_flops"] for stage in row["stages"]) == row["search_flops"] > 0
    for flops, stage in zip(row["stage_flops"], row["stages"], strict=True):
        assert (0 < stage["supernet_flops"] < flops) == (stage["searched_steps"] > 0)


def test_a_schedule_of_one_stage():
    schedule = GrowthSchedule.of([0.5], [SubNetwork(4, 16)])
    assert train(**small(), schedule=schedule)["epochs"] == pytest.approx(0.5, abs=0.2)


def test_a_study_says_which_method_needs_more_epochs():
    few = ("recipe.epochs=2", *SMALL)
    assert tiny_config("methods={full: {seeds: 1}, one-layer: {seeds: 1}}", *few).recipe.epochs == 2
    for method in ("linear", "random", "autoprog", "tpe"):
        with pytest.raises(SpaceError, match=f"methods, {method}, epochs: 2 leave stage 1 of 3 without an epoch"):
            tiny_config(f"methods={{full: {{seeds: 1}}, {method}: {{seeds: 1}}}}", *few)


def test_a_study_with_a_stage_of_no_step_is_refused_before_it_trains(tmp_path):
    few = ("recipe.epochs=1", "recipe.batch_size=200")
    config = tiny_config("methods={full: {seeds: 1}, efficienttrain: {seeds: 1}}", *SMALL, *few, name="s")
    without_measuring(create_study(tmp_path / "studies", config))
    done = cli_here("study", "run", "s", "--device", "cpu", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: epochs: stage ")
    assert set(load_study("s", tmp_path / "studies").results()["state"]) == {"WAITING"}


def test_a_trial_of_ones_own_study_is_steered_as_the_command_does_it():
    """The sampler's answers are its parameters; the run is the one that AutoProg makes alone."""
    study = optuna.create_study(sampler=AutoProgSampler(), directions=["minimize", "maximize"])
    trial = study.ask()
    own = small("space.stages=2", "space.depths=[2, 4]", "space.resolutions=[8, 16]")
    steered, alone = train(**own, trial=trial), train(**own)
    assert [steered[name] for name in SAME] == [alone[name] for name in SAME]
    assert steered["search_flops"] > 0
    depth, patches = own["space"].depths.index(steered["depths"][0]), own["space"].patches.index(steered["patches"][0])
    assert trial.params == {"stage1_depth_level": depth, "stage1_patches_level": patches}


@pytest.mark.parametrize("clock", ["stages", "free"])
def test_any_sampler_steers_from_its_own_trials(clock):
    sampler = optuna.samplers.RandomSampler(seed=0)
    trial = optuna.create_study(sampler=sampler, directions=["minimize", "maximize"]).ask()
    own = small(f"space.clock={clock}")
    found = train(**own, trial=trial)
    assert set(trial.params) == set(own["space"].distributions())
    assert found["search_flops"] == 0
    chosen = own["space"].from_parameters(trial.params)
    assert sorted(set(zip(found["depths"], found["patches"], strict=True))) == sorted(
        {(own["space"].depths[depth], own["space"].patches[patches]) for depth, patches in chosen}
    )


def test_a_trial_and_a_schedule_are_one_too_many():
    trial = optuna.create_study().ask()
    with pytest.raises(ConfigError, match="schedule: the trial's sampler chooses it"):
        train(**small(), schedule="linear", trial=trial)
