"""The resolved configuration of a study: `study.yaml`, written once when the study is created."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import Field, field_validator, model_validator

from autoprog_search.errors import ConfigError, SpaceError, StudyError, shown, there_are
from autoprog_search.fields import MOST_WORKERS, Options, Real, Settings, Text, Whole, fields_at, read_fields
from autoprog_search.files import read_yaml
from autoprog_search.methods.registry import METHODS, VARIANT, method_named
from autoprog_search.schedule import MOST_EPOCHS
from autoprog_search.settings.data import DataConfig
from autoprog_search.settings.growth import GrowthSettings
from autoprog_search.settings.recipe import Recipe, load_recipe
from autoprog_search.space import GrowthSpace
from autoprog_search.tables.table import check_on_table, load_table, settings_of
from autoprog_search.values import DEPTH_LIMIT, parse_yaml

if TYPE_CHECKING:
    import pandas as pd

Number = TypeVar("Number", float, "pd.Series[float]")

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
MOST_CHARACTERS = 120  # of a method's name with its variants': it is part of the names of folders

# Bounds that no study should meet: all its trials are listed whenever it is looked at.
MOST_METHODS = 200
MOST_TRIALS = 1_000_000
MOST_LENGTHS = 100  # of a sweep
MOST_SEED = 2**31  # NumPy's generators take twice as much


class MethodPlan(Settings):
    """How often a method runs, and what is different in it from the rest of the study.

    Attributes:
        trials: how many, for each seed.
        seeds: how many, from the study's `first_seed` on.
        epochs: a sweep: the method's trials train so many epochs each, one after the other; empty: the recipe's.
        growth, space: fields of the study's own that are different in this method (`METHOD+VARIANT`).
    """

    trials: Whole = Field(default=1, ge=1, le=MOST_TRIALS)
    seeds: Whole = Field(default=3, ge=1, le=MOST_TRIALS)
    epochs: tuple[Annotated[Whole, Field(ge=1, le=MOST_EPOCHS)], ...] = Field(default=(), max_length=MOST_LENGTHS)
    growth: Options = Field(default_factory=dict)
    space: Options = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _a_trial_each(cls, data: Any) -> Any:
        if not isinstance(data, dict) or not isinstance(lengths := data.get("epochs"), list | tuple) or not lengths:
            return data
        if data.get("trials", len(lengths)) != len(lengths):
            trials = shown(data["trials"])
            raise ConfigError(f"methods, trials: {trials} for {len(lengths)} lengths in epochs; leave it out")
        return {**data, "trials": len(lengths)}


class NniSettings(Settings):
    """How NNI runs its methods' trials.

    Attributes:
        engine: `local`: NNI's local training service, each trial a process of its own, with the portal. `sequential`:
            one after the other in the worker, no portal.
        cost_lambda: points of validation accuracy that the cost of one full run is worth, since NNI's strategies
            maximise one number. At 1, halving the cost makes up for half a point, the comparison's own tolerance.
    """

    engine: Literal["local", "sequential"] = "local"
    cost_lambda: Real = Field(default=1.0, ge=0, le=1e6)

    def metric(self, val_top1: Number, cost_share: Number) -> Number:
        """What NNI is told of a run, or of a column of runs: `val_top1 - lambda * cost / full_cost`, in points.

        Args:
            cost_share: FLOPs of the run, search included, over those of training the full network as long.
        """
        return val_top1 - self.cost_lambda * cost_share


class StudyConfig(Settings):
    """Everything that decides a study's results, and where they are kept.

    Attributes:
        name: of its folder.
        space: the growth space, by `create --space`; its fields can be set one by one.
        data: where images come from. recipe: how a network is trained. growth: how growing and its search are done.
        methods: those compared, each with what is different in it. nni: how NNI's are run.
        first_seed: of every method; seeds that no setting was explored on confirm what others found.
        storage: URL of the Optuna storage; empty: a SQLite file in the study's folder.
        tolerance: points of validation accuracy below `full` within which a cheaper trial makes the headline.
        threads: torch threads of each worker on the CPU. Part of the configuration because sums over another number of
            threads round differently.
    """

    name: Text
    space: GrowthSpace
    data: DataConfig = Field(default_factory=DataConfig)
    recipe: Recipe = Field(default_factory=Recipe)
    growth: GrowthSettings = Field(default_factory=GrowthSettings)
    methods: dict[str, MethodPlan] = Field(max_length=MOST_METHODS)
    first_seed: Whole = Field(default=0, ge=0, le=MOST_SEED)
    nni: NniSettings = Field(default_factory=NniSettings)
    tolerance: Real = Field(default=0.5, ge=0, le=100)
    threads: Whole = Field(default=1, ge=1, le=MOST_WORKERS)
    storage: Text = ""

    @field_validator("methods")
    @classmethod
    def _name_files(cls, methods: dict[str, MethodPlan]) -> dict[str, MethodPlan]:
        """A variant's name is part of the names of its trials' folders."""
        for method in methods:
            base, *variants = method.split(VARIANT)
            for variant in variants:
                if not NAME.fullmatch(variant) or ".." in variant or len(method) > MOST_CHARACTERS:
                    raise ConfigError(
                        f"methods, {shown(method)}: {shown(variant)} is no variant's name; use letters, digits, '.', "
                        f"'_' and '-', {MOST_CHARACTERS} characters at most"
                    )
            if base not in METHODS:
                method_named(method)
        return methods

    def seeds(self, method: str) -> range:
        """The seeds of a method's trials."""
        return range(self.first_seed, self.first_seed + self.methods[method].seeds)

    def epochs(self, method: str, trial: int) -> int:
        """How many epochs the full schedule of a trial has."""
        sweep = self.methods[method].epochs
        return sweep[trial] if sweep else self.recipe.epochs

    def growth_of(self, method: str) -> GrowthSettings:
        """The growth settings of a method's trials.

        Raises:
            ConfigError: the plan's own are wrong.
        """
        if not (own := self.methods[method].growth):
            return self.growth
        return read_fields(GrowthSettings, {**self.growth.model_dump(), **own}, f"methods, {method}, growth")

    def space_of(self, method: str) -> GrowthSpace:
        """The growth space of a method's trials.

        Raises:
            ConfigError: the plan's own fields are wrong.
        """
        space = self._own_space(method)
        return space if method_named(method).chooses_lengths else space.at_lengths({})

    def _own_space(self, method: str) -> GrowthSpace:
        if not (own := self.methods[method].space):
            return self.space
        same = self.space.model_dump()
        if "stage_lengths" in own or "stages" in own:
            same = {name: value for name, value in same.items() if name not in ("stages", "stage_lengths")}
        if any(name.startswith("depth") for name in own):
            same.pop("depths")
        if any(name.startswith(("patches", "resolution")) for name in own):
            same.pop("patches")
        return read_fields(GrowthSpace, {**same, **own}, f"methods, {method}, space")

    def hash(self) -> str:
        """Version and digest of all that decides the results (`study/identity.py`)."""
        from autoprog_search.study.identity import study_hash

        return study_hash(self)


def check_name(name: str) -> str:
    """The study's name, if a folder may bear it.

    Raises:
        StudyError: it holds a path separator, `..` or other characters than letters, digits, `.`, `_` and `-`.
    """
    if not NAME.fullmatch(name) or ".." in name:
        raise StudyError(f"name: {name!r} is no study name; use letters, digits, '.', '_' and '-', no '..' and no '/'")
    return name


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
    overrides: Iterable[str] = (),
) -> StudyConfig:
    """Resolve what a user asked for; `overrides` are `field.subfield=value` and win.

    Raises:
        AutoProgError: the first thing that is wrong.
    """
    chosen = list(methods)
    plans = {m: {"trials": trials if method_named(m).many_trials else 1, "seeds": seeds} for m in chosen}
    given: dict[str, Any] = {"name": check_name(name), "data": dict(data), "methods": plans, "storage": storage}
    given |= {field: value for field, value in (("space", space), ("recipe", recipe)) if value is not None}
    return _resolve(given, overrides, "study")


def config_from_file(path: Path, name: str, storage: str = "", overrides: Iterable[str] = ()) -> StudyConfig:
    """The configuration in a YAML file: another study's study.yaml, or one that names its space and recipe.

    Raises:
        AutoProgError: it cannot be read, or something in it is wrong.
    """
    data = read_yaml(path, ConfigError, "config: ")
    if not isinstance(data, dict):
        raise ConfigError(f"config: {path} is not a mapping of fields")
    return _resolve({**data, "name": check_name(name), "storage": storage}, overrides, f"config {path}")


def _resolve(given: dict[str, Any], overrides: Iterable[str], where: str) -> StudyConfig:
    """Fill in what was not given, from the table or the space, and check it all.

    Args:
        where: begins the messages on single fields.
    """
    resolved: dict[str, Any] = {"data": {}, "growth": {}, "nni": {}, **given}
    data_name = resolved["data"].get("name") if isinstance(resolved["data"], dict) else None
    if (
        isinstance(data_name, str)
        and (table := read_fields(DataConfig, {"name": data_name}, f"{where}, data").table) is not None
    ):
        for field, stored in settings_of(load_table(table)).items():
            ours = resolved.get(field, {})
            resolved[field] = {**stored, **ours} if isinstance(ours, dict) else ours  # a preset's or a recipe's name
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


def check_config(config: StudyConfig) -> StudyConfig:
    """What no single field can tell.

    Raises:
        ConfigError: it cannot run.
    """
    from autoprog_search.growth.operators import check_operators
    from autoprog_search.oneshot.score import ScoreRule

    if not config.methods:
        raise ConfigError("methods: none given")
    trials = sum(plan.seeds * plan.trials for plan in config.methods.values())
    if trials > MOST_TRIALS:
        raise ConfigError(f"methods: {trials:,} trials (seeds times trials, of all) are more than {MOST_TRIALS:,}")
    whole: set[tuple[str, tuple[float, ...], int, int]] = set()  # that leave no stage without an epoch
    for name, plan in config.methods.items():
        info = method_named(name)
        info.check_installed()
        space, growth = config.space_of(name), config.growth_of(name)
        info.check_size(name, space)
        most = info.most_trials(space, growth.force_growth)
        if most is not None and plan.trials > most:
            what = "ways to go" if info.paths else "schedules"
            raise ConfigError(f"methods, {name}, trials: {plan.trials} are more than the space's {most} {what}")
        if plan.epochs and (info.many_trials or info.sequential or info.budget_of):
            raise ConfigError(f"methods, {name}, epochs: one schedule can be trained at several lengths, no search")
        if plan.space and info.hosted:
            raise ConfigError(f"methods, {name}, space: its trials run together, on the study's own space")
        if info.population and plan.trials < 2:
            raise ConfigError(f"methods, {name}, trials: {plan.trials} is no population; give it 2 or more")
        needed = info.budget_of or info.schedule_of
        if needed and (needed not in config.methods or config.methods[needed].seeds < plan.seeds):
            raise ConfigError(f"methods: {name} follows {needed}, which must be there for the same seeds")
        if info.schedule_of and (plan.epochs or config.recipe.epochs) != (
            config.methods[info.schedule_of].epochs or config.recipe.epochs
        ):
            raise ConfigError(f"methods, {name}, epochs: {list(plan.epochs)} are not those of {info.schedule_of}")
        if space.equal_compute and (info.hosted or (info.program is None and info.draw is None)):
            raise ConfigError(
                f"methods, {name}: stages of equal compute (space.equal_compute) need a schedule that is known"
            )
        check_operators(growth.operators, growth.chain)
        ScoreRule(score=growth.score)
        for lengths in map(space.at_lengths, space.lengths_parameters()):
            for epochs in set(plan.epochs or [config.recipe.epochs]):
                if (key := (name.split(VARIANT)[0], lengths.stage_lengths, lengths.stages, epochs)) not in whole:
                    _check_epochs(name, lengths, epochs)
                    whole.add(key)
    if config.data.table is not None:
        check_on_table(config, load_table(config.data.table))
    return config


def _check_epochs(method: str, space: GrowthSpace, epochs: int) -> None:
    info = method_named(method)
    try:
        if info.program is not None:
            info.program(space).check_epochs(space, epochs)
        elif info.budget_of is None:  # all others train the space's stages, whatever is in them
            space.stage_epochs(epochs)
    except SpaceError as error:
        raise SpaceError(f"methods, {method}, {error}") from None


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
            raise ConfigError(f"--set: {path}: unknown field {shown(name)}; {there_are(name, known)}")
        if depth < len(parents):
            if parents[:depth] == ["methods"] and name not in target:
                raise ConfigError(f"--set: {path}: the study has no method {shown(name)}; {there_are(name, target)}")
            if target.get(name) is None:
                target[name] = {}  # a group that was left out; validation knows its fields
            target = target[name]
    target[last] = parse_yaml(value, ConfigError, f"--set: {path}: {shown(value)}")
