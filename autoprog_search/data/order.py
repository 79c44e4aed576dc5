"""Which images a training step takes: every epoch has an order of its own, a pure function of (seed, epoch)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from autoprog_search.randomness import derive

Order = TypeVar("Order")


def steps_in_order(
    seed: int, start: int, stop: int, size: int, batch_size: int, permuted: Callable[[int], Order]
) -> Iterator[tuple[int, Order, range]]:
    """The optimiser steps `start` to `stop`, each with its epoch's order and the places in it that the step takes.

    Images beyond an epoch's last whole batch are left out of it.

    Args:
        size: training images.
        permuted: an order of them all, from a seed.
    """
    per_epoch = size // batch_size
    epoch = -1
    for step in range(start, stop):
        if step // per_epoch != epoch:
            epoch = step // per_epoch
            order = permuted(derive(seed, "order", epoch))
        first = step % per_epoch * batch_size
        yield step, order, range(first, first + batch_size)
