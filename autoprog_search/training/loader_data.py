"""Data sets on disk, read and augmented in loader processes.

Every image's augmentation is seeded by (seed, step, position), not by the loader process that happens to draw it, so
that a resumed run sees what the undisturbed one would have seen. That is why torch's loader is driven here directly and
not through timm's `create_loader`, whose order depends on global state. As in timm's scheduled loader, the side that an
image is wanted at travels with its index: early stages decode and load less.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, default_collate

from autoprog_search.errors import DataError
from autoprog_search.space import GrowthSpace
from autoprog_search.training.images import ImageSet, Splits, open_splits
from autoprog_search.training.randomness import derive
from autoprog_search.training.recipe import DataConfig, Recipe
from autoprog_search.training.regularisation import FULL, Strength
from autoprog_search.training.tensor_data import ChannelStatistics
from autoprog_search.training.transforms import Normalisation, Transforms

Ticket = tuple[int, int, int]
"""(seed of its augmentation, index in the image set, side in pixels)."""
Sample = tuple[torch.Tensor, int]


class TransformedImages(Dataset[Sample | DataError]):
    """Images of a set, transformed under their own seed. What is wrong with one is returned, not raised: an exception
    would come out of a loader process with its traceback as message.
    """

    def __init__(self, images: ImageSet, transforms: Transforms, num_classes: int) -> None:
        self.images, self.transforms, self.num_classes = images, transforms, num_classes

    def __getitem__(self, ticket: Ticket) -> Sample | DataError:
        seed, index, resolution = ticket
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.manual_seed(seed)
        try:
            image, label = self.images.load(index)
            if not 0 <= label < self.num_classes:
                where = self.images.name(index)
                return DataError(f"data: {where}: label {label} is outside the classes 0 to {self.num_classes - 1}")
            decoded = self.transforms.decode(image, resolution)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            reason = " ".join(str(error).split())
            return DataError(f"data: {self.images.name(index)} cannot be read as an image: {reason}")
        return self.transforms(decoded, resolution), label


@dataclass(frozen=True)
class LoaderData:
    """Images on disk; see `Data` for the methods."""

    splits: Splits
    train_transforms: Transforms
    eval_transforms: Transforms
    workers: int
    device: torch.device
    repeats: int = 1
    antialias: bool = True

    @classmethod
    def open(cls, config: DataConfig, space: GrowthSpace, recipe: Recipe, device: torch.device) -> LoaderData:
        """Open a data set for a growth space's model: its channels, its normalisation, its full resolution.

        Raises:
            DataError: nothing there, or nothing in it.
            ConfigError: an augmentation that timm does not know.
        """
        splits = open_splits(config)
        normalisation = Normalisation.of(space.model, space.in_chans or 3)
        train, evaluation = (Transforms(recipe, normalisation, train, space.resolution) for train in (True, False))
        train.check()
        return cls(splits, train, evaluation, config.workers, device, recipe.repeats)

    @property
    def num_classes(self) -> int:
        """Classes."""
        return self.splits.num_classes

    @property
    def in_chans(self) -> int:
        """Image channels."""
        return len(self.train_transforms.normalisation.mean)

    @property
    def normalisation(self) -> ChannelStatistics:
        """See `Data.normalisation`."""
        return self.train_transforms.normalisation.mean, self.train_transforms.normalisation.std

    @property
    def train_size(self) -> int:
        """Training images."""
        return len(self.splits.train[1])

    def train_batches(
        self,
        seed: int,
        start: int,
        stop: int,
        batch_size: int,
        resolution: Callable[[int], int],
        strength: Strength = FULL,
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """See `Data.train_batches`."""
        images, indices = self.splits.train
        tickets = self._tickets(seed, start, stop, batch_size, indices, resolution)
        return self._load(images, replace(self.train_transforms, strength=strength), tickets)

    def train_subset(self, count: int, seed: int, batch_size: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """See `Data.train_subset`."""
        images, indices = self.splits.train
        chosen = np.random.default_rng(derive(seed, "subset")).permutation(len(indices))[:count]
        side = self.eval_transforms.full_resolution
        return self._load(images, self.eval_transforms, _batches([indices[i] for i in chosen], batch_size, side))

    def eval_batches(self, split: str, batch_size: int, resolution: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """See `Data.eval_batches`."""
        images, indices = {"val": self.splits.val, "test": self.splits.test}[split]
        return self._load(images, self.eval_transforms, _batches(indices, batch_size, resolution))

    def _tickets(
        self,
        seed: int,
        start: int,
        stop: int,
        batch_size: int,
        indices: Sequence[int],
        resolution: Callable[[int], int],
    ) -> Iterator[list[Ticket]]:
        """Each step's images. With repeated augmentation (Hoffer et al., CVPR 2020; as DeiT's) an image stands
        `repeats` times in a row, and an epoch shows so many times fewer of them.
        """
        per_epoch = len(indices) // batch_size
        order, order_epoch = np.empty(0, dtype=np.int64), -1
        for step in range(start, stop):
            epoch, position = divmod(step, per_epoch)
            if epoch != order_epoch:
                order = np.random.default_rng(derive(seed, "order", epoch)).permutation(len(indices))
                order_epoch = epoch
            places = range(position * batch_size, (position + 1) * batch_size)
            chosen = [indices[order[place // self.repeats]] for place in places]
            side = resolution(step)
            yield [(derive(seed, "augment", step, n), index, side) for n, index in enumerate(chosen)]

    def _load(
        self, images: ImageSet, transforms: Transforms, tickets: Iterator[list[Ticket]]
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        loader = DataLoader(
            TransformedImages(images, transforms, self.num_classes),
            batch_sampler=tickets,
            num_workers=self.workers,
            collate_fn=_collate,
            pin_memory=self.device.type == "cuda",
        )
        for loaded in loader:
            if isinstance(loaded, DataError):
                raise loaded
            batch, labels = loaded
            yield batch.to(self.device, non_blocking=True), labels.to(self.device, non_blocking=True)


def _batches(indices: Sequence[int], batch_size: int, resolution: int) -> Iterator[list[Ticket]]:
    for start in range(0, len(indices), batch_size):
        yield [(0, i, resolution) for i in indices[start : start + batch_size]]


def _collate(samples: list[Sample | DataError]) -> list[torch.Tensor] | DataError:
    wrong = next((sample for sample in samples if isinstance(sample, DataError)), None)
    return wrong if wrong is not None else default_collate(samples)
