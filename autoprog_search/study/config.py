"""The resolved configuration of a study: `study.yaml`, written once when the study is created."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, TypeVar

from pydantic import Field, field_validator

from autoprog_search.errors import ConfigError, StudyError, shown
from autoprog_search.fields import MOST_WORKERS, Options, Real, Settings, Text, Whole, read_fields
from autoprog_search.methods.plan import MethodPlan
from autoprog_search.methods.registry import METHODS, VARIANT, method_named
from autoprog_search.settings.data import DataConfig
from autoprog_search.settings.growth import GrowthSettings, with_own
from autoprog_search.settings.recipe import Recipe
from autoprog_search.space import GrowthSpace

if TYPE_CHECKING:
    import pandas as pd

Number = TypeVar("Number", float, "pd.Series[float]")

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
MOST_CHARACTERS = 120  # of a method's name with its variants': it is part of the names of folders

MOST_METHODS = 200  # that no study should meet
MOST_SEED = 2**31  # NumPy's generators take twice as much


class NniSettings(Settings):
    """How NNI runs its methods' trials."""

    engine: Literal["local", "sequential"] = "local"
    """`local`: NNI's local training service, each trial a process of its own, with the portal. `sequential`: one after
    the other in the worker, no portal."""
    cost_lambda: Real = Field(default=1.0, ge=0, le=1e6)
    """points of validation accuracy that the cost of one full run is worth, since NNI's strategies maximise one number.
    At 1, halving the cost makes up for half a point, the comparison's own tolerance."""

    def metric(self, val_top1: Number, cost_share: Number) -> Number:
        """What NNI is told of a run, or of a column of runs: `val_top1 - lambda * cost / full_cost`, in points.

        Args:
            cost_share: FLOPs of the run, search included, over those of training the full network as long.
        """
        return val_top1 - self.cost_lambda * cost_share


class StudyConfig(Settings):
    """Everything that decides a study's results, and where they are kept."""

    name: Text
    """of its folder."""
    space: GrowthSpace
    """the growth space, by `create --space`; its fields can be set one by one."""
    data: DataConfig = Field(default_factory=DataConfig)
    """where images come from."""
    recipe: Recipe = Field(default_factory=Recipe)
    """how a network is trained."""
    growth: GrowthSettings = Field(default_factory=GrowthSettings)
    """how growing and its search are done."""
    methods: dict[str, MethodPlan] = Field(max_length=MOST_METHODS)
    """those compared, each with what is different in it."""
    first_seed: Whole = Field(default=0, ge=0, le=MOST_SEED)
    """of every method; seeds that no setting was explored on confirm what others found."""
    nni: NniSettings = Field(default_factory=NniSettings)
    """how NNI's are run."""
    tolerance: Real = Field(default=0.5, ge=0, le=100)
    """points of validation accuracy below `full` within which a cheaper trial makes the headline."""
    threads: Whole = Field(default=1, ge=1, le=MOST_WORKERS)
    """torch threads of each worker on the CPU. Part of the configuration because sums over another number of threads
    round differently."""
    storage: Text = ""
    """URL of the Optuna storage; empty: a SQLite file in the study's folder."""
    artifacts: Text = ""
    """folder, or URL that fsspec knows, under which checkpoints, weights and step times are kept as well; empty: they
    are in the study's folder only."""
    retired: dict[str, Options] = Field(default_factory=dict, exclude=True, repr=False)
    """of a study of before, by method: what decided its results that no code runs any more."""

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

    def epochs(self, method: str, trial: int) -> float:
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
        return read_fields(GrowthSettings, with_own(self.growth.model_dump(), own), f"methods, {method}, growth")

    def space_of(self, method: str) -> GrowthSpace:
        """The growth space of a method's trials.

        Raises:
            ConfigError: the plan's own fields are wrong.
        """
        if not (own := self.methods[method].space):
            return self.space
        same = self.space.model_dump()
        if "stage_lengths" in own or "stages" in own:
            same = {name: value for name, value in same.items() if name not in ("stages", "stage_lengths")}
        if any(name.startswith("depth") for name in own):
            same.pop("depths")
        if any(name == "patches" or name.startswith("resolution") for name in own):
            same.pop("patches")
        return read_fields(GrowthSpace, {**same, **own}, f"methods, {method}, space")


def check_name(name: str) -> str:
    """The study's name, if a folder may bear it.

    Raises:
        StudyError: it holds a path separator, `..` or other characters than letters, digits, `.`, `_` and `-`.
    """
    if not NAME.fullmatch(name) or ".." in name:
        raise StudyError(f"name: {name!r} is no study name; use letters, digits, '.', '_' and '-', no '..' and no '/'")
    return name
