"""Whether a study's configuration can run: what no single field can tell."""

from __future__ import annotations

from functools import partial

from pydantic import BaseModel

from autoprog_search.errors import ConfigError, SpaceError
from autoprog_search.fields import flat
from autoprog_search.growth.operators import operator_named
from autoprog_search.growth.patch_operators import patch_operator_named
from autoprog_search.methods.plan import MOST_TRIALS, Planned
from autoprog_search.methods.registry import VARIANT, method_named
from autoprog_search.oneshot.score import ScoreRule
from autoprog_search.space import GrowthSpace
from autoprog_search.study.config import StudyConfig
from autoprog_search.tables.loading import load_table
from autoprog_search.tables.table import GrowthTable

CHOOSING = frozenset({"force_growth", "search.score", "w", "search.w_default", "tie_se"})
"""Growth settings that choose among what is stored; all others decided what was trained."""


def check_config(config: StudyConfig) -> StudyConfig:
    """What no single field can tell.

    Raises:
        ConfigError: it cannot run.
    """
    if not config.methods:
        raise ConfigError("methods: none given")
    trials = sum(plan.seeds * plan.trials for plan in config.methods.values())
    if trials > MOST_TRIALS:
        raise ConfigError(f"methods: {trials:,} trials (seeds times trials, of all) are more than {MOST_TRIALS:,}")
    whole: set[tuple[str, str, tuple[float, ...], int, float]] = set()  # that leave no stage without an epoch
    for planned in map(partial(_planned, config), config.methods):
        kind, space = method_named(planned.name), planned.space
        kind.check_installed()
        kind.check(planned)
        operator_named(planned.growth.operator)
        patch_operator_named(planned.growth.blocks.patch_operator)
        ScoreRule(score=planned.growth.search.score)
        for epochs in set(planned.own.epochs or [config.recipe.epochs]):
            key = (planned.name.split(VARIANT)[0], space.clock, space.stage_lengths, space.stages, epochs)
            if key not in whole:
                _check_epochs(planned.name, space, epochs)
                whole.add(key)
    if config.data.table is not None:
        check_on_table(config, load_table(config.data.table))
    return config


def _check_epochs(method: str, space: GrowthSpace, epochs: float) -> None:
    try:
        method_named(method).check_epochs(space, epochs)
    except SpaceError as error:
        raise SpaceError(f"methods, {method}, {error}") from None


def check_on_table(config: StudyConfig, table: GrowthTable) -> None:
    """Whether the table has all that the study will ask for.

    Raises:
        ConfigError: the first thing that it has not.
    """
    data = f"data: {config.data.name}"
    for planned in map(partial(_planned, config), config.methods):
        surveyed = {force_growth for force_growth, *_ in table.searches}
        method_named(planned.name).check_on_table(planned, data, surveyed)
        for field, given, stored in (
            ("space", planned.space, table.info.space),
            ("recipe", config.recipe, table.info.recipe),
            ("growth", planned.growth, table.info.growth),
        ):
            free = CHOOSING if field == "growth" else frozenset()
            _check_same(f"{data} was trained with {field}", given, stored, free)


def _planned(config: StudyConfig, method: str) -> Planned:
    """The method, as its kind checks it."""
    space, growth = config.space_of(method), config.growth_of(method)
    return Planned(method, config.methods, space, growth, config.recipe.epochs)


def _check_same(what: str, given: BaseModel, stored: BaseModel, free: frozenset[str]) -> None:
    ours, theirs = flat(given), flat(stored)
    for name in dict.fromkeys((*theirs, *ours)):
        if name not in free and ours.get(name) != theirs.get(name):
            raise ConfigError(f"{what}.{name} {theirs.get(name)!r}, not {ours.get(name)!r}; leave it as it is")
