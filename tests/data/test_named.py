"""Data sets by name, as timm reads them: labels without an image, their own fingerprints, errors in one line."""

from __future__ import annotations

import io
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from autoprog_search.data import images as image_sets
from autoprog_search.data.fingerprint import Fingerprint, difference
from autoprog_search.data.images import Splits, fingerprint_of, open_splits
from autoprog_search.data.loader import TransformedImages
from autoprog_search.errors import DataError
from autoprog_search.settings.data import DataConfig

HUGGING, VISION = DataConfig(name="hfds/someone/pets"), DataConfig(name="torch/cifar10", root="/tmp")
PICTURE = io.BytesIO()
Image.new("RGB", (8, 8)).save(PICTURE, "PNG")


class Table:
    """A Hugging Face data set: columns by name, rows by number."""

    def __init__(self, labels: list[Any], fingerprint: str, images: list[Any]) -> None:
        self.columns, self._fingerprint, self.column_names = {"label": labels, "image": images}, fingerprint, ["label"]

    def __len__(self) -> int:
        return len(self.columns["label"])

    def __getitem__(self, key: str) -> list[Any]:
        return self.columns[key]


class Reader:
    """timm's reader of one, as far as it is used."""

    label_key, remap_class = "label", False
    class_to_idx = {"cat": 0, "dog": 1}  # noqa: RUF012 - a table

    def __init__(self, table: Table) -> None:
        self.dataset = table

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        image = self.dataset["image"][index]
        return io.BytesIO(image["bytes"]), self.dataset["label"][index]

    def filename(self, index: int, absolute: bool) -> Any:
        return self.dataset["image"][index]["path"]


class Hugging:
    """timm's ImageDataset over a reader."""

    def __init__(self, labels: list[Any], fingerprint: str = "f", image: Any = "good") -> None:
        row = {"bytes": PICTURE.getvalue(), "path": "shelf/x.png"} if image == "good" else image
        self.reader = Reader(Table(labels, fingerprint, [row] * len(labels)))

    def __len__(self) -> int:
        return len(self.reader.dataset)


class Vision:
    """A torchvision data set."""

    def __init__(self, images: list[Any], **attributes: Any) -> None:
        self.images = images
        self.__dict__.update(attributes)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Any:
        return self.images[index]


def opened(monkeypatch: pytest.MonkeyPatch, config: DataConfig, **splits: Any) -> Splits:
    def create(name: str, root: str | None, split: str, download: bool) -> Any:
        if split not in splits:
            raise ValueError(f"Unknown split {split}")
        return splits[split]

    monkeypatch.setattr(image_sets, "create_dataset", create)
    return open_splits(config)


def of(monkeypatch: pytest.MonkeyPatch, config: DataConfig, **splits: Any) -> Fingerprint:
    opened(monkeypatch, config, **splits)
    return fingerprint_of(config, sizes=True)


def test_labels_come_from_their_column_and_no_image_is_opened(monkeypatch):
    monkeypatch.setattr(Image, "open", lambda file: pytest.fail("an image was opened"))
    splits = opened(
        monkeypatch, HUGGING, train=Hugging([0, 1, 1, 0]), validation=Hugging([1, 0]), test=Hugging([-1, -1])
    )
    assert (splits.num_classes, list(splits.class_names), splits.train[0].labels) == (2, ["cat", "dog"], [0, 1, 1, 0])
    assert len(splits.test[0]) == 2  # the validation split: the test split's labels are none


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([0, 1, 7], "shelf/x.png: label 7 is outside the classes 0 to 1"),
        ([0, None, 1], "shelf/x.png: label -1 is outside the classes 0 to 1"),
        (["cat", "dog"], "split train: its labels are no class numbers, for example 'cat'"),
        ([[0, 1], [1, 0]], "split train: its labels are no class numbers"),
        ([0.5, 1.0], "split train: its labels are no class numbers"),
    ],
)
def test_labels_that_are_no_classes_are_one_line(monkeypatch, labels, words):
    with pytest.raises(DataError) as caught:
        opened(monkeypatch, HUGGING, train=Hugging(labels), validation=Hugging([0, 1]))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_test_split_whose_labels_are_missing_is_none(monkeypatch):
    splits = opened(monkeypatch, HUGGING, train=Hugging([0, 1]), validation=Hugging([0]), test=Hugging([None, None]))
    assert len(splits.test[0]) == 1


@pytest.mark.parametrize("image", [None, {"bytes": b"", "path": "x"}, {"bytes": b"no image", "path": None}])
def test_an_image_that_is_missing_is_one_line(monkeypatch, image):
    splits = opened(monkeypatch, HUGGING, train=Hugging([0, 1], image=image), validation=Hugging([0]))
    found = TransformedImages(splits.train[0], None, 2)[0, 1, 32]
    assert re.match("data: (x|image 1) cannot be read as an image: ", str(found))


@pytest.mark.parametrize("row", [(None, 0), (Image.new("RGB", (8, 8)), None), 3])
def test_a_torchvision_row_that_is_not_whole_is_one_line(monkeypatch, row):
    train = Vision([row], targets=[0], classes=["a"])
    splits = opened(monkeypatch, VISION, train=train, validation=Vision([row], targets=[0]))
    found = TransformedImages(splits.train[0], None, 1)[0, 0, 32]
    assert str(found).startswith("data: image 0 cannot be read as an image: ")


@pytest.mark.parametrize("name", ["targets", "labels", "_labels"])
@pytest.mark.parametrize("kind", [list, np.asarray, torch.tensor])
def test_torchvisions_labels_are_found_under_any_of_its_names(monkeypatch, name, kind):
    images = [(Image.new("RGB", (8, 8)), label) for label in (0, 2, 1)]
    sets = {split: Vision(images, **{name: kind([0, 2, 1])}) for split in ("train", "validation")}
    splits = opened(monkeypatch, VISION, **sets)
    assert (splits.num_classes, splits.train[0].labels) == (3, [0, 2, 1])


def test_torchvisions_folders_are_referred_to_the_reader_here(monkeypatch):
    with pytest.raises(DataError, match="torch/image_folder: give the folder itself as --data"):
        open_splits(DataConfig(name="torch/image_folder", root="/tmp"))


def plant_link(folder: Path) -> None:
    (folder / ".download.lock").symlink_to(folder.parent / "precious.txt")


def plant_folder(folder: Path) -> None:
    (folder / ".download.lock").mkdir()


def plant_file(folder: Path) -> None:
    folder.rmdir()
    folder.write_text("a file")


@pytest.mark.parametrize(
    ("plant", "words"), [(plant_link, "symbolic link"), (plant_folder, "directory"), (plant_file, "exists")]
)
def test_a_folder_that_cannot_be_locked_is_one_line_and_nothing_is_lost(monkeypatch, tmp_path, plant, words):
    precious, folder = tmp_path / "precious.txt", tmp_path / "data"
    precious.write_text("precious")
    folder.mkdir()
    plant(folder)
    with pytest.raises(DataError) as caught:
        opened(monkeypatch, DataConfig(name="torch/cifar10", root=str(folder)))
    assert str(caught.value).startswith(f"data: {folder} cannot be written: ")
    assert words in str(caught.value)
    assert precious.read_text() == "precious"


# ── fingerprints ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_hugging_faces_own_fingerprint_counts_and_the_labels(monkeypatch):
    before = of(monkeypatch, HUGGING, train=Hugging([0, 1, 1]), validation=Hugging([0]))
    assert of(monkeypatch, HUGGING, train=Hugging([0, 1, 1]), validation=Hugging([0])) == before
    other = of(monkeypatch, HUGGING, train=Hugging([0, 1, 1], fingerprint="g"), validation=Hugging([0]))
    assert difference(before, other) == "the content of train is another"
    swapped = of(monkeypatch, HUGGING, train=Hugging([1, 0, 0]), validation=Hugging([0]))
    assert difference(before, swapped) == "names or labels of train images are others"


@pytest.mark.parametrize("kind", [np.asarray, torch.tensor])
def test_arrays_count_by_their_pixels(monkeypatch, kind):
    pixels = np.zeros((2, 4, 4), np.uint8)

    def found(pixels: np.ndarray) -> Fingerprint:
        sets = {s: Vision([0, 1], targets=[0, 1], data=kind(pixels)) for s in ("train", "validation")}
        return of(monkeypatch, VISION, **sets)

    before = found(pixels)
    assert found(pixels.copy()) == before
    pixels[1, 2, 3] = 1
    assert difference(before, found(pixels)) == "the content of train is another"


def as_samples(root: Path, files: list[str]) -> dict[str, Any]:
    return {"samples": [(str(root / file), 0) for file in files]}


def as_imgs(root: Path, files: list[str]) -> dict[str, Any]:
    return {"imgs": [(str(root / file), 0) for file in files]}


def as_index(root: Path, files: list[str]) -> dict[str, Any]:
    parts = [file.split("/") for file in files]
    categories = sorted({folder for folder, _ in parts})
    index = [(categories.index(folder), file) for folder, file in parts]
    return {"root": str(root), "all_categories": categories, "index": index}


@pytest.mark.parametrize("listed", [as_samples, as_imgs, as_index])
def test_files_count_by_their_names_from_the_folder_that_holds_them_and_by_their_sizes(monkeypatch, tmp_path, listed):
    def found(root: Path, *files: str, size: int = 3) -> Fingerprint:
        for file in files:
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            (root / file).write_bytes(b"x" * (size if file == files[-1] else 3))
        images = Vision([0] * len(files), targets=[0] * len(files), **listed(root, list(files)))
        return of(monkeypatch, VISION, train=images, validation=images)

    before = found(tmp_path / "here", "c/1.png", "d/2.png")
    assert found(tmp_path / "elsewhere", "c/1.png", "d/2.png") == before
    renamed = found(tmp_path / "here", "c/1.png", "d/3.png")
    assert difference(before, renamed) == "names or labels of train images are others"
    replaced = found(tmp_path / "here", "c/1.png", "d/2.png", size=5)
    assert difference(before, replaced) == "sizes of train images are others (8 bytes in all, 6 before)"
    assert difference(before, fingerprint_of(VISION, sizes=False)) is None
    (tmp_path / "here" / "d/2.png").unlink()
    with pytest.raises(DataError, match=r"2\.png cannot be read: no such file"):
        fingerprint_of(VISION, sizes=True)


def test_a_reader_with_several_label_columns_is_asked_row_by_row(monkeypatch):
    train = Hugging([0, 1])
    train.reader = SimpleNamespace(
        label_key="cat,dog", remap_class=False, dataset=train.reader.dataset, iter_targets=lambda: iter([1, 0]),
        class_to_idx={"cat": 0, "dog": 1},
    )  # fmt: skip
    assert opened(monkeypatch, HUGGING, train=train, validation=Hugging([0])).train[0].labels == [1, 0]
