"""Data sets: what the trainer needs of one, and the table of names.

Whatever the source, the splits are the same for every method and seed. Training data drive training and the one-shot
estimates, validation data every choice between trials, test data only the report.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

import torch

from autoprog_search.data.fingerprint import Fingerprint
from autoprog_search.data.strength import FULL, Strength
from autoprog_search.data.tensor import ChannelStatistics, TensorData, load_digits, load_fashion_mnist
from autoprog_search.errors import DataError
from autoprog_search.settings.data import DataConfig
from autoprog_search.settings.recipe import Recipe
from autoprog_search.space import GrowthSpace

Batch = tuple[torch.Tensor, torch.Tensor]
"""Images (batch, channels, side, side), normalised, and labels (batch,), on the run's device."""


class Data(Protocol):
    """A data set on a device. Images come at the side that is asked for, or at a growth space's full one: the elastic
    model makes them smaller.
    """

    @property
    def num_classes(self) -> int:
        """Classes."""
        ...

    @property
    def in_chans(self) -> int:
        """Image channels."""
        ...

    @property
    def train_size(self) -> int:
        """Training images."""
        ...

    @property
    def normalisation(self) -> ChannelStatistics:
        """(mean, deviation) per channel that were taken out of images with values from 0 to 1."""
        ...

    @property
    def antialias(self) -> bool:
        """Whether images that the model makes smaller are to be filtered, as these were that came smaller."""
        ...

    def train_batches(
        self,
        seed: int,
        start: int,
        stop: int,
        batch_size: int,
        resolution: Callable[[int], int],
        strength: Strength = FULL,
    ) -> Iterator[Batch]:
        """Augmented training batches of the optimiser steps `start` to `stop`, a pure function of (seed, step).

        Args:
            resolution: side in pixels that a step trains at.
            strength: of the augmentation.
        """
        ...

    def train_subset(self, count: int, seed: int, batch_size: int) -> Iterator[Batch]:
        """The same `count` training images for the same seed, without augmentation, at full resolution."""
        ...

    def eval_batches(self, split: str, batch_size: int, resolution: int) -> Iterator[Batch]:
        """The whole `val` or `test` split."""
        ...

    def fingerprint(self, *, sizes: bool) -> Fingerprint:
        """What tells whether these are still the same data (fingerprint.py).

        Args:
            sizes: whether the sizes of all files are looked at too, which takes a while.
        """
        ...


# Data sets that are small enough to live on the device; every other name goes through timm's readers.
TENSOR_DATA: dict[str, Callable[[DataConfig, int, torch.device, Recipe], TensorData]] = {
    "digits": load_digits,
    "fashion_mnist": load_fashion_mnist,
}


def load_data(config: DataConfig, space: GrowthSpace, recipe: Recipe, device: torch.device) -> Data:
    """Open a data set for a growth space's model.

    Raises:
        DataError: it cannot be found or read, or has too few images for a batch.
    """
    data: Data
    if config.table is not None:
        raise DataError(f"data: {config.name} holds results, no images to train on; studies run on it")
    if config.name in TENSOR_DATA:
        data = TENSOR_DATA[config.name](config, space.resolution, device, recipe)
    else:
        from autoprog_search.data.loader import LoaderData  # here: torchvision's transforms are slow to import

        data = LoaderData.open(config, space, recipe, device)
    if space.in_chans not in (None, data.in_chans):
        raise DataError(
            f"data: {config.name} has {data.in_chans} channels, {space.name}'s model takes {space.in_chans}"
        )
    if data.train_size < recipe.batch_size:
        raise DataError(f"data: {config.name} has {data.train_size} training images, a batch has {recipe.batch_size}")
    return data
