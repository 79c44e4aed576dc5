"""Data sets small enough to live on the device as tensors, augmented there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from autoprog_search.data.arrays import digits_arrays, fashion_mnist_arrays
from autoprog_search.data.fingerprint import Fingerprint
from autoprog_search.data.order import steps_in_order
from autoprog_search.data.strength import FULL, Strength
from autoprog_search.errors import DataError, why
from autoprog_search.randomness import SPLIT_SEED, derive
from autoprog_search.settings.data import DataConfig
from autoprog_search.settings.recipe import Recipe

ChannelStatistics = tuple[tuple[float, ...], tuple[float, ...]]
"""(mean, standard deviation) per channel."""


@dataclass(frozen=True)
class TensorData:
    """Images (count, channels, side, side), float32 and normalised, and labels (count,), per split.

    Attributes:
        normalisation: see `Data.normalisation`.
        origin: fingerprint of the images and labels that these were made of.
        augment: strength of the affine augmentation, 0 to 1.
        hflip: probability of a mirrored image.
    """

    splits: dict[str, tuple[torch.Tensor, torch.Tensor]]
    num_classes: int
    normalisation: ChannelStatistics
    origin: Fingerprint
    augment: float
    hflip: float = 0.0
    antialias: bool = False  # the released code's bilinear resizing, for all images alike

    @property
    def in_chans(self) -> int:
        """Image channels."""
        return self.splits["train"][0].shape[1]

    @property
    def train_size(self) -> int:
        """Training images."""
        return len(self.splits["train"][1])

    def train_batches(
        self,
        seed: int,
        start: int,
        stop: int,
        batch_size: int,
        resolution: Callable[[int], int],
        strength: Strength = FULL,
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """See `Data.train_batches`; all at full resolution."""
        images, labels = self.splits["train"]
        for step, order, places in steps_in_order(seed, start, stop, self.train_size, batch_size, self._permuted):
            index = order[places.start : places.stop].to(images.device)
            generator = torch.Generator().manual_seed(derive(seed, "augment", step))
            batch = random_affine(images[index], self.augment * strength.augment, generator)
            yield random_mirror(batch, self.hflip, generator), labels[index]

    def _permuted(self, seed: int) -> torch.Tensor:
        return torch.randperm(self.train_size, generator=torch.Generator().manual_seed(seed))

    def train_subset(self, count: int, seed: int, batch_size: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """See `Data.train_subset`."""
        images, labels = self.splits["train"]
        chosen = self._permuted(derive(seed, "subset"))[:count].to(images.device)
        for index in chosen.split(batch_size):
            yield images[index], labels[index]

    def eval_batches(self, split: str, batch_size: int, resolution: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """See `Data.eval_batches`; at full resolution."""
        images, labels = self.splits[split]
        yield from zip(images.split(batch_size), labels.split(batch_size), strict=True)

    def fingerprint(self, *, sizes: bool) -> Fingerprint:
        """See `Data.fingerprint`; of the content itself, which tells more than sizes."""
        return self.origin


def random_affine(images: torch.Tensor, strength: float, generator: torch.Generator) -> torch.Tensor:
    """Rotate, shear, scale and shift each image of (batch, channels, side, side) by its own random amounts.

    At strength 1: up to 20 degrees, a shear of 0.2, 15 % of scale, 12 % of the side.
    """
    if strength == 0:
        return images
    amounts = torch.tensor([0.35, 0.2, 0.15, 0.15, 0.24, 0.24]) * strength  # shifts are in half sides
    angle, shear, scale_x, scale_y, x, y = ((2 * torch.rand(len(images), 6, generator=generator) - 1) * amounts).unbind(
        dim=1
    )
    cos, sin = angle.cos(), angle.sin()
    rows = [(1 + scale_x) * cos, shear - sin, x, sin, (1 + scale_y) * cos, y]
    theta = torch.stack(rows, dim=1).view(-1, 2, 3).to(images.device)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def random_mirror(images: torch.Tensor, probability: float, generator: torch.Generator) -> torch.Tensor:
    """Mirror each image of (batch, channels, side, side), left to right, with this probability."""
    if probability == 0:
        return images
    mirrored = (torch.rand(len(images), generator=generator) < probability).to(images.device)
    return torch.where(mirrored[:, None, None, None], images.flip(-1), images)


def load_digits(config: DataConfig, resolution: int, device: torch.device, recipe: Recipe) -> TensorData:
    """scikit-learn's 1,797 digits, 8x8, up-sampled to `resolution`: 1,000 to train, 297 to validate, 500 to test.

    The split is fixed: `val_share` has no say.
    """
    arrays = digits_arrays()
    sets = {
        name: (torch.tensor(images, dtype=torch.float32)[:, None] / 16, torch.tensor(labels, dtype=torch.long))
        for name, (images, labels) in arrays.sets.items()
    }
    images, labels = sets["train"]
    trained = _share(range(len(labels)), config.train_share)
    sets["train"] = images[trained], labels[trained]
    return _on_device(sets, arrays.fingerprint(), resolution, device, recipe)


def load_fashion_mnist(config: DataConfig, resolution: int, device: torch.device, recipe: Recipe) -> TensorData:
    """Fashion-MNIST: 60,000 images, of which `val_share` validate, and 10,000 to test; 28 px, 10 classes.

    Raises:
        DataError: a file is missing or damaged, or there are too few images to split.
    """
    from sklearn.model_selection import train_test_split

    arrays = fashion_mnist_arrays(config.root)
    sets = {
        name: (torch.tensor(images, dtype=torch.float32)[:, None] / 255, torch.tensor(labels, dtype=torch.long))
        for name, (images, labels) in arrays.sets.items()
    }
    images, labels = sets["train"]
    targets = labels.numpy()
    try:
        train, val = train_test_split(
            np.arange(len(targets)), test_size=config.val_share, stratify=targets, random_state=SPLIT_SEED
        )
    except ValueError as error:  # a class with one image; fewer images to validate than classes
        raise DataError(
            f"data: {len(targets)} training images cannot be split by data.val_share {config.val_share:g}: {why(error)}"
        ) from None
    parts = {"train": _share(train, config.train_share), "val": val}
    splits = {name: (images[i], labels[i]) for name, i in parts.items()} | {"test": sets["test"]}
    return _on_device(splits, arrays.fingerprint(), resolution, device, recipe)


def _share(indices: Sequence[int], share: float) -> Sequence[int]:
    """The first of them: they are in random order already."""
    return indices[: max(1, round(share * len(indices)))]


def _on_device(
    splits: Mapping[str, tuple[torch.Tensor, torch.Tensor]],
    origin: Fingerprint,
    resolution: int,
    device: torch.device,
    recipe: Recipe,
) -> TensorData:
    """Resized, normalised by the training images' mean and deviation."""
    size = (resolution, resolution)
    resized = {
        name: F.interpolate(images, size=size, mode="bilinear", align_corners=False)
        if images.shape[-1] != resolution
        else images
        for name, (images, _) in splits.items()
    }
    mean, deviation = resized["train"].mean(), resized["train"].std()
    ready = {
        name: (((images - mean) / deviation).to(device), splits[name][1].to(device)) for name, images in resized.items()
    }
    statistics = ((mean.item(),), (deviation.item(),))
    return TensorData(ready, origin.classes, statistics, origin, augment=recipe.augment, hflip=recipe.hflip)
