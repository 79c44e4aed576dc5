"""Data sets that timm opens by name: torchvision's (`torch/`) and Hugging Face's (`hfds/`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from itertools import chain
from os.path import basename, commonpath, join, relpath
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from autoprog_search.data.fingerprint import SetFingerprint, hash_of
from autoprog_search.data.folder import ALIASES
from autoprog_search.data.reading import escaped, file_sizes
from autoprog_search.errors import DataError, StudyError, why
from autoprog_search.files import file_lock

NAMED = ("torch", "hfds", "hfids", "tfds")  # prefixes of timm's data set names
OUR_FOLDERS = ("torch/folder", "torch/image_folder")  # torchvision's reader takes hidden folders for classes


@dataclass(frozen=True)
class NamedImages:
    """A timm data set without a transform; an `ImageSet` (images.py)."""

    images: Any
    labels: Sequence[int] | None

    def __len__(self) -> int:
        return len(self.images)

    def load(self, index: int) -> tuple[Image.Image, int]:
        if hasattr(self.images, "reader"):
            file, label = self.images.reader[index]
            image = Image.open(file)
        else:
            image, label = self.images[index]
        if image is None or label is None:
            raise ValueError(f"it has no {'image' if image is None else 'label'}")
        return image, int(label)

    def name(self, index: int) -> str:
        if hasattr(self.images, "reader"):
            return str(self.images.reader.filename(index, absolute=True) or f"image {index}")
        return f"image {index}"

    def fingerprint(self, *, sizes: bool) -> SetFingerprint:
        """Hugging Face's own, or torchvision's array or list of files."""
        files = self._files()
        names = hash_of(chain(self._names_of(files), self.labels or ()))
        table, pixels = getattr(getattr(self.images, "reader", None), "dataset", None), _array(self.images)
        if table is not None:
            content = str(getattr(table, "_fingerprint", ""))
        else:
            content = hash_of((pixels.shape, pixels.tobytes())) if pixels is not None else ""
        if not (sizes and files):
            return SetFingerprint(len(self), names, content)
        found = file_sizes(files.__getitem__, len(files))
        return SetFingerprint(len(self), names, content, bytes=sum(found), sizes=hash_of(found))

    def _files(self) -> list[str]:
        """Those that a torchvision set reads, if it does."""
        images = self.images
        if index := getattr(images, "index", None):  # INaturalist
            return [join(images.root, images.all_categories[category], file) for category, file in index]
        samples = getattr(images, "samples", None) or getattr(images, "imgs", None) or ()
        return [str(file) for file, _ in samples]

    def _names_of(self, files: Sequence[str]) -> list[str]:
        """The files' names from the folder that holds them all; INaturalist's folders are the labels."""
        if getattr(self.images, "index", None):
            return [basename(file) for file in files]
        root = commonpath(map(str, map(Path, files))) if files else ""
        return [relpath(file, root) for file in files]


def open_named(name: str, root: str, create: Callable[..., Any]) -> tuple[dict[str, NamedImages | None], Sequence[str]]:
    """The sets of a named data set by split, and its classes' names.

    Args:
        create: timm's factory.

    Raises:
        DataError: it cannot be opened, is a stream, or has no labels.
    """
    if name.lower() in OUR_FOLDERS:
        raise DataError(f"data: {name}: give the folder itself as --data")
    torchvisions = name.startswith("torch/")
    if torchvisions and not root:
        raise DataError(f"data: {name} needs a folder to be read from, or downloaded to: give --data-root")
    # torchvision's data sets have one evaluation split, which timm gives for either name: it is the test split.
    wanted = {"train": ("train",), "validation": (), "test": ("validation",)} if torchvisions else ALIASES
    with _alone_in(root) if torchvisions else nullcontext():
        opened = {split: _first_split(name, root, wanted[split], create, download=torchvisions) for split in ALIASES}
    train = opened["train"]
    images = train.images if train is not None else None
    classes = getattr(images, "classes", None) or getattr(getattr(images, "reader", None), "class_to_idx", None)
    return opened, [str(name) for name in classes] if classes else ()


@contextmanager
def _alone_in(root: str) -> Iterator[None]:
    """Keep a study's other workers from downloading into the same folder at the same time."""
    try:
        held = file_lock(Path(root).expanduser() / ".download.lock").acquire()
    # RuntimeError: ~nosuchuser; ValueError: a NUL in it
    except (StudyError, OSError, RuntimeError, ValueError) as error:
        raise DataError(f"data: {escaped(root)} cannot be written: {why(error)}") from None
    with held:
        yield


def _first_split(
    name: str, root: str, aliases: Sequence[str], create: Callable[..., Any], *, download: bool
) -> NamedImages | None:
    """The first split of these names that a named data set has, or None; whatever else goes wrong is an error."""
    from torch.utils.data import IterableDataset

    for alias in aliases:
        where = f"data: {escaped(name)}, split {alias}"
        try:
            images = create(name, root=root or None, split=alias, download=download)
            if isinstance(images, IterableDataset):
                raise DataError(
                    f"data: {escaped(name)} is a stream; a run that can be resumed needs images by index, as hfds/ has"
                )
            return NamedImages(images, _labels(images))
        except DataError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever the library behind the name raises
            reason = why(error)
            if "unknown split" in reason.lower():  # Hugging Face's words
                continue
            raise DataError(f"{where}: {reason}") from None
    return None


def _labels(images: Any) -> list[int] | None:
    """All labels, without opening an image; None where the set does not list them.

    Raises:
        ValueError: they are no class numbers.
    """
    reader = getattr(images, "reader", None)
    if reader is not None:
        key, table = getattr(reader, "label_key", None), reader.dataset
        # A column is read at once; what timm makes of several of them, row by row.
        listed = table[key] if key in table.column_names and not reader.remap_class else list(reader.iter_targets())
    else:
        kept = (getattr(images, name, None) for name in ("targets", "labels", "_labels"))
        listed = next((found for found in kept if found is not None), None)
        if listed is None and hasattr(images, "index"):  # INaturalist
            listed = [label for label, _ in images.index]
        if listed is None or np.ndim(listed) != 1:  # QMNIST keeps more than the class in them
            return None
    labels = np.asarray([-1 if label is None else label for label in listed])  # no label: as -1, which is none
    if labels.ndim != 1 or (len(labels) and labels.dtype.kind not in "iub"):
        raise ValueError(f"its labels are no class numbers, for example {escaped(str(next(iter(listed))))[:40]!r}")
    found: list[int] = labels.astype(np.int64).tolist()
    return found


def _array(images: Any) -> np.ndarray | None:
    data = getattr(images, "data", None)
    if isinstance(data, np.ndarray):
        return data
    return np.asarray(data) if type(data).__module__ == "torch" else None
