"""What of a folder is data, in which order: by names alone, nothing left out in silence, one line for what is wrong."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import ValidationError
from timm.utils.misc import natural_key as timms_key

from autoprog_search.data.folder import SUFFIXES, natural_key
from autoprog_search.data.images import Splits, open_splits
from autoprog_search.errors import DataError
from autoprog_search.settings.data import DataConfig
from tests.data.files import make, small


def opened(root: Path) -> Splits:
    return open_splits(DataConfig(name=str(root)))


def names_of(splits: Splits, root: Path) -> list[str]:
    return [os.path.relpath(splits.train[0].name(i), root / "train") for i in range(len(splits.train[0]))]


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "autoprog_search"]


# ── what is an image ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".TIFF", ".JpG", ".WEBP"])
def test_every_suffix_of_the_list_is_read(tmp_path, suffix, caplog):
    make(small(tmp_path), f"train/a/more{suffix}")
    images = opened(tmp_path).train[0]
    at = next(i for i in range(len(images)) if images.name(i).endswith(f"more{suffix}"))
    assert images.load(at)[0].convert("RGB").size == (8, 8)
    assert said(caplog) == []


def test_what_is_left_out_by_its_suffix_is_counted_once_a_split(tmp_path, caplog):
    make(small(tmp_path), *(f"train/a/{k}.heic" for k in range(3)), "train/b/notes.txt", "train/README", "val/b/x.avif")
    splits = opened(tmp_path)
    assert (len(splits.train[0]), len(splits.test[0])) == (6, 6)
    train, val = said(caplog)
    assert all(words in train for words in ("5 file(s) are left out", "3 .heic", "1 .txt", "1 no suffix", "README"))
    assert "1 file(s) are left out (1 .avif), for example b/x.avif" in val


@pytest.mark.parametrize(
    "name",
    [
        "train/.cache/x.png",
        "train/a/.cache/x.png",
        "train/a/.x.png",
        "train/@eaDir/x.png",
        "train/b/@eaDir/x.png",
        "val/__MACOSX/x.png",
        "val/a/__MACOSX/x.png",
        "train/lost+found/x.png",
        "val/$RECYCLE.BIN/x.png",
        "train/System Volume Information/x.png",
        ".git/x.png",
        "__MACOSX/train/a/x.png",
    ],
)
def test_hidden_and_system_names_are_no_data_anywhere(tmp_path, name, caplog):
    make(small(tmp_path), name)
    splits = opened(tmp_path)
    assert (splits.num_classes, len(splits.train[0]), len(splits.test[0])) == (2, 6, 6)
    assert said(caplog) == []


def test_folders_that_are_no_split_are_said(tmp_path, caplog):
    make(small(tmp_path), "extra/a/x.png", "README.md")
    opened(tmp_path)
    assert said(caplog) == [f"data: {tmp_path}: 1 folder(s) that are no split are left out (extra)"]


@pytest.mark.parametrize(("first", "second"), [("val", "validation"), ("train", "training"), ("val", "Val")])
def test_two_folders_of_one_split_are_refused(tmp_path, first, second):
    make(small(tmp_path), f"{second}/a/x.png")
    with pytest.raises(DataError) as caught:
        opened(tmp_path)
    assert f"{first}/" in str(caught.value)
    assert f"{second}/" in str(caught.value)


def test_a_split_that_is_no_folder_is_refused(tmp_path):
    make(tmp_path, "train/a/0.png", "train/b/0.png", "test/a/0.png")
    (tmp_path / "val").symlink_to(tmp_path / "gone")
    with pytest.raises(DataError, match=r"val is no folder"):
        opened(tmp_path)


# ── order ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("turned", [False, True])
def test_order_and_class_numbers_follow_the_names_alone(tmp_path, turned, monkeypatch):
    classes, files = ["Dog", "dog", "02", "2", "a10", "a9"], ["7.png", "07.png", "Y.png", "y.png", "img10.png"]
    make(tmp_path, *(f"{split}/{c}/{f}" for split in ("train", "val") for c in classes for f in files))
    if turned:  # a file system that lists in another order
        scandir = os.scandir

        class Turned:
            def __init__(self, folder: str) -> None:
                with scandir(folder) as entries:
                    self.entries = sorted(entries, key=lambda entry: entry.name, reverse=True)

            def __enter__(self) -> list[os.DirEntry[str]]:
                return self.entries

            def __exit__(self, *_: object) -> None: ...

        monkeypatch.setattr(os, "scandir", Turned)
    splits = opened(tmp_path)
    names = names_of(splits, tmp_path)
    assert names[:5] == ["02/07.png", "02/7.png", "2/07.png", "2/7.png", "02/img10.png"]
    assert list(splits.class_names) == ["02", "2", "a9", "a10", "Dog", "dog"]
    labels = splits.train[0].labels
    assert labels == [list(splits.class_names).index(name.partition("/")[0]) for name in names]


def test_ordinary_names_are_ordered_as_timm_orders_them():
    names = [
        "n01/b_10.JPEG",
        "n01/b_9.JPEG",
        "n2/A.png",
        "class 10/x.png",
        "class 9/x.png",
        "Zebra/1a2.png",
        "n01/c.png",
    ]
    assert sorted(names, key=natural_key) == sorted(names, key=timms_key)


@pytest.mark.parametrize("name", ["²", "x³", "①", "٣", "½", "ａ１"])
def test_digits_of_other_scripts_are_letters(tmp_path, name):
    make(small(tmp_path), f"train/{name}/0.png")
    assert name in opened(tmp_path).class_names


def test_names_that_are_not_utf8_are_classes_and_files_and_are_shown_escaped(tmp_path):
    raw = os.fsencode(small(tmp_path))
    for split in (b"train", b"val"):
        os.rename(raw + b"/" + split + b"/b", raw + b"/" + split + b"/\xfcber")
    os.rename(raw + b"/train/a/0.png", raw + b"/train/a/\xff\n.png")
    splits = opened(tmp_path)
    assert splits.num_classes == 2
    assert [splits.train[0].load(i)[1] for i in range(6)] == [0, 0, 0, 1, 1, 1]
    os.mkdir(raw + b"/val/\xe9t\xe9")
    with pytest.raises(DataError, match=r"val/\\udce9t\\udce9 is a class without training images"):
        opened(tmp_path)


# ── what is wrong ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_links_are_followed_and_dangling_ones_named(tmp_path):
    make(small(tmp_path / "d"), "../elsewhere/c/0.png", "val/c/0.png")
    (tmp_path / "d/train/c").symlink_to(tmp_path / "elsewhere/c")
    (tmp_path / "d/train/a/link.png").symlink_to(tmp_path / "elsewhere/c/0.png")
    splits = opened(tmp_path / "d")
    assert (splits.num_classes, len(splits.train[0])) == (3, 8)
    (tmp_path / "d/val/b/gone.png").symlink_to(tmp_path / "nothing.png")
    with pytest.raises(DataError, match=r"val/b/gone\.png is a link to nothing"):
        opened(tmp_path / "d")


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("make_it", "words"),
    [
        (os.mkfifo, "x.png is no regular file"),
        (os.mkdir, "x.png is a folder inside a class folder"),
        (lambda path: os.symlink(path, path), "x.png cannot be read: too many levels of symbolic links"),
    ],
    ids=["FIFO", "folder", "circle"],
)
@pytest.mark.parametrize("split", ["train", "val"])
def test_what_only_has_an_images_name_is_refused(tmp_path, make_it, words, split):
    make_it(small(tmp_path) / split / "b" / "x.png")
    with pytest.raises(DataError) as caught:
        opened(tmp_path)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("~nosuchuser/data", "home directory"),
        ("x" * 300, "file name too long"),
        ("/etc/hostname/data", "not a directory"),
        ("", "the name is empty"),
    ],
)
@pytest.mark.parametrize("prefix", ["", "wds/"])
def test_a_path_that_cannot_be_is_one_line(name, words, prefix):
    with pytest.raises(DataError) as caught:
        open_splits(DataConfig(name=prefix + name))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "\0" not in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_folder_that_may_not_be_read_is_one_line(tmp_path):
    (small(tmp_path) / "train" / "a").chmod(0)
    with pytest.raises(DataError, match=r"train/a cannot be read: permission denied"):
        opened(tmp_path)


@pytest.mark.parametrize("field", ["name", "root"])
@pytest.mark.parametrize("path", ["bil\udce4der", "bil\0der"])
def test_a_path_that_is_no_text_is_refused_where_it_is_configured(field, path):
    with pytest.raises(ValidationError, match=rf"{field}\n.*character 4 is .*, no text"):
        DataConfig(**{field: path})
