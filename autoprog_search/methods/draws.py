"""Schedules that are drawn when a study is created, before any trial runs: from a trial's number and random numbers.

A draw is given random numbers by number: a trial's own, and -1's for what all trials of a (study, seed) share.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from functools import lru_cache
from random import Random
from typing import Any

from autoprog_search.errors import ConfigError
from autoprog_search.space import GrowthSpace

MOST_SCHEDULES = 1_000_000
"""That are put into an order: half a second and 8 MB."""

Draw = Callable[[GrowthSpace, int, Callable[[int], Random]], dict[str, int]]
"""A trial's parameters."""


def uniform(space: GrowthSpace, number: int, rng: Callable[[int], Random]) -> dict[str, int]:
    """A schedule drawn uniformly over all of them."""
    return space.to_parameters(space.sample(rng(number)))


def grid(space: GrowthSpace, number: int, rng: Callable[[int], Random]) -> dict[str, int]:
    """The schedule with that number in an order of all of them that is shuffled once a (study, seed)."""
    return space.to_parameters(space.numbered(_order(space.count(), rng(-1).getstate())[number]))


def check_order(method: str, space: GrowthSpace) -> None:
    """Whether the space is small enough for an order of all of its schedules.

    Raises:
        ConfigError: it is not.
    """
    if (size := space.count()) > MOST_SCHEDULES:
        raise ConfigError(
            f"methods: {method} goes through all schedules, the space has {size:.1e}, more than {MOST_SCHEDULES:,}; "
            "take `random`, or fewer stages or levels"
        )


@lru_cache(maxsize=4)  # the trials of a (study, seed) are drawn one after the other
def _order(size: int, state: tuple[Any, ...]) -> Sequence[int]:
    """The numbers below `size` as this state of a generator shuffles them."""
    random, numbers = Random(), array("q", range(size))
    random.setstate(state)
    random.shuffle(numbers)
    return numbers
