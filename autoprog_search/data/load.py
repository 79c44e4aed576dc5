"""Data sets by name; how they are split, and what each split is for, is in docs/data.md."""

from __future__ import annotations

from collections.abc import Callable

import torch

from autoprog_search.data.arrays import ARRAYS
from autoprog_search.data.data_set import Data
from autoprog_search.data.tensor import load_tensors
from autoprog_search.errors import DataError
from autoprog_search.settings.data import DataConfig
from autoprog_search.settings.recipe import Recipe
from autoprog_search.space import GrowthSpace


def load_data(
    config: DataConfig,
    space: GrowthSpace,
    recipe: Recipe,
    device: torch.device,
    should_stop: Callable[[], bool] = lambda: False,
) -> Data:
    """Open a data set for a growth space's model.

    Args:
        should_stop: asked while a cache of the images is made, which takes as long as an epoch or so.

    Raises:
        Interrupted: `should_stop` said so.
        DataError: it cannot be found or read, or has too few images for a batch.
    """
    data: Data
    if config.name in ARRAYS:
        data = load_tensors(config, space.resolution, device, recipe)
    else:
        from autoprog_search.data.loader import LoaderData  # here: torchvision's transforms are slow to import

        data = LoaderData.open(config, space, recipe, device, should_stop)
    if space.in_chans not in (None, data.in_chans):
        raise DataError(
            f"data: {config.name} has {data.in_chans} channels, {space.name}'s model takes {space.in_chans}"
        )
    if data.train_size < recipe.batch_size:
        raise DataError(f"data: {config.name} has {data.train_size} training images, a batch has {recipe.batch_size}")
    return data
