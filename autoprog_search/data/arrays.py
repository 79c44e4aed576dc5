"""The small data sets `digits`, `fashion_mnist`, `letters` as they come: arrays in memory. tensor.py trains on them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from autoprog_search.data.fingerprint import Fingerprint, SetFingerprint, hash_of
from autoprog_search.data.idx import read_idx
from autoprog_search.data.reading import escaped, existing_folder
from autoprog_search.errors import ConfigError, DataError
from autoprog_search.settings.data import DataConfig

DIGITS_SPLIT = Path(__file__).parent / "digits_split.json"  # stratified, from SPLIT_SEED (tests/data)
FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")  # of Debian's package dataset-fashion-mnist


@dataclass(frozen=True)
class ArraySets:
    """Sets of images (count, side, side), values 0 to `white`, and labels (count,), 0 to `classes` - 1, by name."""

    sets: Mapping[str, tuple[np.ndarray, np.ndarray]]
    white: int
    classes: int

    def fingerprint(self) -> Fingerprint:
        """Of the images' and labels' values."""
        sets = {
            name: SetFingerprint(len(labels), content=hash_of((images.shape, images.tobytes(), labels.tolist())))
            for name, (images, labels) in self.sets.items()
        }
        return Fingerprint(sets, self.classes)


def digits_arrays(root: str = "") -> ArraySets:
    """scikit-learn's 1,797 digits, 8x8: 1,000 to train, 297 to validate, 500 to test.

    Its file and scikit-learn's are read as they are: importing scikit-learn takes longer than everything else here, in
    every worker.
    """
    package = find_spec("sklearn")
    assert package is not None, "scikit-learn is a dependency"
    assert package.submodule_search_locations
    table = np.loadtxt(Path(package.submodule_search_locations[0]) / "datasets/data/digits.csv.gz", delimiter=",")
    images, labels = table[:, :-1].reshape(-1, 8, 8), table[:, -1]
    parts: dict[str, list[int]] = json.loads(DIGITS_SPLIT.read_text())
    return ArraySets({name: (images[i], labels[i]) for name, i in parts.items()}, white=16, classes=10)


def fashion_mnist_arrays(root: str = "") -> ArraySets:
    """Fashion-MNIST's IDX files: 60,000 images to train (and validate) and 10,000 to test, 28 px.

    Args:
        root: folder that they lie in; else they are looked for where Debian's package puts them.

    Raises:
        DataError: a file is missing or is none of these, or a label is outside the classes.
    """
    missing = "give its folder, or install Debian's package dataset-fashion-mnist"
    folder = existing_folder(root, "is no folder") if root else FASHION_MNIST
    return _idx_sets(folder, {"train": "train", "test": "t10k"}, classes=10, missing=missing)


def letters_arrays(root: str = "") -> ArraySets:
    """The letters that `python -m benchmarks.letters` makes, A to Z, 48 px, no font family in two of the three sets.

    Args:
        root: folder that they were written to.

    Raises:
        DataError: as for Fashion-MNIST; or no folder is given.
    """
    missing = "make them: python -m benchmarks.letters --out DIR (docs/data.md)"
    if not root:
        raise DataError(f"data: letters are in no package; {missing}, then give --data-root DIR")
    folder = existing_folder(root, "is no folder")
    return _idx_sets(folder, {"train": "train", "val": "val", "test": "t10k"}, classes=26, missing=missing)


def _idx_sets(folder: Path, prefixes: Mapping[str, str], *, classes: int, missing: str) -> ArraySets:
    """The sets in pairs of IDX files whose names begin so."""
    sets = {}
    for name, prefix in prefixes.items():
        images = read_idx(folder, f"{prefix}-images-idx3-ubyte", dimensions=3, missing=missing)
        labels = read_idx(folder, f"{prefix}-labels-idx1-ubyte", dimensions=1, missing=missing)
        if len(images) != len(labels):
            raise DataError(f"data: {escaped(folder)} has {len(images)} {name} images and {len(labels)} labels")
        if images.shape[1] != images.shape[2]:
            raise DataError(f"data: {escaped(folder)}: {name} images of {images.shape[1:]} pixels are not square")
        if labels.max() >= classes:
            raise DataError(
                f"data: {escaped(folder)}: label {labels.max()} of the {name} set is outside the classes 0 to "
                f"{classes - 1}"
            )
        sets[name] = images, labels
    return ArraySets(sets, white=255, classes=classes)


def open_arrays(config: DataConfig) -> ArraySets:
    """The sets of that name, one of `ARRAYS`.

    Raises:
        ConfigError: they are to be cached.
        DataError: a file is missing or damaged.
    """
    if config.cache != "none":
        raise ConfigError(
            f"data, cache: {config.cache!r} is for images that come through a loader; {config.name} lives on the "
            "device, leave it at 'none'"
        )
    return ARRAYS[config.name](config.root)


ARRAYS: dict[str, Callable[[str], ArraySets]] = {
    "digits": digits_arrays,
    "fashion_mnist": fashion_mnist_arrays,
    "letters": letters_arrays,
}
