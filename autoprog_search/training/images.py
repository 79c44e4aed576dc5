"""Image sets on disk: opening what a name or a folder means, and which images train, validate and test.

Split rule: `test` is the test split if there is one, else the validation split; `val` is the validation split if both
exist, else `val_share` of the training images, the same for every method and seed. A split without labels is none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from filelock import FileLock
from PIL import Image
from timm.data import create_dataset, get_img_extensions
from timm.utils.misc import natural_key
from torch.utils.data import IterableDataset

from autoprog_search.errors import DataError
from autoprog_search.training.recipe import DataConfig
from autoprog_search.training.shards import open_shards
from autoprog_search.training.tensor_data import SPLIT_SEED

NAMED = ("torch", "hfds", "hfids", "tfds")  # prefixes of timm's data set names
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
        sets, classes = {split: open_shards(Path(config.root or name[4:]), ALIASES[split]) for split in ALIASES}, None
    elif name.split("/")[0] in NAMED:
        sets, classes = _open_named(name, config.root)
    else:
        sets, classes = _open_folder(Path(name).expanduser())
    for split, images in sets.items():
        if images is not None and len(images) == 0:
            raise DataError(f"data: the {split} split of {name} is empty")
    train, val, test = sets["train"], _labelled(sets["validation"]), _labelled(sets["test"])
    if train is None:
        raise DataError(f"data: {name} has no training images (expected train/<class>/<image>)")
    if val is None and test is None:
        raise DataError(f"data: {name} has neither a validation nor a test split (expected val/<class>/<image>)")
    order: list[int] = np.random.default_rng(SPLIT_SEED).permutation(len(train)).tolist()
    held_out = 0 if val is not None and test is not None else max(1, round(config.val_share * len(train)))
    val_part = (train, order[:held_out]) if val is None or test is None else (val, range(len(val)))
    test = val if test is None else test
    assert test is not None
    rest = order[held_out:]
    chosen = rest[: max(1, round(config.train_share * len(rest)))]
    return Splits((train, chosen), val_part, (test, range(len(test))), classes or _largest_label(train) + 1)


def _labelled(images: ImageSet | None) -> ImageSet | None:
    """The set, or None if it only says -1, as test sets of competitions do."""
    return images if images is not None and images.load(0)[1] >= 0 else None


def _open_folder(root: Path) -> tuple[dict[str, ImageSet | None], int]:
    if not root.is_dir():
        raise DataError(f"data: {str(root)!r} is neither a known data set ({', '.join(NAMED)}, wds/...) nor a folder")
    folders = {
        split: next((root / alias for alias in aliases if (root / alias).is_dir()), None)
        for split, aliases in ALIASES.items()
    }
    train = folders["train"]
    names = sorted((p.name for p in train.iterdir() if p.is_dir()), key=natural_key) if train is not None else []
    if train is not None and not names:
        raise DataError(f"data: {train} has no class folders (expected train/<class>/<image>)")
    class_map = {name: number for number, name in enumerate(names)}
    sets: dict[str, ImageSet | None] = dict.fromkeys(folders)
    for split, folder in folders.items():
        if folder is None or train is None:
            continue
        for class_folder in sorted(p for p in folder.iterdir() if p.is_dir()):
            _check_class_folder(class_folder, class_map)
        try:
            images = create_dataset("", root=str(folder), split=split, search_split=False, class_map=class_map)
        except RuntimeError as error:
            raise DataError(f"data: {folder}: {' '.join(str(error).split())}") from None
        sets[split] = TimmImages(images)
    return sets, len(class_map)


def _check_class_folder(folder: Path, class_map: Mapping[str, int]) -> None:
    """Raise DataError unless it is a class that trains, with images in it: timm passes over those that lie deeper."""
    if folder.name not in class_map:
        raise DataError(f"data: {folder} is a class without training images")
    inside = list(folder.iterdir())
    if nested := next((p for p in inside if p.is_dir()), None):
        raise DataError(f"data: {nested} is a folder inside a class folder; images must lie in {folder} itself")
    suffixes = get_img_extensions()
    if not any(p.suffix.lower() in suffixes for p in inside):
        raise DataError(f"data: {folder} is a class folder without an image ({', '.join(sorted(suffixes))})")


def _open_named(name: str, root: str) -> tuple[dict[str, ImageSet | None], int | None]:
    torchvisions = name.startswith("torch/")
    if torchvisions and not root:
        raise DataError(f"data: {name} needs a folder to be read from, or downloaded to: give --data-root")
    # torchvision's data sets have one evaluation split, which timm gives for either name: it is the test split.
    wanted = {"train": ("train",), "validation": (), "test": ("validation",)} if torchvisions else ALIASES
    with _alone_in(Path(root)) if torchvisions else nullcontext():
        opened = {split: _first_split(name, root, wanted[split], download=torchvisions) for split in ALIASES}
    train = opened["train"]
    found = getattr(train, "classes", None) or getattr(getattr(train, "reader", None), "class_to_idx", None)
    return {s: None if i is None else TimmImages(i) for s, i in opened.items()}, len(found) if found else None


def _alone_in(root: Path) -> FileLock:
    """Keep a study's other workers from downloading into the same folder at the same time.

    Raises:
        DataError: the folder cannot be made.
    """
    try:
        root.expanduser().mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"data: {root} cannot be written: {str(error.strerror).lower()}") from None
    return FileLock(root.expanduser() / ".download.lock")


def _first_split(name: str, root: str, aliases: Sequence[str], *, download: bool) -> Any:
    """The first split of these names that a named data set has, or None; whatever else goes wrong is an error."""
    for alias in aliases:
        try:
            images = create_dataset(name, root=root or None, split=alias, download=download)
        except Exception as error:  # noqa: BLE001 - whatever the library behind the name raises
            reason = " ".join(str(error).split())[:300]
            if "unknown split" in reason.lower():  # Hugging Face's words
                continue
            raise DataError(f"data: {name}, split {alias}: {reason}") from None
        if isinstance(images, IterableDataset):
            raise DataError(f"data: {name} is a stream; a run that can be resumed needs images by index, as hfds/ has")
        return images
    return None


def _largest_label(images: ImageSet) -> int:
    labels = getattr(images, "labels", None)
    if not labels:
        raise DataError("data: the number of classes cannot be told from this data set")
    return int(max(labels))
