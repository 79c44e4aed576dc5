"""A study's configuration from what a user asked for: names, files, `--set`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from autoprog_search.errors import ConfigError, shown, there_are
from autoprog_search.fields import Settings, fields_at, group_at, read_fields
from autoprog_search.files import read_yaml
from autoprog_search.methods.registry import method_named
from autoprog_search.settings.data import DataConfig
from autoprog_search.settings.growth import with_own
from autoprog_search.settings.recipe import load_recipe
from autoprog_search.settings.retired import renamed_study
from autoprog_search.space import GrowthSpace
from autoprog_search.study.checks import check_config
from autoprog_search.study.config import StudyConfig, check_name
from autoprog_search.tables.loading import load_table, settings_of
from autoprog_search.values import DEPTH_LIMIT, parse_yaml


def make_config(
    name: str,
    *,
    space: str | None,
    data: Mapping[str, Any],
    methods: Iterable[str],
    trials: int,
    seeds: int,
    recipe: str | None = None,
    storage: str = "",
    artifacts: str = "",
    overrides: Iterable[str] = (),
) -> StudyConfig:
    """Resolve what a user asked for.

    Args:
        name: of the study.
        space: a preset's name or a YAML file; None: a table's own.
        data: fields of `DataConfig`, `name` and perhaps `root`.
        trials: a seed, of the methods that learn by trials.
        seeds: on each of which every method runs.
        recipe: a name or a YAML file; None: the space's.
        storage, artifacts: URLs; empty: the study's folder.
        overrides: `field.subfield=value`; they win.

    Raises:
        AutoProgError: the first thing that is wrong.
    """
    chosen = list(methods)
    plans = {m: {"trials": method_named(m).trials_wanted(trials), "seeds": seeds} for m in chosen}
    given: dict[str, Any] = {"name": check_name(name), "data": dict(data), "methods": plans}
    given |= {"storage": storage, "artifacts": artifacts}
    given |= {field: value for field, value in (("space", space), ("recipe", recipe)) if value is not None}
    return _resolve(given, overrides, "study")


def config_from_file(
    path: Path, name: str, storage: str = "", overrides: Iterable[str] = (), artifacts: str = ""
) -> StudyConfig:
    """The configuration in a YAML file: another study's study.yaml, or one that names its space and recipe.

    Raises:
        AutoProgError: it cannot be read, or something in it is wrong.
    """
    data = read_yaml(path, ConfigError, "config: ")
    if not isinstance(data, dict):
        raise ConfigError(f"config: {path} is not a mapping of fields")
    ours = {"name": check_name(name), "storage": storage, "artifacts": artifacts}
    return _resolve({**renamed_study(data), **ours}, overrides, f"config {path}")


def _resolve(given: dict[str, Any], overrides: Iterable[str], where: str) -> StudyConfig:
    """Fill in what was not given, from the table or the space, and check it all.

    Args:
        where: begins the messages on single fields.
    """
    if "retired" in given:
        raise ConfigError(f"{where}, retired: unknown field; only stored studies of before have it")
    resolved: dict[str, Any] = {"data": {}, "growth": {}, "nni": {}, **given}
    data_name = resolved["data"].get("name") if isinstance(resolved["data"], dict) else None
    if (
        isinstance(data_name, str)
        and (table := read_fields(DataConfig, {"name": data_name}, f"{where}, data").table) is not None
    ):
        for field, stored in settings_of(load_table(table)).items():
            ours = resolved.get(field, {})
            # What is no mapping is a preset's or a recipe's name.
            resolved[field] = with_own(stored, ours) if isinstance(ours, dict) else ours
    if "space" not in resolved:
        raise ConfigError(f"{where} names no space")
    if isinstance(resolved["space"], str):
        resolved["space"] = GrowthSpace.load(resolved["space"]).model_dump()
    fallback = GrowthSpace.model_fields["recipe"].default
    default_recipe = resolved["space"].get("recipe", fallback) if isinstance(resolved["space"], dict) else fallback
    if isinstance(resolved.setdefault("recipe", default_recipe), str):
        resolved["recipe"] = load_recipe(resolved["recipe"]).model_dump()
    for text in overrides:
        override(resolved, text)
    return check_config(read_fields(StudyConfig, resolved, where))


def override(resolved: dict[str, Any], text: str) -> None:
    """Apply one `field.subfield=value`; the value is read as in a YAML file.

    Raises:
        ConfigError: no such field, or no value.
    """
    path, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"--set: {shown(text)} is not field=value, for example recipe.lr=3e-4")
    path = path.strip()
    *parents, last = names = path.split(".")
    if not all(names) or len(names) > DEPTH_LIMIT:
        raise ConfigError(f"--set: {shown(path)} is not the name of a field, such as recipe.lr")
    target: Any = resolved
    for depth, name in enumerate(names):
        if not isinstance(target, dict):
            raise ConfigError(f"--set: {path}: {'.'.join(names[:depth])} is {shown(target)}, it has no fields")
        known = fields_at(StudyConfig, names[:depth])  # empty where anything may stand
        if known and name not in known:
            group = group_at(StudyConfig, names[:depth])
            became = group.became(name, value) if group and issubclass(group, Settings) else None
            raise ConfigError(f"--set: {path}: {became or f'unknown field {shown(name)}; {there_are(name, known)}'}")
        if depth < len(parents):
            if parents[:depth] == ["methods"] and name not in target:
                raise ConfigError(f"--set: {path}: the study has no method {shown(name)}; {there_are(name, target)}")
            if target.get(name) is None:
                target[name] = {}  # a group that was left out; validation knows its fields
            target = target[name]
    target[last] = parse_yaml(value, ConfigError, f"--set: {path}: {shown(value)}")
