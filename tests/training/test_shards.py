"""WebDataset shards: random access to what the tar files hold; what is wrong with them is one line."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from autoprog_search.errors import DataError
from autoprog_search.training.data import load_data
from autoprog_search.training.recipe import DataConfig, Recipe
from autoprog_search.training.shards import open_shards
from tests.tiny import CPU
from tests.training.test_loader_data import SPACE, at


def make_shard(path: Path, *labels: str | None) -> Path:
    """A shard of one-colour images, brightness 20 x label; a label of None is left out."""
    with tarfile.open(path, "w") as tar:
        for number, label in enumerate(labels):
            pixels = np.full((20, 20, 3), 20 * int(label) if label and label.isdigit() else 0, np.uint8)
            picture = io.BytesIO()
            Image.fromarray(pixels).save(picture, "PNG")
            files = {"png": picture.getvalue()} | ({"cls": label.encode()} if label is not None else {})
            for suffix, content in files.items():
                item = tarfile.TarInfo(f"{number:05}.{suffix}")
                item.size = len(content)
                tar.addfile(item, io.BytesIO(content))
    return path


def test_images_are_read_by_index_and_the_classes_are_the_labels(tmp_path):
    make_shard(tmp_path / "set-train-0.tar", "0", "1", "2", "1")
    make_shard(tmp_path / "set-train-1.tar", "2", "0", "4", "3")
    make_shard(tmp_path / "set-validation-0.tar", "4", "0")
    shards = open_shards(tmp_path, ("train",))
    assert shards is not None
    assert shards.labels == [0, 1, 2, 1, 2, 0, 4, 3]
    for index in (6, 0, 3):
        image, label = shards.load(index)
        assert image.getpixel((0, 0)) == (20 * label,) * 3
    data = load_data(DataConfig(name="wds/", root=str(tmp_path), workers=0), SPACE, Recipe(batch_size=2), CPU)
    assert (data.train_size, data.num_classes) == (7, 5)
    first = [labels.tolist() for _, labels in data.train_batches(0, 0, 3, 2, at(16))]
    assert first == [labels.tolist() for _, labels in data.train_batches(0, 0, 3, 2, at(16))]


def test_timms_info_file_says_which_shards_belong_to_a_split(tmp_path):
    make_shard(tmp_path / "a.tar", "0", "1")
    make_shard(tmp_path / "b.tar", "1")
    splits = {"train": {"filenames": ["a.tar"]}, "validation": {"filenames": ["b.tar"]}}
    (tmp_path / "_info.json").write_text(json.dumps({"splits": splits}))
    assert len(open_shards(tmp_path, ("train",)) or ()) == 2
    assert len(open_shards(tmp_path, ("val", "validation")) or ()) == 1
    assert open_shards(tmp_path, ("test",)) is None


def test_a_split_is_a_word_of_the_name(tmp_path):
    make_shard(tmp_path / "latest-train-0.tar", "0", "1")
    make_shard(tmp_path / "latest_VAL.tar", "1")
    assert open_shards(tmp_path, ("test",)) is None
    assert len(open_shards(tmp_path, ("val", "validation")) or ()) == 1


@pytest.mark.parametrize(
    ("labels", "words"), [(["0", None], "00001: no .cls file"), (["0", "cat"], "00001.cls: 'cat' is no label")]
)
def test_an_image_without_a_label_is_one_line(tmp_path, labels, words):
    make_shard(tmp_path / "x-train.tar", *labels)
    with pytest.raises(DataError) as caught:
        open_shards(tmp_path, ("train",))
    assert words in str(caught.value)


def test_what_is_no_shard_is_one_line(tmp_path):
    (tmp_path / "x-train.tar").write_bytes(b"nothing of the kind" * 100)
    with pytest.raises(DataError, match=r"x-train\.tar cannot be read as a \.tar file"):
        open_shards(tmp_path, ("train",))
    with pytest.raises(DataError, match=r"needs a folder of \.tar files"):
        open_shards(tmp_path / "missing", ("train",))
