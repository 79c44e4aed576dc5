"""Images in folders: splits, classes, resumable order; what is wrong with a folder is one line."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from autoprog_search.data import images as image_sets
from autoprog_search.data.images import open_splits
from autoprog_search.data.load import load_data
from autoprog_search.data.loader import LoaderData
from autoprog_search.data.part import WHOLE, Part
from autoprog_search.data.transforms import Normalisation, Transforms, scaled_policy
from autoprog_search.errors import ConfigError, DataError
from autoprog_search.settings.data import DataConfig
from autoprog_search.settings.recipe import Recipe
from tests.data.files import RECIPE, SPACE, at, load, make_images
from tests.tiny import CPU


def test_without_a_test_split_a_tenth_of_training_validates(tmp_path):
    splits = load(make_images(tmp_path, train={"a": 10, "b": 10}, val={"a": 3, "b": 2})).splits
    assert (len(splits.train[1]), len(splits.val[1]), len(splits.test[1]), splits.num_classes) == (18, 2, 5, 2)
    assert not set(splits.val[1]) & set(splits.train[1])
    assert list(load(tmp_path).splits.val[1]) == list(splits.val[1])


def test_shares_of_the_training_images_validate_and_train(tmp_path):
    make_images(tmp_path, train={"a": 10, "b": 10}, test={"a": 1, "b": 1})
    data = load_data(DataConfig(name=str(tmp_path), workers=0, val_share=0.4, train_share=0.5), SPACE, RECIPE, CPU)
    assert isinstance(data, LoaderData)
    assert (data.train_size, len(data.splits.val[1])) == (6, 8)
    assert not set(data.splits.val[1]) & set(data.splits.train[1])


def test_with_all_three_splits_each_is_its_own(tmp_path):
    data = load(make_images(tmp_path, train={"a": 5, "b": 5}, val={"a": 2, "b": 2}, test={"a": 1, "b": 1}))
    assert (data.train_size, len(data.splits.val[1]), len(data.splits.test[1])) == (10, 4, 2)


def test_batches_are_a_pure_function_of_seed_and_step(tmp_path):
    data = load(make_images(tmp_path, train={"a": 10, "b": 10}, val={"a": 1, "b": 1}))
    whole = list(data.train_batches(3, 0, 8, 4, at(32)))
    torch.manual_seed(99)  # no global state matters
    part = list(data.train_batches(3, 5, 8, 4, at(32)))
    assert all(torch.equal(a, b) for x, y in zip(whole[5:], part, strict=True) for a, b in zip(x, y, strict=True))
    in_workers = list(load(tmp_path, workers=2).train_batches(3, 5, 8, 4, at(32)))
    assert all(torch.equal(x[0], y[0]) for x, y in zip(part, in_workers, strict=True))
    other = list(data.train_batches(4, 5, 8, 4, at(32)))
    assert not torch.equal(part[0][0], other[0][0])


def test_parts_of_a_batch_are_its_images_with_their_augmentation(tmp_path):
    make_images(tmp_path, train={"a": 10, "b": 10}, val={"a": 3, "b": 2})
    data = load(tmp_path, RECIPE.model_copy(update={"random_erasing": 0.5}))
    parts = [Part(index, 2) for index in range(2)]
    ((whole, labels),) = data.train_batches(3, 5, 6, 8, at(32))
    for part in parts:
        ((images, of_these),) = data.train_batches(3, 5, 6, 8, at(32), part=part)
        places = list(part.of_batch(8))
        assert torch.equal(images, whole[places])
        assert torch.equal(of_these, labels[places])
    for batches in (lambda part: data.eval_batches("val", 2, 32, part), lambda part: data.train_subset(7, 1, 2, part)):
        together = torch.cat([images for part in parts for images, _ in batches(part)])
        assert torch.equal(together, torch.cat([images for images, _ in batches(WHOLE)]))


def test_classes_are_numbered_by_the_training_split(tmp_path):
    """A split that lacks a class must not shift the others."""
    data = load(
        make_images(tmp_path, train={"a": 6, "b": 6, "c": 6}, val={"a": 1, "b": 1, "c": 1}, test={"a": 1, "c": 2})
    )
    labels = torch.cat([labels for _, labels in data.eval_batches("test", 2, 32)])
    assert labels.tolist() == [0, 2, 2]


@pytest.mark.parametrize(
    ("splits", "words"),
    [
        ({"val": {"a": 2}}, "no training images"),
        ({"train": {"a": 8}}, "neither a validation nor a test split"),
        ({"train": {"a": 2}, "val": {"a": 2}}, "has 1 training images, a batch has 4"),
        ({"train": {"a": 8}, "val": {"a": 2, "z": 1}}, "z is a class without training images"),
        ({"train": {"a": 8, "b": 0}, "val": {"a": 2}}, "train/b is a class folder without an image"),
        ({"train": {"a": 8, "b": 8}, "val": {"a": 2, "b": 0}}, "val/b is a class folder without an image"),
    ],
)
def test_wrong_folder_is_one_line(splits, words, tmp_path):
    with pytest.raises(DataError) as caught:
        load(make_images(tmp_path, **splits))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


# ── sides, strength, repeats ────────────────────────────────────────────────────────────────────────────────────────


def test_images_come_at_the_side_that_their_step_trains_at(tmp_path):
    data = load(make_images(tmp_path, train={"a": 10, "b": 10}, val={"a": 2, "b": 1}))
    sides = [16, 24, 32, 24]
    batches = list(data.train_batches(3, 0, 4, 4, lambda step: sides[step]))
    assert [images.shape for images, _ in batches] == [(4, 3, side, side) for side in sides]
    assert next(data.eval_batches("test", 3, 16))[0].shape == (3, 3, 16, 16)


def test_a_jpeg_is_decoded_no_larger_than_needed_and_evaluated_whole_at_full_size(tmp_path):
    path = tmp_path / "photo.jpg"
    Image.fromarray(np.zeros((500, 500, 3), np.uint8)).save(path)

    def decoded(resolution: int, train: bool) -> int:
        image = Image.open(path)
        transforms = Transforms(RECIPE, Normalisation.of("deit_tiny_patch16_224", 3), train, full_resolution=224)
        whole = transforms.decode(image, resolution)
        assert transforms(whole, resolution).shape == (3, resolution, resolution)
        return whole.size[0]

    assert [decoded(side, train=True) for side in (48, 96, 112, 192, 224)] == [63, 125, 250, 250, 500]
    assert [decoded(side, train=False) for side in (96, 224)] == [125, 500]


def test_repeated_augmentation_shows_an_image_several_times_each_its_own_way(tmp_path):
    make_images(tmp_path, train={"a": 12, "b": 12}, val={"a": 1, "b": 1}, test={"a": 1, "b": 1})
    data = load(tmp_path, Recipe(batch_size=6, repeats=3))
    tickets = [t for step in data._tickets(0, 0, 4, 6, data.splits.train[1], at(32)) for t in step]
    indices = [index for _, index, _ in tickets]
    assert all(len(set(indices[k : k + 3])) == 1 for k in range(0, 24, 3))
    assert len(set(indices)) == 8  # a third of the images in an epoch of as many steps
    assert len({seed for seed, _, _ in tickets}) == 24


def test_the_models_channels_and_normalisation_are_taken(tmp_path):
    make_images(tmp_path, train={"a": 10, "b": 10}, val={"a": 1, "b": 1})
    grey = SPACE.model_copy(update={"model": "vit_tiny_patch16_224", "model_args": {"in_chans": 1}})
    data = load_data(DataConfig(name=str(tmp_path), workers=0), grey, RECIPE, CPU)
    images, _ = next(data.train_batches(0, 0, 1, 4, at(32)))
    assert images.shape == (4, 1, 32, 32)
    assert data.normalisation == ((0.5,), (0.5,))
    assert load(tmp_path).normalisation == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@pytest.mark.parametrize(
    ("policy", "strength", "scaled"),
    [
        ("rand-m9-mstd0.5-inc1", 0.5, "rand-m4-mstd0.5-inc1"),  # round half to even, as the released code
        ("rand-m9-mstd0.5-inc1", 1.0, "rand-m9-mstd0.5-inc1"),
        ("rand-m9-n3", 0.0, None),
        ("original", 0.5, "original"),
        (None, 0.5, None),
    ],
)
def test_a_policy_at_a_share_of_its_magnitude(policy, strength, scaled):
    assert scaled_policy(policy, strength) == scaled


@pytest.mark.parametrize("policy", ["rand-m10-n9-mstd0.5-inc1", "rand-m0-n9-p1", "original"])
def test_augmentation_at_the_ends_of_its_range_runs(policy):
    """timm's posterize comes down to 0 bits there, which Pillow 13 refuses."""
    recipe = RECIPE.model_copy(update={"auto_augment": policy})
    transforms = Transforms(recipe, Normalisation.of("deit_tiny_patch16_224", 3), True, full_resolution=32)
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40, 3)).astype(np.uint8))
    for _ in range(40):
        assert transforms(image, 16).shape == (3, 16, 16)


def test_grey_images_of_16_bits_are_scaled_not_clipped(tmp_path):
    values = np.repeat(np.array([[0, 10_000, 30_000, 65_535]], np.uint16), 4, axis=0)
    Image.fromarray(values).save(tmp_path / "deep.png")
    transforms = Transforms(RECIPE, Normalisation.of("deit_tiny_patch16_224", 3), False, full_resolution=224)
    decoded = transforms.decode(Image.open(tmp_path / "deep.png"), 224)
    assert np.asarray(decoded)[0, :, 0].tolist() == [0, 39, 117, 255]


# ── names that timm knows ───────────────────────────────────────────────────────────────────────────────────────────


class FakeSet:
    """A named data set as timm's factory gives it: images and labels by index."""

    def __init__(self, *labels: int) -> None:
        self.labels, self.classes = labels, ["cat", "dog"]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        return Image.new("RGB", (40, 40)), self.labels[index]


def fake_names(monkeypatch: pytest.MonkeyPatch, **splits: FakeSet | Exception) -> None:
    def create(name: str, root: str | None, split: str, download: bool) -> FakeSet:
        found = splits.get(split, ValueError(f'Unknown split "{split}". Should be one of {list(splits)}.'))
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(image_sets, "create_dataset", create)


def test_a_named_set_is_split_by_the_rule(monkeypatch):
    fake_names(monkeypatch, train=FakeSet(*[0, 1] * 10), valid=FakeSet(0, 1, 1))
    named = open_splits(DataConfig(name="hfds/someone/pets"))
    assert (len(named.train[1]), len(named.val[1]), len(named.test[1]), named.num_classes) == (18, 2, 3, 2)
    fake_names(monkeypatch, train=FakeSet(*[0, 1] * 10), validation=FakeSet(0, 1, 1), test=FakeSet(0, 1))
    named = open_splits(DataConfig(name="hfds/someone/pets"))
    assert (len(named.train[1]), len(named.val[1]), len(named.test[1])) == (20, 3, 2)


def test_a_test_split_without_labels_is_none(monkeypatch):
    fake_names(monkeypatch, train=FakeSet(*[0, 1] * 10), validation=FakeSet(0, 1, 1), test=FakeSet(-1, -1))
    named = open_splits(DataConfig(name="hfds/imagenet-1k"))
    assert (len(named.train[1]), len(named.val[1]), len(named.test[1])) == (18, 2, 3)


def test_torchvisions_one_evaluation_split_is_the_test_split(monkeypatch, tmp_path):
    fake_names(monkeypatch, train=FakeSet(*[0, 1] * 10), validation=FakeSet(0, 1, 1))
    named = open_splits(DataConfig(name="torch/cifar10", root=str(tmp_path / "new")))
    assert (len(named.train[1]), len(named.val[1]), len(named.test[1])) == (18, 2, 3)


def test_trouble_with_a_split_is_an_error_and_no_missing_split(monkeypatch):
    fake_names(monkeypatch, train=FakeSet(0, 1), validation=ConnectionError("the host is\nunreachable"))
    with pytest.raises(DataError, match="data: hfds/a/b, split validation: the host is unreachable"):
        open_splits(DataConfig(name="hfds/a/b"))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("torch/cifar10", "give --data-root"),
        ("imges/of/mine", "'imges/of/mine' is neither a known data set"),
        ("hfds/a/b", "the train split of hfds/a/b is empty"),
    ],
)
def test_a_name_that_leads_nowhere_is_one_line(monkeypatch, name, words):
    fake_names(monkeypatch, train=FakeSet())
    with pytest.raises(DataError, match=words):
        open_splits(DataConfig(name=name))


# ── what is wrong with the data ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("workers", [0, 1])
def test_a_broken_image_is_one_line_with_its_name(tmp_path, workers):
    make_images(tmp_path, train={"a": 8, "b": 8}, val={"a": 1, "b": 1})
    good = (tmp_path / "train" / "a" / "3.jpg").read_bytes()
    (tmp_path / "train" / "a" / "3.jpg").write_bytes(good[: len(good) // 2])
    with pytest.raises(DataError) as caught:
        list(load(tmp_path, workers=workers).train_batches(0, 0, 8, 4, at(32)))
    assert "train/a/3.jpg cannot be read as an image" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_label_outside_the_classes_is_one_line(tmp_path):
    data = load(make_images(tmp_path, train={"a": 8, "b": 8}, val={"a": 2, "b": 2}))
    fewer = replace(data, num_classes=1)
    with pytest.raises(DataError, match=r"val/b/.*: label 1 is outside the classes 0 to 0"):
        list(fewer.eval_batches("test", 4, 32))


def test_images_that_lie_deeper_are_refused(tmp_path):
    make_images(tmp_path, train={"a": 8, "b": 8}, val={"a": 2, "b": 2})
    (tmp_path / "train" / "a" / "more").mkdir()
    with pytest.raises(DataError, match=r"train/a/more is a folder inside a class folder"):
        load(tmp_path)
    make_images(tmp_path / "flat", val={"a": 2})
    (tmp_path / "flat" / "train").mkdir()
    with pytest.raises(DataError, match=r"train has no class folders"):
        load(tmp_path / "flat")


def test_unknown_augmentation_is_one_line(tmp_path):
    make_images(tmp_path, train={"a": 8}, val={"a": 2})
    with pytest.raises(ConfigError, match=r"recipe, auto_augment: 'magic'"):
        load(tmp_path, Recipe(batch_size=4, auto_augment="magic"))


def test_odd_batches_cannot_be_mixed():
    with pytest.raises(ConfigError, match="batch_size: 5 is odd"):
        Recipe(batch_size=5, mixup=0.2)
