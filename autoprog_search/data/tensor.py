"""Data sets small enough to live on the device as tensors, augmented there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from autoprog_search.data.arrays import open_arrays
from autoprog_search.data.data_set import Batch, Data, Side, steps_in_order
from autoprog_search.data.fingerprint import Fingerprint
from autoprog_search.data.part import WHOLE, Part
from autoprog_search.data.strength import FULL, Strength
from autoprog_search.errors import DataError, why
from autoprog_search.randomness import SPLIT_SEED, derive
from autoprog_search.settings.data import DataConfig
from autoprog_search.settings.recipe import Recipe


@dataclass(frozen=True)
class TensorData(Data):
    """Images (count, channels, side, side), float32 and normalised, and labels (count,), per split.

    All batches are at full resolution.

    Attributes:
        origin: fingerprint of the images and labels that these were made of: of their content, whatever is asked for.
        augment: strength of the affine augmentation, 0 to 1.
        hflip: probability of a mirrored image.
    """

    splits: Mapping[str, Batch]
    origin: Fingerprint
    augment: float
    hflip: float
    antialias = False  # the released code's bilinear resizing, for all images alike

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
        images, labels = self.splits["train"]
        own = torch.as_tensor(part.of_batch(batch_size))
        own_there = sent(own, images.device)
        for step, order, places in steps_in_order(seed, start, stop, self.train_size, batch_size, self._permuted):
            index = order[places.start : places.stop][own_there]
            generator = torch.Generator().manual_seed(derive(seed, "augment", step))
            drawn = _rows_of(own, batch_size, generator)
            batch = random_affine(images[index], self.augment * strength.augment, drawn)
            yield random_mirror(batch, self.hflip, drawn), labels[index]

    def _permuted(self, seed: int) -> torch.Tensor:
        order = torch.randperm(self.train_size, generator=torch.Generator().manual_seed(seed))
        return sent(order, self.splits["train"][0].device)

    def train_subset(self, count: int, seed: int, batch_size: int, part: Part = WHOLE) -> Iterator[Batch]:
        images, labels = self.splits["train"]
        chosen = self._permuted(derive(seed, "subset"))[:count]
        own = part.of_split(len(chosen))
        for index in chosen[own.start : own.stop].split(batch_size) if own else ():
            yield images[index], labels[index]

    def eval_batches(self, split: str, batch_size: int, resolution: int, part: Part = WHOLE) -> Iterator[Batch]:
        images, labels = self.splits[split]
        own = part.of_split(len(labels))
        for start in range(own.start, own.stop, batch_size):
            stop = min(start + batch_size, own.stop)
            yield images[start:stop], labels[start:stop]

    def fingerprint(self, *, sizes: bool) -> Fingerprint:
        return self.origin


Drawn = Callable[..., torch.Tensor]
"""Gives so many numbers from 0 to 1 of each image, (images, *how many)."""


def _rows_of(own: torch.Tensor, batch_size: int, generator: torch.Generator) -> Drawn:
    """Numbers of these images of a batch, drawn for all of it: what an image gets does not depend on its part."""
    return lambda *columns: torch.rand(batch_size, *columns, generator=generator)[own]


def random_affine(images: torch.Tensor, strength: float, drawn: Drawn) -> torch.Tensor:
    """Rotate, shear, scale and shift each image of (batch, channels, side, side) by its own random amounts.

    At strength 1: up to 20 degrees, a shear of 0.2, 15 % of scale, 12 % of the side.
    """
    if strength == 0:
        return images
    amounts = torch.tensor([0.35, 0.2, 0.15, 0.15, 0.24, 0.24]) * strength  # shifts are in half sides
    angle, shear, scale_x, scale_y, x, y = ((2 * drawn(6) - 1) * amounts).unbind(dim=1)
    cos, sin = angle.cos(), angle.sin()
    rows = [(1 + scale_x) * cos, shear - sin, x, sin, (1 + scale_y) * cos, y]
    theta = sent(torch.stack(rows, dim=1).view(-1, 2, 3), images.device)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def random_mirror(images: torch.Tensor, probability: float, drawn: Drawn) -> torch.Tensor:
    """Mirror each image of (batch, channels, side, side), left to right, with this probability."""
    if probability == 0:
        return images
    mirrored = sent(drawn() < probability, images.device)
    return torch.where(mirrored[:, None, None, None], images.flip(-1), images)


def sent(drawn: torch.Tensor, device: torch.device) -> torch.Tensor:
    """What was drawn on the CPU, on a device, without waiting until that has done what it was told before."""
    return drawn.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else drawn.to(device)


def load_tensors(config: DataConfig, resolution: int, device: torch.device, recipe: Recipe) -> TensorData:
    """A data set of `ARRAYS`, resized, and normalised by the training images' mean and deviation.

    One without images to validate is split by `val_share`.

    Raises:
        DataError: a file is missing or damaged, or there are too few images to split.
    """
    arrays = open_arrays(config)
    sets = {
        name: (torch.tensor(grey, dtype=torch.float32)[:, None] / arrays.white, torch.tensor(labels, dtype=torch.long))
        for name, (grey, labels) in arrays.sets.items()
    }
    images, labels = sets["train"]
    trained: Sequence[int] = range(len(labels))
    if "val" not in sets:
        trained, val = _split(labels.numpy(), config.val_share)
        sets["val"] = images[val], labels[val]
    trained = trained[: max(1, round(config.train_share * len(trained)))]  # they are in random order already
    sets["train"] = images[trained], labels[trained]
    resized = {name: _resized(images, resolution) for name, (images, _) in sets.items()}
    mean, deviation = resized["train"].mean(), resized["train"].std()
    splits = {
        name: (((images - mean) / deviation).to(device), sets[name][1].to(device)) for name, images in resized.items()
    }
    origin, statistics = arrays.fingerprint(), ((mean.item(),), (deviation.item(),))
    return TensorData(origin.classes, len(trained), statistics, splits, origin, recipe.augment, recipe.hflip)


def _resized(images: torch.Tensor, side: int) -> torch.Tensor:
    if images.shape[-1] == side:
        return images
    return F.interpolate(images, size=(side, side), mode="bilinear", align_corners=False)


def _split(labels: np.ndarray, val_share: float) -> tuple[Sequence[int], Sequence[int]]:
    """Which images train and which validate, as many of each class."""
    from sklearn.model_selection import train_test_split

    places = np.arange(len(labels))
    try:
        train, val = train_test_split(places, test_size=val_share, stratify=labels, random_state=SPLIT_SEED)
    except ValueError as error:  # a class with one image; fewer images to validate than classes
        raise DataError(
            f"data: {len(labels)} training images cannot be split by data.val_share {val_share:g}: {why(error)}"
        ) from None
    return train, val
