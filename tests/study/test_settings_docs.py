"""Whatever can be set is explained, by the text that stands below it in its class."""

from __future__ import annotations

from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, Field

from autoprog_search.errors import ConfigError
from autoprog_search.growth.operators import GROWTH_OPERATORS
from autoprog_search.growth.patch_operators import PATCH_OPERATORS
from autoprog_search.oneshot.score import SCORES
from autoprog_search.study import settings_docs
from autoprog_search.study.config import StudyConfig
from autoprog_search.study.settings_docs import find, group_named, groups, settings
from tests.tiny import tiny_config


def leaves(value: object, path: str = "") -> set[str]:
    """Every path of a configuration that is written out, methods called NAME."""
    if not isinstance(value, dict) or path in ("space.model_args", "recipe.opt_args"):
        return {path}
    named = {"NAME" if path == "methods" else name: inner for name, inner in value.items()}
    return {path, *(leaf for name, inner in named.items() for leaf in leaves(inner, f"{path}.{name}".lstrip(".")))}


def test_every_field_of_a_study_is_there_and_explained():
    written = tiny_config("growth.adareg=true", "methods={full: {seeds: 1}}").model_dump(mode="json")
    paths = [setting.path for setting in settings()]
    assert leaves(written) - {"", "methods.NAME"} <= set(paths)
    assert len(paths) == len(set(paths))
    assert [setting.path for setting in settings() if len(setting.text.split()) < 2] == []


def test_a_field_without_a_description_is_found(monkeypatch):
    """The test above can fail."""

    class More(StudyConfig):
        """A study's."""

        first_seed: int = 0
        """of every
        method."""
        forgotten: int = 0

    found = {setting.path: setting.text for setting in settings_docs._settings_of(More, "")}
    assert (found["first_seed"], found["forgotten"], found["tolerance"]) == ("of every method.", "", "")


def test_types_bounds_and_defaults_in_words():
    class Typed(BaseModel):
        share: float = Field(default=0.5, gt=0, le=1)
        several: tuple[Annotated[int, Field(ge=1)], ...] = (1, 2)
        pair: tuple[float, float]
        lists: tuple[tuple[float, ...], ...] = ()
        choice: Literal["a", "b"] | None = None
        flag: bool = True
        finite: Annotated[float, Field(ge=-1e300, le=1e300)] | None = Field(default=None, ge=0)
        free: dict[str, object] = Field(default_factory=dict)
        word: str = ""

    found = {s.path: (s.kind, s.default_text) for s in settings_docs._settings_of(Typed, "")}
    assert found == {
        "share": ("number > 0, ≤ 1", "0.5"),
        "several": ("[whole number ≥ 1, ...]", "[1, 2]"),
        "pair": ("[number, number]", "required"),
        "lists": ("[[number, ...], ...]", "[]"),
        "choice": ("a | b | null", "null"),
        "flag": ("true or false", "true"),
        "finite": ("number ≥ 0 | null", "null"),
        "free": ("mapping", "{}"),
        "word": ("text", '""'),
    }


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("recipe.lr", "recipe.lr"),
        ("threads", "threads"),
        ("growth.adareg.crop", "growth.adareg.crop"),
        ("methods.full.trials", "methods.NAME.trials"),
        ("methods.linear+a.growth.tie_se", "growth.tie_se"),
        ("methods.linear+a.growth.adareg.crop", "growth.adareg.crop"),
        ("methods.linear+a.space.depths", "space.depths"),
        ("recipe.opt_args.eps", "recipe.opt_args"),
        ("space.model_args.embed_dim", "space.model_args"),
    ],
)
def test_a_field_is_found_as_it_is_typed(name, path):
    assert [setting.path for setting in find(name)] == [path]


def test_a_group_is_all_of_its_fields():
    assert {setting.group for setting in find("nni")[1:]} == {"nni"}
    assert {setting.group for setting in find("study")} == {"study"}
    assert len(find("growth")) == 1 + sum(s.path.startswith("growth.") for s in settings())
    assert all(groups().values())
    assert group_named("methods") == "methods.NAME"


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("recipe.epoch", "recipe.epochs"),
        ("lr", "recipe.lr"),
        ("growth.tie_ses", "growth.tie_se"),
        ("recipe.lr.x", "recipe.lr"),
        ("methods.full.trial", "methods.NAME.trials"),
        ("treads", "threads"),
    ],
)
def test_an_unknown_field_names_the_nearest_first(name, nearest):
    with pytest.raises(ConfigError, match=f"there is no field '{name}'; near it are {nearest},"):
        find(name)


def test_names_that_a_table_holds_are_the_tables():
    """`config` does not wait for torch, so the docstring lists them."""
    (operator,), (score,) = find("growth.operator"), find("growth.search.score")
    (for_patches,) = find("growth.blocks.patch_operator")
    assert all(f" {name}" in operator.text for name in GROWTH_OPERATORS)
    assert all(f" {name}" in for_patches.text for name in PATCH_OPERATORS)
    assert all(name in score.text for name in SCORES)
