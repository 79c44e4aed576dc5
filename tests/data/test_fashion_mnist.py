"""Fashion-MNIST's IDX files, real in format and small: splits, labels, what is wrong with a file."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch

from autoprog_search.data.idx import read_idx
from autoprog_search.data.load import load_data
from autoprog_search.data.tensor import TensorData
from autoprog_search.errors import DataError
from autoprog_search.settings.data import DataConfig
from autoprog_search.settings.recipe import load_recipe
from autoprog_search.space import GrowthSpace
from tests.data.files import make_fashion_mnist, write_idx
from tests.tiny import CPU

SPACE, RECIPE = GrowthSpace.load("fashion_mnist"), load_recipe("fashion_mnist")


def load(root: Path, **fields: float) -> TensorData:
    data = load_data(DataConfig(name="fashion_mnist", root=str(root), **fields), SPACE, RECIPE, CPU)
    assert isinstance(data, TensorData)
    return data


@pytest.mark.parametrize("compressed", [True, False])
def test_splits_are_apart_stratified_and_the_same_every_time(tmp_path, compressed):
    data = load(make_fashion_mnist(tmp_path, compressed=compressed))
    sizes = {name: len(labels) for name, (_, labels) in data.splits.items()}
    assert sizes == {"train": 1350, "val": 150, "test": 100}
    assert data.splits["val"][1].bincount().tolist() == [15] * 10
    images = data.splits["train"][0]
    assert images.shape == (1350, 1, 28, 28)
    assert (images.mean().item(), images.std().item()) == pytest.approx((0, 1), abs=1e-4)
    again = load(tmp_path)
    assert torch.equal(again.splits["val"][0], data.splits["val"][0])
    assert load(tmp_path, train_share=0.5).train_size == 675
    assert load(tmp_path, val_share=0.2).train_size == 1200


def test_mirrored_images_are_drawn_by_the_recipe(tmp_path):
    make_fashion_mnist(tmp_path)
    still = RECIPE.model_copy(update={"augment": 0.0, "hflip": 0.0})

    def batch(hflip: float) -> torch.Tensor:
        recipe = still.model_copy(update={"hflip": hflip})
        data = load_data(DataConfig(name="fashion_mnist", root=str(tmp_path)), SPACE, recipe, CPU)
        return next(data.train_batches(0, 0, 1, 64, lambda step: 28))[0]

    plain, mirrored, some = batch(0.0), batch(1.0), batch(0.5)
    assert torch.equal(mirrored, plain.flip(-1))
    same = (some == plain).flatten(1).all(dim=1)
    assert 16 < int(same.sum()) < 48
    assert torch.equal(some[~same], plain.flip(-1)[~same])


def test_wrong_files_are_one_line(tmp_path):
    with pytest.raises(DataError, match=r"has no train-images-idx3-ubyte\[.gz\]; .*dataset-fashion-mnist"):
        load(tmp_path)
    make_fashion_mnist(tmp_path)
    write_idx(tmp_path / "t10k-labels-idx1-ubyte", np.full(100, 10, np.uint8))
    with pytest.raises(DataError, match=r"label 10 of the test set is outside the classes 0 to 9"):
        load(tmp_path)
    write_idx(tmp_path / "t10k-labels-idx1-ubyte", np.zeros(99, np.uint8))
    with pytest.raises(DataError, match=r"100 test images and 99 labels"):
        load(tmp_path)
    whole = gzip.decompress((tmp_path / "t10k-images-idx3-ubyte.gz").read_bytes())
    for content, words in ((whole[:-1], "cut off"), (b"PNG" + whole, "no IDX file"), (whole[:6], "no IDX file")):
        (tmp_path / "x").write_bytes(content)
        with pytest.raises(DataError, match=words):
            read_idx(tmp_path, "x", dimensions=3)
    (tmp_path / "y.gz").write_bytes(b"not gzip")
    with pytest.raises(DataError, match=r"y\.gz cannot be read"):
        read_idx(tmp_path, "y", dimensions=1)


def idx(*shape: int, content: bytes = b"") -> bytes:
    return bytes((0, 0, 8, len(shape))) + np.array(shape, dtype=">u4").tobytes() + content


ZIPPED = gzip.compress(idx(4, 2, 2, content=bytes(16)))
DAMAGED = {
    "bad deflate": ZIPPED[:12] + b"\xff" * 8 + ZIPPED[20:],
    "cut gzip": ZIPPED[:-12],
    "wrong checksum": ZIPPED[:-8] + bytes(8),
    "no gzip": b"IDX",
    "no bytes": b"",
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_gzip_is_one_line(tmp_path, content):
    (tmp_path / "x.gz").write_bytes(content)
    with pytest.raises(DataError, match=r"x\.gz (cannot be read|is no IDX file)"):
        read_idx(tmp_path, "x", dimensions=3)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (idx(0, 28, 28), "that is nothing"),
        (idx(4, 0, 28), "that is nothing"),
        (idx(2**32 - 1, 2**32 - 1, 2**32 - 1), "too much to be held in memory"),
        (idx(2**31, 2**31, 4, content=bytes(16)), "too much to be held in memory"),  # 0 in 64 bits
        (idx(4, 2, 2, content=bytes(17)), "holds more"),
        (idx(4, 2, 2, content=bytes(15)), "holds 15 bytes; it is cut off"),
        (idx(16, content=bytes(16)), "no IDX file of bytes in 3 dimension"),
    ],
)
def test_a_shape_that_cannot_be_is_one_line(tmp_path, content, words):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(DataError, match=words):
        read_idx(tmp_path, "x", dimensions=3)


@pytest.mark.timeout(20)
def test_a_gzip_of_endless_zeros_is_read_no_further_than_it_says(tmp_path):
    (tmp_path / "x.gz").write_bytes(gzip.compress(idx(4, 2, 2) + bytes(50_000_000), compresslevel=1))
    with pytest.raises(DataError, match="holds more"):
        read_idx(tmp_path, "x", dimensions=3)


def test_images_that_are_not_square_or_too_few_to_split_are_one_line(tmp_path):
    make_fashion_mnist(tmp_path)
    write_idx(tmp_path / "train-images-idx3-ubyte", np.zeros((1500, 14, 28), np.uint8))
    with pytest.raises(DataError, match=r"train images of \(14, 28\) pixels are not square"):
        load(tmp_path)
    make_fashion_mnist(tmp_path, train=30)
    with pytest.raises(DataError, match=r"30 training images cannot be split by data\.val_share 0\.1"):
        load(tmp_path)


@pytest.mark.parametrize("root", ["~nosuchuser", "gone"])
def test_a_folder_that_cannot_be_is_one_line(root):
    with pytest.raises(DataError, match="is no folder"):
        load(Path(root))
