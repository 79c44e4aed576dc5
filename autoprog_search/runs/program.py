"""A fixed schedule as a run: its stages in steps, its augmentation, its LR schedule."""

from __future__ import annotations

from dataclasses import replace

from autoprog_search.data.data_set import Data
from autoprog_search.errors import ConfigError, SpaceError
from autoprog_search.fields import read_fields
from autoprog_search.methods.fixed import Program
from autoprog_search.settings.recipe import Recipe
from autoprog_search.training.spec import RunSpec, equal_compute_steps, planned_steps, steps_of_stages


def spec_under(program: Program, spec: RunSpec, data: Data) -> RunSpec:
    """A run under a fixed schedule: its own stages, augmentation and LR schedule in place of the spec's.

    Raises:
        ConfigError: a stage would be less than a step long.
        SpaceError: there are fewer epochs than stages that differ.
    """
    recipe, epoch_steps = spec.recipe, data.train_size // spec.recipe.batch_size
    if program.sched is not None:
        recipe = read_fields(Recipe, {**recipe.model_dump(), "sched": program.sched}, "recipe")
    sub_networks = program.sub_networks
    stage_steps: tuple[int, ...]
    try:
        if program.steps is not None:
            stage_steps = (min(program.steps, round(recipe.epochs * epoch_steps)),)
        elif spec.space.equal_compute and not program.shares:
            stage_steps = equal_compute_steps(spec.space, sub_networks, recipe, data.train_size, data.num_classes)
        elif program.shares:
            stage_steps = steps_of_stages(tuple(share * recipe.epochs for share in program.shares), epoch_steps)
        else:
            stage_steps = planned_steps(spec.space, recipe, data.train_size)
    except (ConfigError, SpaceError):
        if not program.constant:
            raise
        # Too short to be cut into the space's stages, which are all the same here: one is as good.
        stage_steps = steps_of_stages((float(recipe.epochs),), epoch_steps)
    return replace(spec, recipe=recipe, part_steps=stage_steps, augment=program.augment[: len(stage_steps)])
