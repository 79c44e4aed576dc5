"""Images in folders: splits, classes, resumable order; what is wrong with a folder is one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from autoprog_search.errors import ConfigError, DataError
from autoprog_search.space import GrowthSpace
from autoprog_search.training.data import load_data
from autoprog_search.training.loader_data import LoaderData
from autoprog_search.training.recipe import DataConfig, Recipe
from tests.tiny import CPU

SPACE = GrowthSpace.load("digits").model_copy(update={"resolution": 32, "patch_size": 8})
RECIPE = Recipe(batch_size=4)


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


def load(root: Path, recipe: Recipe = RECIPE, workers: int = 0) -> LoaderData:
    data = load_data(DataConfig(name=str(root), workers=workers), SPACE, recipe, CPU)
    assert isinstance(data, LoaderData)
    return data


def test_without_a_test_split_a_tenth_of_training_validates(tmp_path):
    data = load(make_images(tmp_path, train={"a": 10, "b": 10}, val={"a": 3, "b": 2}))
    assert (data.train_size, len(data.val[1]), len(data.test[1]), data.num_classes) == (18, 2, 5, 2)
    assert not set(data.val[1]) & set(data.train[1])
    again = load(tmp_path)
    assert list(again.val[1]) == list(data.val[1])


def test_with_all_three_splits_each_is_its_own(tmp_path):
    data = load(make_images(tmp_path, train={"a": 5, "b": 5}, val={"a": 2, "b": 2}, test={"a": 1, "b": 1}))
    assert (data.train_size, len(data.val[1]), len(data.test[1])) == (10, 4, 2)


def test_batches_are_a_pure_function_of_seed_and_step(tmp_path):
    data = load(make_images(tmp_path, train={"a": 10, "b": 10}, val={"a": 1, "b": 1}))
    whole = list(data.train_batches(3, 0, 8, 4))
    torch.manual_seed(99)  # no global state matters
    part = list(data.train_batches(3, 5, 8, 4))
    assert all(torch.equal(a, b) for x, y in zip(whole[5:], part, strict=True) for a, b in zip(x, y, strict=True))
    in_workers = list(load(tmp_path, workers=2).train_batches(3, 5, 8, 4))
    assert all(torch.equal(x[0], y[0]) for x, y in zip(part, in_workers, strict=True))
    other = list(data.train_batches(4, 5, 8, 4))
    assert not torch.equal(part[0][0], other[0][0])


def test_classes_are_numbered_by_the_training_split(tmp_path):
    """A split that lacks a class must not shift the others."""
    data = load(
        make_images(tmp_path, train={"a": 6, "b": 6, "c": 6}, val={"a": 1, "b": 1, "c": 1}, test={"a": 1, "c": 2})
    )
    labels = torch.cat([labels for _, labels in data.eval_batches("test", 2)])
    assert labels.tolist() == [0, 2, 2]


@pytest.mark.parametrize(
    ("splits", "words"),
    [
        ({"val": {"a": 2}}, "no training images"),
        ({"train": {"a": 8}}, "neither a validation nor a test split"),
        ({"train": {"a": 2}, "val": {"a": 2}}, "has 1 training images, a batch has 4"),
        ({"train": {"a": 8}, "val": {"a": 2, "z": 1}}, "z is a class without training images"),
        ({"train": {"a": 0}, "val": {"a": 2}}, "train"),
    ],
)
def test_wrong_folder_is_one_line(splits, words, tmp_path):
    with pytest.raises(DataError) as caught:
        load(make_images(tmp_path, **splits))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unknown_augmentation_is_one_line(tmp_path):
    make_images(tmp_path, train={"a": 8}, val={"a": 2})
    with pytest.raises(ConfigError, match=r"recipe, auto_augment: 'magic'"):
        load(tmp_path, Recipe(batch_size=4, auto_augment="magic"))


def test_odd_batches_cannot_be_mixed():
    with pytest.raises(ConfigError, match="batch_size: 5 is odd"):
        Recipe(batch_size=5, mixup=0.2)
