"""What the trainer needs of a data set, wherever its images come from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar, TypeVar

import torch

from autoprog_search.data.fingerprint import Fingerprint
from autoprog_search.data.part import WHOLE, Part
from autoprog_search.data.strength import FULL, Strength
from autoprog_search.randomness import derive

ChannelStatistics = tuple[tuple[float, ...], tuple[float, ...]]
"""(mean, standard deviation) per channel."""

Batch = tuple[torch.Tensor, torch.Tensor]
"""Images (batch, channels, side, side), normalised, and labels (batch,), on the run's device."""

Side = Callable[[int], int]
"""Image side in pixels that a step trains at."""

Order = TypeVar("Order")


@dataclass(frozen=True)
class Data(ABC):
    """A data set on a device. Images come at the side that is asked for, or at a growth space's full one: the elastic
    model makes them smaller.

    Attributes:
        normalisation: taken out of images with values from 0 to 1.
        antialias: whether images that the model makes smaller are to be filtered, as these were that came smaller.
    """

    num_classes: int
    train_size: int
    normalisation: ChannelStatistics
    antialias: ClassVar[bool]

    @property
    def in_chans(self) -> int:
        """Image channels."""
        return len(self.normalisation[0])

    @abstractmethod
    def train_batches(
        self,
        seed: int,
        start: int,
        stop: int,
        batch_size: int,
        resolution: Side,
        strength: Strength = FULL,
        part: Part = WHOLE,
    ) -> Iterator[Batch]:
        """Augmented training batches of the optimiser steps `start` to `stop`, a pure function of (seed, step).

        Args:
            batch_size: of all processes together.
            strength: of the augmentation.
            part: of each batch; an image's augmentation does not depend on it.
        """

    @abstractmethod
    def train_subset(self, count: int, seed: int, batch_size: int, part: Part = WHOLE) -> Iterator[Batch]:
        """The same `count` training images for the same seed, or a part of them, without augmentation, at full
        resolution.
        """

    @abstractmethod
    def eval_batches(self, split: str, batch_size: int, resolution: int, part: Part = WHOLE) -> Iterator[Batch]:
        """The whole `val` or `test` split, or a part of it."""

    @abstractmethod
    def fingerprint(self, *, sizes: bool) -> Fingerprint:
        """What tells whether these are still the same data (fingerprint.py).

        Args:
            sizes: whether the sizes of all files are looked at too, which takes a while.
        """


def steps_in_order(
    seed: int, start: int, stop: int, size: int, batch_size: int, permuted: Callable[[int], Order]
) -> Iterator[tuple[int, Order, range]]:
    """The optimiser steps `start` to `stop`, each with its epoch's order and the places in it that the step takes.

    Every epoch has an order of its own, a pure function of (seed, epoch); images beyond its last whole batch are left
    out of it.

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
