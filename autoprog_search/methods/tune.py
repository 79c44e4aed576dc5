"""A growth space as a search space of Ray Tune, and its configurations as schedules (docs/ray.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autoprog_search.errors import MissingExtraError
from autoprog_search.schedule import GrowthSchedule
from autoprog_search.space import GrowthSpace


def tune_space(space: GrowthSpace) -> dict[str, Any]:
    """The named integers that a schedule of the space is, as Tune's domains; every configuration is a schedule.

    Raises:
        MissingExtraError: Ray Tune is not installed.
    """
    try:
        from ray import tune
    except ImportError:
        raise MissingExtraError(
            "ray.tune: Ray Tune is not installed; install it: pip install 'autoprog-search[ray]'"
        ) from None
    ranges = space.distributions()
    return {name: tune.randint(found.low, found.high + 1) for name, found in ranges.items()}


def tuned_schedule(space: GrowthSpace, config: Mapping[str, Any], epochs: float) -> GrowthSchedule:
    """The schedule of so many epochs that a configuration of `tune_space` means; what is not of it is left alone.

    Where levels shrink from one stage to the next it is their running maximum.

    Raises:
        SpaceError: so many epochs leave a stage empty.
    """
    levels = space.from_parameters(config)
    return GrowthSchedule.of(space.part_epochs(epochs), (space.at(*pair) for pair in levels))
