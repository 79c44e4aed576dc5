"""Growth settings by their names of before: moved, kept as text, or refused in a line that says where to go."""

from __future__ import annotations

import pytest
import yaml

from autoprog_search.errors import ConfigError
from autoprog_search.files import write_yaml
from autoprog_search.settings.growth import GrowthSettings
from autoprog_search.settings.retired import LAST_COMMIT, MOVED, RETIRED, as_it_was, renamed, stored_study
from autoprog_search.study.config import StudyConfig
from autoprog_search.study.resolve import config_from_file
from autoprog_search.study.settings_docs import settings
from tests.published import FOLDERS, STUDIES
from tests.tiny import TINY, tiny_config

OLDER = [folder / "study.yaml" for folder in FOLDERS if folder.parent == STUDIES]


def test_every_setting_that_moved_is_there():
    paths = {setting.path for setting in settings()}
    assert {f"growth.{new}" for new in MOVED.values()} <= paths
    assert not {f"growth.{old}" for old in (*MOVED, *RETIRED)} & paths


def test_a_user_touches_few():
    touched = [s for s in settings() if s.group == "growth"]
    assert len(touched) <= 8
    assert {s.path.rpartition(".")[0] for s in settings() if s.path.startswith("growth.")} == (
        {"growth", "growth.adareg", "growth.blocks", "growth.search"}
    )


def test_the_names_of_before_and_those_of_now_say_the_same():
    now = GrowthSettings.model_validate({"tie_se": 0.5, "blocks": {"chain": "even"}, "search": {"share": 0.2}})
    before = as_it_was(now.model_dump())
    assert (before["chain"], before["search_share"], before["tie_se"], before["path"]) == ("even", 0.2, 0.5, "chain")
    assert GrowthSettings.model_validate(renamed(before)) == now


@pytest.mark.parametrize("path", OLDER, ids=lambda path: path.parent.name)
def test_published_studies_are_read_with_all_that_they_say(path):
    data = yaml.safe_load(path.read_text())
    config = StudyConfig.model_validate(stored_study(data))
    said = as_it_was(config.growth.model_dump(mode="json"))
    assert {name: said[name] for name in data["growth"]} == data["growth"]
    for method, plan in data["methods"].items():
        said = as_it_was(config.growth_of(method).model_dump(mode="json")) | config.retired.get(method, {})
        own = {
            name: value for name, value in plan["growth"].items() if name != "adareg"
        }  # `true` stands for its fields
        assert {name: said[name] for name in own} == own


def test_what_is_retired_is_kept_by_method_unless_a_method_takes_another():
    data = {"growth": {"path": "random"}, "methods": {"full": {}, "linear": {"growth": {"path": "chain", "w": 1}}}}
    assert stored_study(data) == {
        "growth": {},
        "methods": {"full": {}, "linear": {"growth": {"w": 1}}},
        "retired": {"full": {"path": "random"}},
    }


def test_a_file_of_before_makes_a_study(tmp_path):
    data = yaml.safe_load(TINY.read_text())
    data["growth"] = {"search_share": 0.2, "path": "chain"}
    data["methods"]["autoprog+wide"] = {"growth": {"search_share": 0.3, "estimate_at": "common"}}
    write_yaml(tmp_path / "old.yaml", data)
    config = config_from_file(tmp_path / "old.yaml", "new", overrides=["growth.search.points=2"])
    assert (config.growth.search.share, config.growth.search.points) == (0.2, 2)
    wide = config.growth_of("autoprog+wide").search
    assert (wide.share, wide.estimate_at, wide.points) == (0.3, "common", 2)


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("growth.search_share=0.2", "--set: growth.search_share: it is growth.search.share now"),
        ("growth={search_share: 0.2}", "growth.search_share: it is growth.search.share now"),
        ("methods.full.growth.score=slope", "methods, full, growth, score: it is growth.search.score now"),
        ("growth.path=random", f"--set: growth.path: 'random' was taken out; the last commit .* {LAST_COMMIT}$"),
        ("growth.loss_errors=own", "growth.loss_errors: it was taken out, and this is what runs"),
        ("methods.full.growth.optimizer_state=rewarm", f"optimizer_state: 'rewarm' was taken out; .* {LAST_COMMIT}$"),
        ("growth.search.path=random", "unknown field 'path'"),
        ("retired={full: {path: random}}", "unknown field 'retired'"),
    ],
)
def test_a_name_of_before_is_answered_with_the_one_of_now(override, line):
    with pytest.raises(ConfigError, match=line):
        tiny_config(override)


def test_no_study_is_made_of_what_was_taken_out():
    with pytest.raises(ConfigError, match=rf"linear\+random_path, growth, path: 'random' was .* {LAST_COMMIT}$"):
        config_from_file(STUDIES / "fashion_ablations/study.yaml", "again")
