"""Image sets on disk: opening what a name or a folder means, and which images train, validate and test.

Split rule: `test` is the test split if there is one, else the validation split; `val` is the validation split if both
exist, else `val_share` of the training images, the same for every method and seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image
from timm.data import create_dataset
from timm.utils.misc import natural_key
from torch.utils.data import IterableDataset

from autoprog_search.errors import DataError
from autoprog_search.training.recipe import DataConfig
from autoprog_search.training.shards import open_shards
from autoprog_search.training.tensor_data import SPLIT_SEED

SUFFIXES = {".png", ".jpg", ".jpeg"}  # timm's own
ALIASES = {"train": ("train", "training"), "validation": ("val", "validation", "valid"), "test": ("test",)}


class ImageSet(Protocol):
    """Images with labels, by index."""

    def __len__(self) -> int: ...

    def load(self, index: int) -> tuple[Image.Image, int]:
        """The image, opened and not decoded yet where its format allows, and its label."""
        ...

    def name(self, index: int) -> str:
        """What to call the image in an error."""
        ...


@dataclass(frozen=True)
class TimmImages:
    """A timm data set without a transform."""

    images: Any

    def __len__(self) -> int:
        return len(self.images)

    def load(self, index: int) -> tuple[Image.Image, int]:
        """See `ImageSet.load`."""
        if hasattr(self.images, "reader"):
            file, label = self.images.reader[index]
            return Image.open(file), int(label)
        image, label = self.images[index]
        return image, int(label)

    def name(self, index: int) -> str:
        """See `ImageSet.name`."""
        if hasattr(self.images, "reader"):
            return str(self.images.reader.filename(index, absolute=True))
        return f"image {index}"


@dataclass(frozen=True)
class Splits:
    """Image sets, and which of their images belong to each split; `train` and `val` may share a set, apart by index."""

    train: tuple[ImageSet, Sequence[int]]
    val: tuple[ImageSet, Sequence[int]]
    test: tuple[ImageSet, Sequence[int]]
    num_classes: int


def open_splits(config: DataConfig) -> Splits:
    """Open a named timm data set, or a folder with `train/` and `val/` or `test/` (a folder a class).

    Raises:
        DataError: nothing there, or not what it should be.
    """
    name = config.name
    sets: dict[str, ImageSet | None]
    if name.startswith("wds/"):
        sets = {split: open_shards(Path(config.root or name[4:]), ALIASES[split]) for split in ALIASES}
        classes = None
    elif "/" not in name or Path(name).expanduser().exists() or name.startswith((".", "/", "~")):
        sets, classes = _open_folder(Path(name).expanduser())
    else:
        sets, classes = _open_named(name, config.root)
    train, val, test = sets["train"], sets["validation"], sets["test"]
    if train is None:
        raise DataError(f"data: {name} has no training images (expected train/<class>/<image>)")
    if val is None and test is None:
        raise DataError(f"data: {name} has neither a validation nor a test split (expected val/<class>/<image>)")
    order: list[int] = np.random.default_rng(SPLIT_SEED).permutation(len(train)).tolist()
    held_out = 0 if val is not None and test is not None else max(1, round(config.val_share * len(train)))
    val_part = (train, order[:held_out]) if val is None or test is None else (val, range(len(val)))
    test = test or val
    assert test is not None
    rest = order[held_out:]
    chosen = rest[: max(1, round(config.train_share * len(rest)))]
    return Splits((train, chosen), val_part, (test, range(len(test))), classes or _largest_label(train) + 1)


def _open_folder(root: Path) -> tuple[dict[str, ImageSet | None], int]:
    if not root.is_dir():
        raise DataError(f"data: {str(root)!r} is neither a known data set nor a folder")
    folders = {
        split: next((root / alias for alias in aliases if (root / alias).is_dir()), None)
        for split, aliases in ALIASES.items()
    }
    train = folders["train"]
    names = sorted((p.name for p in train.iterdir() if p.is_dir()), key=natural_key) if train is not None else []
    class_map = {name: number for number, name in enumerate(names)}
    sets: dict[str, ImageSet | None] = dict.fromkeys(folders)
    for split, folder in folders.items():
        if folder is None or train is None:
            continue
        for class_folder in sorted(p for p in folder.iterdir() if p.is_dir()):
            if class_folder.name not in class_map:
                raise DataError(f"data: {class_folder} is a class without training images")
            if not any(p.suffix.lower() in SUFFIXES for p in class_folder.rglob("*")):
                raise DataError(f"data: {class_folder} is a class folder without an image ({', '.join(SUFFIXES)})")
        try:
            images = create_dataset("", root=str(folder), split=split, search_split=False, class_map=class_map)
        except RuntimeError as error:
            raise DataError(f"data: {folder}: {' '.join(str(error).split())}") from None
        sets[split] = TimmImages(images)
    return sets, len(class_map)


def _open_named(name: str, root: str) -> tuple[dict[str, ImageSet | None], int | None]:
    sets: dict[str, ImageSet | None] = {}
    classes: int | None = None
    for split in ALIASES:
        if split == "validation" and name.startswith("torch/"):
            sets[split] = None  # torchvision's data sets have one evaluation split, which timm gives for either name
            continue
        # hfds/ names without a split of that name, torch/ ones without a copy here: only the training split must be.
        wanted = "validation" if name.startswith("torch/") and split == "test" else split
        try:
            download = name.startswith("torch/") and bool(root)
            images = create_dataset(name, root=root or None, split=wanted, download=download)
        except Exception as error:  # noqa: BLE001 - whatever the library behind the name raises
            if split == "train":
                raise DataError(f"data: {name}: {' '.join(str(error).split())[:300]}") from None
            sets[split] = None
            continue
        if isinstance(images, IterableDataset):
            raise DataError(
                f"data: {name} is a stream; a run that can be resumed needs images by index, as hfds/ has them"
            )
        sets[split] = TimmImages(images)
        if split == "train":
            found = getattr(images, "classes", None) or getattr(getattr(images, "reader", None), "class_to_idx", None)
            classes = len(found) if found else None
    return sets, classes


def _largest_label(images: ImageSet) -> int:
    labels = getattr(images, "labels", None)
    if labels is None:
        raise DataError("data: the number of classes cannot be told from this data set")
    return int(max(labels))
