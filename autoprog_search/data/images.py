"""Image sets on disk: opening what a name or a folder means; which images train, validate and test (docs/data.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from PIL import Image, UnidentifiedImageError

from autoprog_search.data.arrays import ARRAYS, open_arrays
from autoprog_search.data.fingerprint import Fingerprint, SetFingerprint
from autoprog_search.data.folder import open_folder
from autoprog_search.data.named import NAMED, open_named
from autoprog_search.data.reading import escaped, existing_folder
from autoprog_search.data.shards import open_shards
from autoprog_search.errors import DataError, why
from autoprog_search.randomness import SPLIT_SEED
from autoprog_search.settings.data import DataConfig

NO_LABEL = -1  # as test sets of competitions say


class ImageSet(Protocol):
    """Images with labels, by index."""

    def __len__(self) -> int: ...

    @property
    def labels(self) -> Sequence[int] | None:
        """The label of every image, known without opening one; None where only the images themselves tell."""

    def load(self, index: int) -> tuple[Image.Image, int]:
        """The image, opened and not decoded yet where its format allows, and its label.

        Raises:
            Exception: whatever PIL or a library raises; `unreadable` makes one line of it.
        """

    def name(self, index: int) -> str:
        """What to call the image in an error."""

    def fingerprint(self, *, sizes: bool) -> SetFingerprint:
        """What tells whether these are the same images: see fingerprint.py."""


@dataclass(frozen=True)
class Splits:
    """Image sets, and which of their images belong to each split; `train` and `val` may share a set, apart by index.

    Attributes:
        sets: that were opened, by their own name: train, validation, test.
        class_names: in the order of the labels, where classes have names.
    """

    train: tuple[ImageSet, Sequence[int]]
    val: tuple[ImageSet, Sequence[int]]
    test: tuple[ImageSet, Sequence[int]]
    num_classes: int
    sets: Mapping[str, ImageSet]
    class_names: Sequence[str] = ()

    def fingerprint(self, *, sizes: bool) -> Fingerprint:
        """See `Data.fingerprint`."""
        found = {name: images.fingerprint(sizes=sizes) for name, images in self.sets.items()}
        return Fingerprint.of(found, self.num_classes, self.class_names)


def open_splits(config: DataConfig) -> Splits:
    """Open a named timm data set, or a folder with `train/` and `val/` or `test/` (a folder a class).

    Raises:
        DataError: nothing there, or not what it should be.
    """
    name = config.name
    if config.table is not None:
        raise DataError(f"data: {name} holds results, no images to train on; studies run on it")
    opened, classes = _open_sets(name, config.root)
    for split, images in opened.items():
        if images is not None and len(images) == 0:
            raise DataError(f"data: the {split} split of {escaped(name)} is empty")
    train, val, test = opened["train"], _labelled(opened["validation"]), _labelled(opened["test"])
    form = "{}-<number>.tar" if name.startswith("wds/") else "{}/<class>/<image>"
    if train is None:
        raise DataError(f"data: {escaped(name)} has no training images (expected {form.format('train')})")
    if val is None and test is None:
        raise DataError(
            f"data: {escaped(name)} has neither a validation nor a test split (expected {form.format('val')})"
        )
    num_classes = len(classes) or _largest_label(train) + 1
    sets = {split: images for split, images in zip(opened, (train, val, test), strict=True) if images is not None}
    for images in sets.values():
        _check_labels(images, num_classes)
    order: list[int] = np.random.default_rng(SPLIT_SEED).permutation(len(train)).tolist()
    held_out = 0 if val is not None and test is not None else max(1, round(config.val_share * len(train)))
    val_part = (train, order[:held_out]) if val is None or test is None else (val, range(len(val)))
    test = val if test is None else test
    assert test is not None
    rest = order[held_out:]
    chosen = rest[: max(1, round(config.train_share * len(rest)))]
    return Splits((train, chosen), val_part, (test, range(len(test))), num_classes, sets, classes)


def fingerprint_of(config: DataConfig, *, sizes: bool) -> Fingerprint:
    """Of the data that a configuration means; no model is needed, and torch only for `torch/` and `hfds/`.

    A data set of torchvision's that is not there yet is downloaded.

    Args:
        sizes: whether the sizes of all files are looked at too.

    Raises:
        DataError: the data cannot be found or read; or they are a table, see `table_fingerprint`.
    """
    if config.name in ARRAYS:
        return open_arrays(config).fingerprint()
    return open_splits(config).fingerprint(sizes=sizes)


def unreadable(images: ImageSet, index: int, error: Exception) -> DataError:
    """The line for an image that cannot be opened, decoded or transformed, whatever was raised.

    PIL and the libraries under it raise anything for a damaged file: OSError, SyntaxError, struct.error, EOFError,
    zlib.error, DecompressionBombError, MemoryError, ... Every list of them was too short.
    """
    try:
        name = images.name(index)
    except Exception:  # noqa: BLE001 - a named set reads the row again, which is what failed
        name = f"image {index}"
    reason = "it is none, or of a format unknown here" if isinstance(error, UnidentifiedImageError) else why(error)
    return DataError(f"data: {escaped(name)} cannot be read as an image: {reason}")


def _open_sets(name: str, root: str) -> tuple[Mapping[str, ImageSet | None], Sequence[str]]:
    """The sets by split, and the classes' names, if they have names."""
    if not name or (name == "wds/" and not root):
        raise DataError("data: the name is empty; give a data set's name or a folder")
    if name.startswith("wds/"):
        return open_shards(root or name[4:]), ()
    if name.split("/")[0] in NAMED:
        return open_named(name, root, create_dataset)
    known = f"is neither a known data set ({', '.join(NAMED)}, wds/...) nor a folder"
    return open_folder(existing_folder(name, known))


def create_dataset(name: str, root: str | None, split: str, download: bool) -> object:
    """timm's factory; imported when a named data set is opened, as it brings torch along."""
    from timm.data import create_dataset as create

    return create(name, root=root, split=split, download=download)


def _labelled(images: ImageSet | None) -> ImageSet | None:
    """The set, or None if all its labels are -1."""
    if images is None or images.labels is None:
        return images
    return images if any(label != NO_LABEL for label in images.labels) else None


def _check_labels(images: ImageSet, num_classes: int) -> None:
    """Raise DataError if a label is outside the classes."""
    labels = np.asarray(images.labels if images.labels is not None else [])
    wrong = np.flatnonzero((labels < 0) | (labels >= num_classes))
    if len(wrong):
        where = escaped(images.name(int(wrong[0])))
        raise DataError(
            f"data: {where}: label {labels[wrong[0]]} is outside the classes 0 to {num_classes - 1}"
            + (f", as are {len(wrong) - 1} more" if len(wrong) > 1 else "")
        )


def _largest_label(images: ImageSet) -> int:
    if not images.labels:
        raise DataError("data: the number of classes cannot be told from this data set")
    return int(max(images.labels))
