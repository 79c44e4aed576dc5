"""Stage lengths as one more axis of the search."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from autoprog_search.engines.opening import open_trial
from autoprog_search.engines.trial import plan
from autoprog_search.errors import AutoProgError
from autoprog_search.space import LENGTHS
from autoprog_search.study.checks import check_config
from autoprog_search.study.creation import create_study
from autoprog_search.study.results import trials_frame
from autoprog_search.study.store import Job
from tests.tiny import SHORT, run_here, tiny_config, without_measuring

CHOICES = "space.stage_length_choices=[[0.17, 0.33, 0.5], [0.5, 0.33, 0.17]]"
EPOCHS = {0: (2, 2, 2), 1: (1, 2, 3), 2: (3, 1, 2)}  # of six, by level; 0 is the space's own
DATA = SimpleNamespace(train_size=15 * 32, num_classes=10)


def planned(study, method: str, trial: int) -> tuple[int, tuple[float, ...]]:
    """The level that a trial has, and the epochs of its stages."""
    job = Job(method, 0, trial)
    opened = open_trial(study, job)
    spec, _ = plan(study, job, opened, DATA)
    epoch_steps = DATA.train_size // study.config.recipe.batch_size
    return opened.params.get(LENGTHS, 0), tuple(steps / epoch_steps for steps in spec.stage_steps)


def study_of(tmp_path, methods: str, *overrides: str):
    config = check_config(tiny_config(CHOICES, "recipe.epochs=6", f"methods={methods}", *overrides))
    return without_measuring(create_study(tmp_path, config))


def test_uniform_draws_and_samplers_choose_among_them(tmp_path):
    study = study_of(
        tmp_path, "{random: {trials: 12, seeds: 1}, gp: {trials: 1, seeds: 1}, tpe: {trials: 1, seeds: 1}}"
    )
    drawn = [planned(study, "random", trial) for trial in range(12)]
    assert {level for level, _ in drawn} == {0, 1, 2}
    for level, epochs in [*drawn, planned(study, "gp", 0), planned(study, "tpe", 0)]:
        assert epochs == EPOCHS[level]
    assert planned(study, "tpe", 0) == planned(study, "tpe", 0)  # taken up again


def test_all_others_train_the_spaces_own(tmp_path):
    methods = "{full: {seeds: 1}, linear: {seeds: 1}, autoprog: {seeds: 1}, pbt: {trials: 2, seeds: 1}}"
    study = study_of(tmp_path, methods, "space.stage_lengths=[0.5, 0.17, 0.33]")
    for method in ("linear", "autoprog"):
        assert planned(study, method, 0) == (0, (3, 1, 2))
    trials = study.optuna_study("pbt", 0).get_trials()
    assert all(LENGTHS not in trial.system_attrs["fixed_params"] for trial in trials)


def test_the_grid_has_every_schedule_at_all_lengths(tmp_path):
    space = tiny_config().space
    study = study_of(tmp_path, f"{{grid: {{trials: {3 * space.count()}, seeds: 1}}}}")
    drawn = [t.system_attrs["fixed_params"] for t in study.optuna_study("grid", 0).get_trials()]
    assert len({tuple(sorted(params.items())) for params in drawn}) == 3 * space.count()
    assert sum(params[LENGTHS] == 2 for params in drawn) == space.count()
    with pytest.raises(AutoProgError, match=f"more than the space's {3 * space.count()} schedules"):
        study_of(tmp_path / "more", f"{{grid: {{trials: {3 * space.count() + 1}, seeds: 1}}}}")


def test_a_search_trains_what_it_chose(tmp_path):
    study = study_of(tmp_path, "{full: {seeds: 1}, tpe: {trials: 3, seeds: 1}}", *SHORT)
    run_here(study)
    frame = trials_frame(study)
    assert set(frame["state"]) == {"COMPLETE"}
    trials = study.optuna_study("tpe", 0).get_trials()
    for trial, epochs in zip(trials, frame[frame["method"] == "tpe"]["stage_epochs"], strict=True):
        assert tuple(epochs) == EPOCHS[trial.params[LENGTHS]]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("space.stage_length_choices=[[0.5, 0.5]]", "stage_length_choices: got 2 for 3 stages"),
        ("space.stage_length_choices=[[0.5, 0.5, 0.5]]", "stage_length_choices: .* sum to 1"),
        ("space.stage_length_choices=[[0.01, 0.01, 0.98]]", "epochs: 6 leave stage 1 of 3 without an epoch"),
        ("space.equal_compute=true", "equal_compute: .* stage_length_choices cannot"),
    ],
)
def test_choices_that_cannot_be(tmp_path, override, message):
    with pytest.raises(AutoProgError, match=message):
        study_of(tmp_path, "{random: {trials: 1, seeds: 1}}", override)
