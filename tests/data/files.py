"""Small data sets on disk, for tests: folders of images, IDX files, shards."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from autoprog_search.data.folder import SUFFIXES
from autoprog_search.data.load import load_data
from autoprog_search.data.loader import LoaderData
from autoprog_search.settings.data import DataConfig
from autoprog_search.settings.recipe import Recipe
from autoprog_search.space import GrowthSpace
from tests.tiny import CPU

RECIPE = Recipe(batch_size=4)
FORMATS = {".jpe": "JPEG", ".jfif": "JPEG", ".pgm": "PPM"}
SPACE = GrowthSpace.load("deit_tiny").model_copy(update={"resolution": 32, "patch_size": 8})


def at(side: int) -> Callable[[int], int]:
    """Every step at this side."""
    return lambda step: side


def load(root: Path, recipe: Recipe = RECIPE, workers: int = 0) -> LoaderData:
    data = load_data(DataConfig(name=str(root), workers=workers), SPACE, recipe, CPU)
    assert isinstance(data, LoaderData)
    return data


def make_images(root: Path, **splits: dict[str, int]) -> Path:
    """JPEGs whose mean brightness tells their class: {split: {class: count}}."""
    for split, classes in splits.items():
        for number, (name, count) in enumerate(sorted(classes.items())):
            folder = root / split / name
            folder.mkdir(parents=True)
            for k in range(count):
                noise = np.random.default_rng(k).integers(0, 40, (40, 40, 3)) + 70 * number
                Image.fromarray(noise.astype(np.uint8)).save(folder / f"{k}.jpg")
    return root


def make_fashion_mnist(root: Path, train: int = 1500, test: int = 100, compressed: bool = True) -> Path:
    """Images whose brightness tells their class, with noise."""
    for prefix, count in (("train", train), ("t10k", test)):
        labels = (np.arange(count) % 10).astype(np.uint8)
        noise = np.random.default_rng(count).integers(0, 30, (count, 28, 28))
        write_idx(
            root / f"{prefix}-images-idx3-ubyte", (noise + 20 * labels[:, None, None]).astype(np.uint8), compressed
        )
        write_idx(root / f"{prefix}-labels-idx1-ubyte", labels, compressed)
    return root


def write_idx(path: Path, array: np.ndarray, compressed: bool = True) -> None:
    """The format's header: two zero bytes, 8 for bytes, the number of dimensions; then each dimension, big-endian."""
    content = bytes((0, 0, 8, array.ndim)) + np.array(array.shape, dtype=">i4").tobytes() + array.tobytes()
    if compressed:
        Path(f"{path}.gz").write_bytes(gzip.compress(content))
    else:
        path.write_bytes(content)


def make(root: Path, *files: str) -> Path:
    """Small images under these names; any other suffix gets a line of text."""
    for name in files:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        suffix = path.suffix.lower()
        if suffix in SUFFIXES:
            Image.new("L" if suffix == ".pgm" else "RGB", (8, 8)).save(path, format=FORMATS.get(suffix))
        else:
            path.write_text("no image")
    return root


def small(root: Path) -> Path:
    return make(root, *(f"{split}/{name}/{k}.png" for split in ("train", "val") for name in "ab" for k in range(3)))


def make_shard(path: Path, *labels: str | None) -> Path:
    """A shard of one-colour images, brightness 20 x label; a label of None is left out."""
    with tarfile.open(path, "w") as tar:
        for number, label in enumerate(labels):
            pixels = np.full((20, 20, 3), 20 * int(label[-1]) if label and label.isdigit() else 0, np.uint8)
            picture = io.BytesIO()
            Image.fromarray(pixels).save(picture, "PNG")
            files = {"png": picture.getvalue()} | ({"cls": label.encode()} if label is not None else {})
            for suffix, content in files.items():
                item = tarfile.TarInfo(f"{number:05}.{suffix}")
                item.size = len(content)
                tar.addfile(item, io.BytesIO(content))
    return path
