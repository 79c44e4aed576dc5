"""A study on disk: created once and whole, opened, deleted."""

from __future__ import annotations

import optuna
import pytest

from autoprog_search.choosing import StageContext
from autoprog_search.engines.opening import open_trial
from autoprog_search.engines.trial import plan
from autoprog_search.errors import AutoProgError, ConfigError, StudyError
from autoprog_search.methods.kinds import Sampled
from autoprog_search.methods.registry import METHODS
from autoprog_search.schedule import SubNetwork
from autoprog_search.study.creation import complete_study, create_study
from autoprog_search.study.deletion import delete_study
from autoprog_search.study.listing import list_studies
from autoprog_search.study.store import Job, open_study
from autoprog_search.testing.methods import play
from tests.tiny import tiny_config, tiny_data


def test_created_study_has_every_trial_waiting(tmp_path):
    study = create_study(tmp_path, tiny_config())
    states = {str(job): trial.state.name for job, trial in study.trials().items()}
    assert len(states) == 8
    assert set(states.values()) == {"WAITING"}
    assert list_studies(tmp_path) == ["tiny"]
    assert open_study(tmp_path, "tiny").config == study.config


def test_random_schedules_are_drawn_when_the_study_is_created(tmp_path):
    first, again = create_study(tmp_path / "a", tiny_config()), create_study(tmp_path / "b", tiny_config())
    drawn = [s.trials()[Job("random", 0, t)].system_attrs["fixed_params"] for s in (first, again) for t in (0, 1)]
    assert drawn[:2] == drawn[2:]
    assert drawn[0] != drawn[1]


def test_grid_search_draws_every_schedule_once_in_another_order_for_every_seed(tmp_path):
    config = tiny_config("methods={grid: {trials: 36, seeds: 2}}")
    study = create_study(tmp_path, config)
    drawn = {job: config.space.from_parameters(t.system_attrs["fixed_params"]) for job, t in study.trials().items()}
    orders = [[levels for job, levels in drawn.items() if job.seed == seed] for seed in (0, 1)]
    assert sorted(orders[0]) == sorted(orders[1]) == sorted(config.space.enumerate())
    assert orders[0] != orders[1]


@pytest.mark.parametrize("name", ["grid", "pbt", "survey"])
def test_more_trials_than_schedules_are_refused_where_none_is_tried_twice(name):
    most = "9 ways to go" if name == "survey" else "36 schedules"
    with pytest.raises(ConfigError, match=f"methods, {name}, trials: 37 are more than the space's {most}"):
        tiny_config(f"methods={{{name}: {{trials: 37}}}}")


@pytest.mark.parametrize("name", [name for name, kind in METHODS.items() if isinstance(kind, Sampled)])
def test_a_trial_that_was_interrupted_is_answered_the_same_again(name, tmp_path):
    """Whether the sampler answers parameter by parameter, or all of them when the trial is opened."""
    config = tiny_config(f"methods={{{name}: {{trials: 6, seeds: 1}}}}")
    data = tiny_data(config)

    def schedules(interrupted: bool) -> list[list[SubNetwork]]:
        study = create_study(tmp_path / str(interrupted), config)
        ran = []
        for job in study.jobs():
            if interrupted:
                _, method = plan(study, job, open_trial(study, job), data)
                method.choose(StageContext(1, (), None, None, (), config.space.depths, config.space.patches))
            trial = open_trial(study, job)
            _, method = plan(study, job, trial, data)
            ran.append([choice.sub_network for _, choice in play(method, config.space)])
            cost = sum(s.depth * s.patches for s in ran[-1])
            trial.study.tell(trial.number, [float(cost), cost**0.1])
        return ran

    undisturbed = schedules(False)
    assert schedules(True) == undisturbed
    assert len({tuple(schedule) for schedule in undisturbed}) > 2


def test_study_that_exists_is_refused_or_kept(tmp_path):
    create_study(tmp_path, tiny_config())
    with pytest.raises(StudyError, match="'tiny' exists already"):
        create_study(tmp_path, tiny_config())
    kept = create_study(tmp_path, tiny_config("recipe.lr=1e-4"), skip_if_exists=True)
    assert kept.config.recipe.lr == tiny_config().recipe.lr


def test_creation_that_was_interrupted_can_be_done_again(tmp_path):
    study = create_study(tmp_path, tiny_config())
    (study.folder / "study.yaml").unlink()  # it is written last
    again = create_study(tmp_path, tiny_config())
    assert len(again.trials()) == 8


def test_storage_by_url_is_used_and_remembered(tmp_path):
    url = f"sqlite:///{tmp_path / 'elsewhere.db'}"
    config = tiny_config().model_copy(update={"storage": url})
    study = create_study(tmp_path, config)
    assert not (study.folder / "study.db").exists()
    assert open_study(tmp_path, "tiny").storage_url == url
    assert "tiny/full/s0" in {s.study_name for s in optuna.get_all_study_summaries(url)}
    delete_study(study)
    assert optuna.get_all_study_summaries(url) == []


def test_storage_that_cannot_be_opened_is_one_line(tmp_path):
    config = tiny_config().model_copy(update={"storage": "sqlite:////nowhere/at/all.db"})
    with pytest.raises(StudyError, match=r"storage: .*cannot be opened"):
        create_study(tmp_path, config)


def test_deleted_study_is_gone(tmp_path):
    delete_study(create_study(tmp_path, tiny_config()))
    assert list_studies(tmp_path) == []
    with pytest.raises(StudyError, match="there is no study 'tiny'"):
        open_study(tmp_path, "tiny")


def test_a_study_that_came_without_its_database_gets_its_trials_again(tmp_path):
    study = create_study(tmp_path, tiny_config())
    before = {job: trial.system_attrs for job, trial in study.trials().items()}
    (study.folder / "study.db").unlink()
    again = open_study(tmp_path, "tiny")
    complete_study(again)
    complete_study(again)  # and once is enough
    assert {job: trial.system_attrs for job, trial in again.trials().items()} == before


def test_a_study_whose_settings_could_not_be_read_back_is_not_made(tmp_path):
    config = tiny_config("methods={random: {seeds: 1}}")
    large = config.model_copy(update={"methods": {f"random+{k}": config.methods["random"] for k in range(9000)}})
    with pytest.raises(AutoProgError, match="65,536 characters"):
        create_study(tmp_path, large)
    assert list(tmp_path.iterdir()) == []
    assert create_study(tmp_path, config).config == open_study(tmp_path, config.name).config


def test_text_that_looks_like_a_number_stays_text_in_a_study(tmp_path):
    config = tiny_config("recipe.teacher='1e-6'", "recipe.opt_args={a: 'yes', b: '2024-01-01', c: 1e-6, d: '0o7'}")
    create_study(tmp_path, config)
    assert open_study(tmp_path, "tiny").config == config
    assert config.recipe.opt_args == {"a": "yes", "b": "2024-01-01", "c": 1e-6, "d": "0o7"}
