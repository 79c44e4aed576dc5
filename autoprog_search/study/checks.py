"""Whether a study's configuration can run: what no single field can tell."""

from __future__ import annotations

from pydantic import BaseModel

from autoprog_search.errors import ConfigError, SpaceError
from autoprog_search.fields import flat
from autoprog_search.growth.operators import operator_named
from autoprog_search.methods.registry import VARIANT, method_named
from autoprog_search.oneshot.score import SCORES, ScoreRule
from autoprog_search.space import GrowthSpace
from autoprog_search.study.config import MOST_TRIALS, StudyConfig
from autoprog_search.tables.table import GrowthTable, load_table

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
        operator_named(growth.operator)
        ScoreRule(score=growth.search.score)
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


def check_on_table(config: StudyConfig, table: GrowthTable) -> None:
    """Whether the table has all that the study will ask for.

    Raises:
        ConfigError: the first thing that it has not.
    """
    own = f"data: {config.data.name}"
    for name, plan in config.methods.items():
        method = method_named(name)
        if follows := method.budget_of or method.schedule_of:
            raise ConfigError(f"methods: {name} follows {follows}; {own} answers methods that choose on their own")
        if method.hosted or method.stop:
            raise ConfigError(f"methods: {name} steers its runs from outside; {own} holds runs that are left alone")
        program = method.program(config.space_of(name)) if method.program else None
        if plan.epochs or (program and (program.shares or program.augment or program.sched)):
            raise ConfigError(f"methods: {name} trains other stages than the space's; {own} holds no such run")
        growth = config.growth_of(name)
        for field, given, stored in (
            ("space", config.space_of(name), table.info.space),
            ("recipe", config.recipe, table.info.recipe),
            ("growth", growth, table.info.growth),
        ):
            _check_same(
                f"{own} was trained with {field}", given, stored, CHOOSING if field == "growth" else frozenset()
            )
        if method.searches_inside and SCORES[growth.search.score].decrease:
            raise ConfigError(
                f"growth.search.score: {growth.search.score} takes how fast losses fall; {own} holds the losses alone"
            )
        if method.searches_inside and not {growth.force_growth, "none"} & {key[0] for key in table.searches}:
            raise ConfigError(
                f"methods: {name} needs estimates under growth.force_growth {growth.force_growth!r} or 'none'; "
                f"{own} has neither"
            )


def _check_same(what: str, given: BaseModel, stored: BaseModel, free: frozenset[str]) -> None:
    ours, theirs = flat(given), flat(stored)
    for name in dict.fromkeys((*theirs, *ours)):
        if name not in free and ours.get(name) != theirs.get(name):
            raise ConfigError(f"{what}.{name} {theirs.get(name)!r}, not {ours.get(name)!r}; leave it as it is")
