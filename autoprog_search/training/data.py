"""Data sets: what the trainer needs of one, and the table of names.

Whatever the source, the splits are the same for every method and seed. Training data drive training and the one-shot
estimates, validation data every choice between trials, test data only the report.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

import torch

from autoprog_search.errors import DataError
from autoprog_search.space import GrowthSpace
from autoprog_search.training.recipe import DataConfig, Recipe
from autoprog_search.training.tensor_data import load_digits

Batch = tuple[torch.Tensor, torch.Tensor]
"""Images (batch, channels, side, side), normalised, and labels (batch,), on the run's device."""


class Data(Protocol):
    """A data set on a device, at a growth space's full resolution; the elastic model makes images smaller."""

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

    def train_batches(self, seed: int, start: int, stop: int, batch_size: int) -> Iterator[Batch]:
        """Augmented training batches of the optimiser steps `start` to `stop`, a pure function of (seed, step)."""
        ...

    def train_subset(self, count: int, seed: int, batch_size: int) -> Iterator[Batch]:
        """The same `count` training images for the same seed, without augmentation."""
        ...

    def eval_batches(self, split: str, batch_size: int) -> Iterator[Batch]:
        """The whole `val` or `test` split."""
        ...


# Data sets that are small enough to live on the device; every other name goes through timm's readers.
TENSOR_DATA: dict[str, Callable[[int, torch.device, float], Data]] = {"digits": load_digits}


def load_data(config: DataConfig, space: GrowthSpace, recipe: Recipe, device: torch.device) -> Data:
    """Open a data set at the space's full resolution.

    Raises:
        DataError: it cannot be found or read, or has too few images for a batch.
    """
    if config.name in TENSOR_DATA:
        data = TENSOR_DATA[config.name](space.resolution, device, recipe.augment)
    else:
        from autoprog_search.training.loader_data import LoaderData  # here: torchvision's transforms are slow to import

        data = LoaderData.open(config.name, config.root, config.workers, space.resolution, recipe, device)
    if data.train_size < recipe.batch_size:
        raise DataError(f"data: {config.name} has {data.train_size} training images, a batch has {recipe.batch_size}")
    return data
