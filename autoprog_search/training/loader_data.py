"""Data sets on disk, read and augmented by timm, in loader processes.

Every image's augmentation is seeded by (seed, step, position), not by the loader process that happens to draw it, so
that a resumed run sees what the undisturbed one would have seen. That is why torch's loader is driven here directly and
not through timm's `create_loader`, whose order depends on global state.

Split rule: `test` is the test split if there is one, else the validation split; `val` is the validation split if both
exist, else a tenth of the training images, the same for every method and seed.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from timm.data import create_dataset, create_transform
from torch.utils.data import DataLoader, Dataset

from autoprog_search.errors import ConfigError, DataError
from autoprog_search.training.randomness import derive
from autoprog_search.training.recipe import Recipe
from autoprog_search.training.tensor_data import SPLIT_SEED

VAL_SHARE = 0.1

Ticket = tuple[int, int]
"""(seed of its augmentation, index in the data set)."""


class TransformedImages(Dataset[tuple[torch.Tensor, int]]):
    """Images of a timm data set, transformed under their own seed."""

    def __init__(self, images: Any, transform: Callable[[Any], torch.Tensor]) -> None:
        self.images = images
        self.transform = transform

    def __getitem__(self, ticket: Ticket) -> tuple[torch.Tensor, int]:
        seed, index = ticket
        image, label = self.images[index]
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.manual_seed(seed)
        return self.transform(image), int(label)


@dataclass(frozen=True)
class LoaderData:
    """A timm data set; see `Data` for the methods. `train` and `val` may share images, apart by index."""

    train: tuple[Any, Sequence[int]]
    val: tuple[Any, Sequence[int]]
    test: tuple[Any, Sequence[int]]
    num_classes: int
    train_transform: Callable[[Any], torch.Tensor]
    eval_transform: Callable[[Any], torch.Tensor]
    workers: int
    device: torch.device
    in_chans: int = 3

    @classmethod
    def open(
        cls, name: str, root: str, workers: int, resolution: int, recipe: Recipe, device: torch.device
    ) -> LoaderData:
        """Open a named timm data set, or a folder with `train/` and `val/` or `test/` (a folder a class).

        Raises:
            DataError: nothing there, or nothing in it.
        """
        is_folder = "/" not in name or Path(name).exists() or name.startswith((".", "/", "~"))
        if is_folder and not Path(name).expanduser().is_dir():
            raise DataError(f"data: {name!r} is neither a known data set nor a folder")
        location = ("", str(Path(name).expanduser())) if is_folder else (name, root)
        train = _open_split(*location, "train")
        if train is None:
            raise DataError(f"data: {name} has no training images (expected train/<class>/<image>)")
        classes = train.reader.class_to_idx if is_folder else None
        # torchvision's data sets have one evaluation split, which timm gives for either name.
        val = None if name.startswith("torch/") else _open_split(*location, "validation", classes)
        test = _open_split(*location, "validation" if name.startswith("torch/") else "test", classes)
        indices: Sequence[int] = range(len(train))
        if val is None and test is None:
            raise DataError(f"data: {name} has neither a validation nor a test split (expected val/<class>/<image>)")
        if val is not None and test is not None:
            val_part = (val, range(len(val)))
        else:
            order = np.random.default_rng(SPLIT_SEED).permutation(len(train))
            held_out = max(1, round(VAL_SHARE * len(train)))
            val_part, indices = (train, order[:held_out].tolist()), order[held_out:].tolist()
            test = val if test is None else test
        shape = (3, resolution, resolution)
        try:
            train_transform = create_transform(
                shape, is_training=True, auto_augment=recipe.auto_augment, re_prob=recipe.random_erasing
            )
        except (AssertionError, ValueError, KeyError) as error:
            reason = " ".join(str(error).split())
            raise ConfigError(f"recipe, auto_augment: {recipe.auto_augment!r} is none of timm's ({reason})") from None
        return cls(
            train=(train, indices),
            val=val_part,
            test=(test, range(len(test))),
            num_classes=_class_count(train),
            train_transform=train_transform,
            eval_transform=create_transform(shape, is_training=False),
            workers=workers,
            device=device,
        )

    @property
    def train_size(self) -> int:
        """Training images."""
        return len(self.train[1])

    def train_batches(
        self, seed: int, start: int, stop: int, batch_size: int
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """See `Data.train_batches`."""
        images, indices = self.train
        return self._load(images, self.train_transform, self._tickets(seed, start, stop, batch_size, indices))

    def train_subset(self, count: int, seed: int, batch_size: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """See `Data.train_subset`."""
        images, indices = self.train
        chosen = np.random.default_rng(derive(seed, "subset")).permutation(len(indices))[:count]
        return self._load(images, self.eval_transform, _batches([indices[i] for i in chosen], batch_size))

    def eval_batches(self, split: str, batch_size: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """See `Data.eval_batches`."""
        images, indices = {"val": self.val, "test": self.test}[split]
        return self._load(images, self.eval_transform, _batches(indices, batch_size))

    def _tickets(
        self, seed: int, start: int, stop: int, batch_size: int, indices: Sequence[int]
    ) -> Iterator[list[Ticket]]:
        per_epoch = len(indices) // batch_size
        order, order_epoch = np.empty(0, dtype=np.int64), -1
        for step in range(start, stop):
            epoch, position = divmod(step, per_epoch)
            if epoch != order_epoch:
                order = np.random.default_rng(derive(seed, "order", epoch)).permutation(len(indices))
                order_epoch = epoch
            chosen = order[position * batch_size : (position + 1) * batch_size]
            yield [(derive(seed, "augment", step, n), indices[i]) for n, i in enumerate(chosen)]

    def _load(
        self, images: Any, transform: Callable[[Any], torch.Tensor], tickets: Iterator[list[Ticket]]
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        loader = DataLoader(
            TransformedImages(images, transform),
            batch_sampler=tickets,
            num_workers=self.workers,
            pin_memory=self.device.type == "cuda",
        )
        for batch, labels in loader:
            yield batch.to(self.device, non_blocking=True), labels.to(self.device, non_blocking=True)


def _batches(indices: Sequence[int], batch_size: int) -> Iterator[list[Ticket]]:
    for start in range(0, len(indices), batch_size):
        yield [(0, i) for i in indices[start : start + batch_size]]


def _open_split(name: str, root: str, split: str, classes: dict[str, int] | None = None) -> Any:
    """A timm data set without transform, or None where there is no such split.

    Args:
        classes: the training split's numbers of the classes, for folders, which would number their own.
    """
    aliases = {"train": ("train",), "validation": ("val", "validation"), "test": ("test",)}[split]
    if not name:
        folder = next((Path(root) / alias for alias in aliases if (Path(root) / alias).is_dir()), None)
        if folder is None:
            return None
        if classes is not None:
            unknown = sorted(p.name for p in folder.iterdir() if p.is_dir() and p.name not in classes)
            if unknown:
                raise DataError(f"data: {folder / unknown[0]} is a class without training images")
        try:
            return create_dataset("", root=str(folder), split=split, search_split=False, class_map=classes or {})
        except RuntimeError as error:
            raise DataError(f"data: {folder}: {' '.join(str(error).split())}") from None
    try:
        return create_dataset(name, root=root or None, split=split)
    except (AssertionError, KeyError, ValueError, RuntimeError, OSError, ImportError) as error:
        if split == "train":
            raise DataError(f"data: {name}: {' '.join(str(error).split())}") from None
        return None


def _class_count(images: Any) -> int:
    classes = getattr(images, "classes", None) or getattr(getattr(images, "reader", None), "class_to_idx", None)
    if not classes:
        raise DataError("data: the number of classes cannot be told from this data set")
    return len(classes)
