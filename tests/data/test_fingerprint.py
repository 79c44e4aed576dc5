"""A fingerprint tells two data sets apart, and says in one line how; it is the same wherever the data lie."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from autoprog_search.data.fingerprint import (
    Fingerprint,
    SetFingerprint,
    difference,
    file_fingerprint,
    hash_of,
    table_fingerprint,
)
from autoprog_search.data.images import fingerprint_of
from autoprog_search.data.load import load_data
from autoprog_search.errors import DataError
from autoprog_search.settings.data import DataConfig
from autoprog_search.settings.recipe import Recipe, load_recipe
from autoprog_search.space import GrowthSpace
from tests.data.files import SPACE, make, make_fashion_mnist, make_shard, small, write_idx
from tests.tiny import CPU


def of(root: Path, *, sizes: bool = True, prefix: str = "") -> Fingerprint:
    return fingerprint_of(DataConfig(name=prefix + str(root)), sizes=sizes)


def remove(path: Path) -> None:
    path.unlink()


def rename(path: Path, name: str) -> None:
    path.rename(path.with_name(name))


def both(root: Path, change: Callable[[Path], object]) -> None:
    for split in ("train", "val"):
        change(root / split)


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "added": (lambda d: make(d, "train/a/new.png"), "train has 7 images, not 6"),
    "deleted": (lambda d: remove(d / "val/b/2.png"), "validation has 5 images, not 6"),
    "renamed": (lambda d: rename(d / "train/a/1.png", "9.png"), "names or labels of train images are others"),
    "moved to another class": (
        lambda d: (d / "train/a/1.png").rename(d / "train/b/9.png"),
        "names or labels of train images are others",
    ),
    "class renamed, numbers swap": (
        lambda d: both(d, lambda s: rename(s / "a", "z")),
        "the classes are now b, z, not a, b",
    ),
    "class added": (lambda d: make(d, "train/c/0.png"), "the classes are now a, b, c, not a, b"),
    "class removed": (lambda d: both(d, lambda s: shutil.rmtree(s / "b")), "the classes are now a, not a, b"),
    "split added": (lambda d: make(d, "test/a/0.png"), "there is a test split now"),
    "replaced": (lambda d: Image.new("RGB", (50, 60)).save(d / "train/b/0.png"), "sizes of train images are others ("),
}


@pytest.mark.parametrize(("change", "words"), CHANGES.values(), ids=CHANGES.keys())
def test_what_changed_in_a_folder_is_said_in_one_line(tmp_path, change, words):
    before = of(small(tmp_path))
    assert difference(before, of(tmp_path)) is None
    change(tmp_path)
    said = difference(before, of(tmp_path))
    assert said is not None
    assert said.startswith(words)
    assert "\n" not in said


def test_a_folder_that_is_moved_or_touched_or_gains_what_is_no_data_is_the_same(tmp_path):
    before = of(small(tmp_path / "here"))
    (tmp_path / "elsewhere").mkdir()
    there = (tmp_path / "here").rename(tmp_path / "elsewhere" / "there")
    os.utime(there / "train/a/0.png", (0, 0))
    make(there, "train/.cache/x.png", "val/a/notes.txt")
    assert of(there) == before


def test_sizes_are_compared_where_both_have_them(tmp_path):
    without = of(small(tmp_path), sizes=False)
    assert without.sets["train"].bytes is None
    Image.new("RGB", (90, 90)).save(tmp_path / "train/a/0.png")
    assert difference(without, of(tmp_path)) is None
    assert difference(of(tmp_path), without) is None


def test_many_classes_are_counted_not_listed(tmp_path):
    sets = {"train": SetFingerprint(30)}
    many, more = [f"n{k}" for k in range(30)], [f"n{k}" for k in range(31)]
    before = Fingerprint.of(sets, 30, many)
    assert before.class_names == ()
    assert difference(before, Fingerprint.of(sets, 31, more)) == "there are 31 classes, not 30"
    others = Fingerprint.of(sets, 30, more[1:])
    assert difference(before, others) == "the names of the 30 classes are others, or in another order"
    long = Fingerprint.of(sets, 3, ["x" * 255, "y" * 255, "z"])
    assert len(str(difference(Fingerprint.of(sets, 2, ["a", "b"]), long))) < 300


def test_it_is_plain_values_of_json_whatever_the_names(tmp_path):
    raw = os.fsencode(make(tmp_path, "train/a/0.png", "train/b/0.png", "val/a/0.png"))
    os.rename(raw + b"/train/b", raw + b"/train/\xe4\nb")
    found = of(tmp_path)
    stored = json.dumps(found.to_dict())
    assert stored.encode()
    assert Fingerprint.from_dict(json.loads(stored)) == found


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        [],
        None,
        "x",
        {"sets": 3},
        {"sets": {"train": {"odd": 1}}},
        {"sets": {"train": 5}},
        {"version": 99},
        {"classes": "two"},
        {"sets": {"train": {"images": "many"}}},
    ],
)
def test_what_is_no_fingerprint_is_a_value_error(tmp_path, wrong):
    good = of(small(tmp_path)).to_dict()
    with pytest.raises(ValueError, match="fingerprint"):
        Fingerprint.from_dict(good | wrong if isinstance(wrong, dict) and wrong else wrong)


def test_names_do_not_run_into_each_other():
    assert len({hash_of(parts) for parts in (["ab", "c"], ["a", "bc"], ["abc"], ["ab", "c", ""], [b"abc", ""])}) == 5


# ── other kinds of data ─────────────────────────────────────────────────────────────────────────────────────────────


def test_shards_differ_by_members_labels_and_places(tmp_path):
    def shards(folder: str, *labels: str) -> Fingerprint:
        (tmp_path / folder).mkdir()
        make_shard(tmp_path / folder / "x-train-0.tar", *labels)
        make_shard(tmp_path / folder / "x-val-0.tar", "0", "1")
        return of(tmp_path / folder, sizes=False, prefix="wds/")

    before = shards("one", "0", "1", "1")
    assert shards("same", "0", "1", "1") == before
    assert difference(before, shards("labels", "0", "1", "0")) == "names or labels of train images are others"
    assert difference(before, shards("fewer", "0", "1")) == "train has 2 images, not 3"
    assert difference(before, shards("class", "0", "1", "2")) == "there are 3 classes, not 2"
    (tmp_path / "one" / "x-train-0.tar").rename(tmp_path / "one" / "y-train-0.tar")
    renamed = of(tmp_path / "one", sizes=False, prefix="wds/")
    assert difference(before, renamed) == "names or labels of train images are others"


def test_idx_files_differ_by_a_single_pixel_and_are_the_same_gzipped(tmp_path):
    def files(folder: str, compressed: bool) -> Path:
        (tmp_path / folder).mkdir()
        return make_fashion_mnist(tmp_path / folder, train=50, test=20, compressed=compressed)

    def found(root: Path) -> Fingerprint:
        return fingerprint_of(DataConfig(name="fashion_mnist", root=str(root)), sizes=True)

    plain = files("plain", compressed=False)
    before = found(plain)
    assert found(files("gzipped", compressed=True)) == before
    content = bytearray((plain / "train-images-idx3-ubyte").read_bytes())
    content[-1] ^= 1
    (plain / "train-images-idx3-ubyte").write_bytes(content)
    assert difference(before, found(plain)) == "the content of train is another"
    write_idx(plain / "t10k-labels-idx1-ubyte", np.zeros(20, np.uint8), compressed=False)
    assert difference(before, found(plain)) == "the content of train is another"


@pytest.mark.usefixtures("all_digits")
@pytest.mark.parametrize(("space", "config"), [("digits", DataConfig()), ("digits", DataConfig(train_share=0.5))])
def test_opened_data_have_the_fingerprint_of_their_configuration(space, config):
    data = load_data(config, GrowthSpace.load(space), load_recipe(space), CPU)
    assert data.fingerprint(sizes=True) == fingerprint_of(DataConfig(), sizes=False)
    assert {split: found.images for split, found in data.fingerprint(sizes=True).sets.items()} == {
        "train": 1000, "val": 297, "test": 500,
    }  # fmt: skip


@pytest.mark.parametrize("workers", [0, 8])
def test_a_folders_fingerprint_knows_no_loader_processes(tmp_path, workers):
    data = load_data(DataConfig(name=str(small(tmp_path)), workers=workers), SPACE, Recipe(batch_size=2), CPU)
    assert data.fingerprint(sizes=True) == of(tmp_path)
    assert data.fingerprint(sizes=False) == of(tmp_path, sizes=False)


def test_a_configuration_needs_no_torch(tmp_path):
    small(tmp_path)
    code = (
        "import sys; from autoprog_search.data.images import fingerprint_of as f;"
        "from autoprog_search.settings.data import DataConfig as D;"
        f"f(D(name={str(tmp_path)!r}), sizes=True); f(D(), sizes=True); print('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


@pytest.mark.parametrize("config", [DataConfig(name="table:digits_small"), DataConfig(name="not/there")])
def test_what_is_not_there_is_one_line(config):
    with pytest.raises(DataError):
        fingerprint_of(config, sizes=False)


def test_files_count_by_content(tmp_path):
    (tmp_path / "a").write_bytes(b"weights" * 200_000)
    (tmp_path / "b").write_bytes(b"weights" * 200_000)
    (tmp_path / "c").write_bytes(b"weights" * 199_999 + b"Weights")
    a, b, c = (file_fingerprint(tmp_path / name) for name in "abc")
    assert a == b != c
    before = table_fingerprint({"runs": tmp_path / "a", "estimates": tmp_path / "b"})
    assert difference(before, table_fingerprint({"runs": tmp_path / "c", "estimates": tmp_path / "b"})) == (
        "the content of runs is another"
    )
    for path in (tmp_path, tmp_path / "gone", Path("a\0b")):
        with pytest.raises(DataError, match="cannot be read"):
            file_fingerprint(path)
