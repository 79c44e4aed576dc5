"""Which trials may run: what needs settings that were taken out is left, with what follows it; all else runs."""

from __future__ import annotations

import pytest

from autoprog_search.errors import ConfigError
from autoprog_search.study.creation import create_study
from autoprog_search.study.identity import settings_of
from autoprog_search.study.resolve import config_from_file
from autoprog_search.study.scheduling import check_runs, runnable, to_run
from autoprog_search.study.store import Job, StoredStudy, fail
from tests.tiny import TINY, tiny_config

METHODS = "methods={autoprog: {seeds: 1}, full-short: {seeds: 1}, replay: {seeds: 1}, full: {seeds: 1}}"
RETIRED = {"autoprog": {"loss_errors": "paired"}}


@pytest.fixture
def study(tmp_path):
    """Of before: its autoprog needs what was taken out."""
    made = create_study(tmp_path, tiny_config(METHODS))
    return StoredStudy(made.folder, made.config.model_copy(update={"retired": RETIRED}))


def test_what_follows_a_retired_trial_is_left_with_it(study):
    assert list(to_run(study)) == [Job("full", 0, 0)]
    with pytest.raises(
        ConfigError, match=r"methods: autoprog needs growth\.loss_errors 'paired', .* commit .* runs it"
    ):
        check_runs(study, study.trials())


def test_what_follows_a_retired_trial_that_has_run_goes_on(study):
    fail(study, Job("autoprog", 0, 0), "so that it has ended")
    assert {job.method for job in runnable(to_run(study))} == {"full-short", "replay", "full"}
    check_runs(study, study.trials())


def test_a_leader_that_was_taken_out_of_the_study_is_named(study):
    config = study.config.model_copy(
        update={"methods": {name: plan for name, plan in study.config.methods.items() if name != "autoprog"}}
    )
    settings_of(config, "full-short")
    without = StoredStudy(study.folder, config)
    assert list(to_run(without)) == [Job("full", 0, 0)]
    with pytest.raises(ConfigError, match=r"full-short follows autoprog seed 0, which is not there"):
        check_runs(without, without.trials())


def test_no_study_is_made_of_what_was_taken_out(study, tmp_path):
    with pytest.raises(ConfigError, match=r"loss_errors 'paired', which was taken out"):
        create_study(tmp_path / "again", study.config)
    path = tmp_path / "given.yaml"
    path.write_text(TINY.read_text() + "retired: {full: {x: 1}}\n")
    with pytest.raises(ConfigError, match=r"retired: unknown field"):
        config_from_file(path, "given")
