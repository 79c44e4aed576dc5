"""Data sets small enough to live on the device as tensors, augmented there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from autoprog_search.training.randomness import derive

SPLIT_SEED = 20220615  # one split for all methods and seeds; AutoProg's day at CVPR


@dataclass(frozen=True)
class TensorData:
    """Images (count, channels, side, side), float32 and normalised, and labels (count,), per split.

    Attributes:
        augment: strength of the affine augmentation, 0 to 1.
    """

    splits: dict[str, tuple[torch.Tensor, torch.Tensor]]
    num_classes: int
    augment: float

    @property
    def in_chans(self) -> int:
        """Image channels."""
        return self.splits["train"][0].shape[1]

    @property
    def train_size(self) -> int:
        """Training images."""
        return len(self.splits["train"][1])

    def train_batches(
        self, seed: int, start: int, stop: int, batch_size: int
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """See `Data.train_batches`."""
        images, labels = self.splits["train"]
        per_epoch = self.train_size // batch_size
        order, order_epoch = torch.empty(0, dtype=torch.long), -1
        for step in range(start, stop):
            epoch, position = divmod(step, per_epoch)
            if epoch != order_epoch:
                generator = torch.Generator().manual_seed(derive(seed, "order", epoch))
                order, order_epoch = torch.randperm(self.train_size, generator=generator), epoch
            index = order[position * batch_size : (position + 1) * batch_size].to(images.device)
            generator = torch.Generator().manual_seed(derive(seed, "augment", step))
            yield random_affine(images[index], self.augment, generator), labels[index]

    def train_subset(self, count: int, seed: int, batch_size: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """See `Data.train_subset`."""
        images, labels = self.splits["train"]
        generator = torch.Generator().manual_seed(derive(seed, "subset"))
        chosen = torch.randperm(self.train_size, generator=generator)[:count].to(images.device)
        for index in chosen.split(batch_size):
            yield images[index], labels[index]

    def eval_batches(self, split: str, batch_size: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """See `Data.eval_batches`."""
        images, labels = self.splits[split]
        yield from zip(images.split(batch_size), labels.split(batch_size), strict=True)


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


def load_digits(resolution: int, device: torch.device, augment: float) -> TensorData:
    """scikit-learn's 1,797 digits, 8x8, up-sampled to `resolution`: 1,000 to train, 297 to validate, 500 to test."""
    from sklearn.datasets import load_digits as sklearn_digits
    from sklearn.model_selection import train_test_split

    bunch = sklearn_digits()
    index = range(len(bunch.target))
    rest, test = train_test_split(index, test_size=500, stratify=bunch.target, random_state=SPLIT_SEED)
    train, val = train_test_split(rest, test_size=297, stratify=bunch.target[rest], random_state=SPLIT_SEED)
    images = torch.tensor(bunch.images, dtype=torch.float32)[:, None] / 16
    images = F.interpolate(images, size=(resolution, resolution), mode="bilinear", align_corners=False)
    images = ((images - images[train].mean()) / images[train].std()).to(device)
    labels = torch.tensor(bunch.target, dtype=torch.long).to(device)
    splits = {name: (images[i], labels[i]) for name, i in (("train", train), ("val", val), ("test", test))}
    return TensorData(splits, num_classes=10, augment=augment)
