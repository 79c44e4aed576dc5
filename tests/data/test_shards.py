"""WebDataset shards: random access to what the tar files hold; what is wrong with them is one line."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import tarfile
import tempfile
from pathlib import Path

import pytest
from PIL import Image

from autoprog_search.data.images import open_splits
from autoprog_search.data.load import load_data
from autoprog_search.data.shards import open_shards
from autoprog_search.errors import DataError
from autoprog_search.settings.data import DataConfig
from autoprog_search.settings.recipe import Recipe
from tests.data.files import SPACE, at, make_shard
from tests.tiny import CPU


def test_images_are_read_by_index_and_the_classes_are_the_labels(tmp_path):
    make_shard(tmp_path / "set-train-0.tar", "0", "1", "2", "1")
    make_shard(tmp_path / "set-train-1.tar", "2", "0", "4", "3")
    make_shard(tmp_path / "set-validation-0.tar", "4", "0")
    shards = open_shards(tmp_path)["train"]
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
    assert len(open_shards(tmp_path)["train"] or ()) == 2
    assert len(open_shards(tmp_path)["validation"] or ()) == 1
    assert open_shards(tmp_path)["test"] is None


def test_a_split_is_a_word_of_the_name(tmp_path):
    make_shard(tmp_path / "latest-train-0.tar", "0", "1")
    make_shard(tmp_path / "latest_VAL.tar", "1")
    assert open_shards(tmp_path)["test"] is None
    assert len(open_shards(tmp_path)["validation"] or ()) == 1


@pytest.mark.parametrize(
    ("labels", "words"), [(["0", None], "00001: no .cls file"), (["0", "cat"], "00001.cls: 'cat' is no label")]
)
def test_an_image_without_a_label_is_one_line(tmp_path, labels, words):
    make_shard(tmp_path / "x-train.tar", *labels)
    with pytest.raises(DataError) as caught:
        open_shards(tmp_path)
    assert words in str(caught.value)


def test_what_is_no_shard_is_one_line(tmp_path):
    (tmp_path / "x-train.tar").write_bytes(b"nothing of the kind" * 100)
    with pytest.raises(DataError, match=r"x-train\.tar cannot be read as a \.tar file"):
        open_shards(tmp_path)
    with pytest.raises(DataError, match=r"needs a folder of \.tar files"):
        open_shards(tmp_path / "missing")


# ── keys ────────────────────────────────────────────────────────────────────────────────────────────────────────────

PNG = io.BytesIO()
Image.new("RGB", (4, 4)).save(PNG, "PNG")
# WebDataset's own words for a member's name (base_plus_ext): all folders and then no dots, a dot, no slashes.
KEY_AND_SUFFIX = re.compile(r"^((?:.*/|)[^.]+)[.]([^/]*)$")


def pack(path: Path, *names: str | tarfile.TarInfo, ended: bool = True) -> Path:
    """A shard of members with these names; a .cls holds 1, everything else a PNG."""
    with tarfile.open(path, "w") as tar:
        for name in names:
            item = tarfile.TarInfo(name) if isinstance(name, str) else name
            content = b"1" if item.name.lower().endswith(".cls") else PNG.getvalue()
            item.size = 0 if not item.isreg() else len(content)
            tar.addfile(item, io.BytesIO(content) if item.isreg() else None)
        end = tar.offset
    if not ended:
        path.write_bytes(path.read_bytes()[:end])
    return path


def said(caplog: pytest.LogCaptureFixture) -> str:
    return "\n".join(record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("name", ["a.png", "x/a.PNG", "./a.png", "v1.0/a.Jpg", "x/y.z/a.webp", "a b.tiff", "ä.gif"])
def test_keys_and_suffixes_are_webdatasets(tmp_path, name):
    stem = name.rpartition(".")[0]
    found = open_shards(pack(tmp_path / "x-train.tar", name, f"{stem}.cls").parent)["train"]
    assert found is not None
    (member,) = found.members
    match = KEY_AND_SUFFIX.match(name)
    assert match is not None
    assert (member.key, member.suffix) == (match[1], match[2].lower())


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["img.1.jpg", "img.cls"], "img.1.jpg: the key is the name up to the first dot"),
        (["a.PNG", "a.png", "a.cls"], "a: two files .png under this key"),
        (["a.png", "a.cls", "b.png", "b.cls", "a.png", "a.cls"], "a: this key stands in two places"),
        (["a.png", "b.png", "a.cls", "b.cls"], "a: this key stands in two places"),
        (["a.v2.png", "a.png", "a.v2.png", "a.cls"], "a: two files .v2.png under this key"),
    ],
)
def test_samples_that_are_not_clear_are_refused_by_name(tmp_path, names, words):
    pack(tmp_path / "x-train.tar", *names)
    with pytest.raises(DataError) as caught:
        open_shards(tmp_path)
    assert words in str(caught.value)
    assert "x-train.tar" in str(caught.value)


def test_the_same_key_in_two_folders_or_two_shards_is_two_samples(tmp_path):
    pack(tmp_path / "0-train.tar", "x/a.png", "x/a.cls", "y/a.png", "y/a.cls")
    pack(tmp_path / "1-train.tar", "x/a.png", "x/a.cls")
    assert len(open_shards(tmp_path)["train"] or ()) == 3


def test_hidden_members_are_no_data_and_come_between_nothing(tmp_path, caplog):
    names = ["._a.png", "a.png", "._a.cls", "a.cls", "x/._b.png", "x/b.png", "x/.DS_Store", "x/b.cls"]
    assert len(open_shards(pack(tmp_path / "x-train.tar", *names).parent)["train"] or ()) == 2
    assert said(caplog) == ""


def test_what_belongs_to_no_image_is_counted_and_said(tmp_path, caplog):
    pack(
        tmp_path / "x-train.tar",
        "a.png",
        "a.cls",
        "b.heic",
        "b.cls",
        "README",
        "c.json",
        "d.jpg",
        "d.mask.png",
        "d.cls",
    )
    found = open_shards(tmp_path)["train"]
    assert found is not None
    assert [member.key for member in found.members] == ["a", "d"]
    for words in ("5 file(s)", "1 .heic", "1 .cls", "1 no suffix", "1 .json", "1 .mask.png"):
        assert words in said(caplog)


@pytest.mark.parametrize("kind", [tarfile.LNKTYPE, tarfile.SYMTYPE])
@pytest.mark.parametrize("linked", ["b.png", "b.cls"])
def test_links_in_place_of_files_are_refused(tmp_path, kind, linked):
    link = tarfile.TarInfo(linked)
    link.type, link.linkname = kind, "a" + linked[1:]
    names: list[str | tarfile.TarInfo] = ["a.png", "a.cls", link, "b.cls" if linked == "b.png" else "b.png"]
    pack(tmp_path / "x-train.tar", *names)
    with pytest.raises(DataError, match=rf"x-train\.tar, b\.{linked[2:]} is a link"):
        open_shards(tmp_path)


@pytest.mark.parametrize("label", ["9" * 5000, "1000000", "-1", "1.0", "٣", "", "1 2", "\x001"])
def test_labels_are_whole_numbers_that_a_model_can_have(tmp_path, label):
    make_shard(tmp_path / "x-train.tar", label)
    with pytest.raises(DataError, match=r"x-train\.tar, 00000\.cls: .*label") as caught:
        open_shards(tmp_path)
    assert len(str(caught.value)) < 300


def test_a_label_that_training_has_not_is_named_at_once(tmp_path):
    make_shard(tmp_path / "x-train.tar", "0", "1")
    make_shard(tmp_path / "x-val.tar", "0", "7", "8")
    with pytest.raises(DataError, match=r"x-val\.tar, 00001: label 7 is outside the classes 0 to 1, as are 1 more"):
        open_splits(DataConfig(name="wds/", root=str(tmp_path)))


# ── shards that are cut off or damaged ──────────────────────────────────────────────────────────────────────────────


def cuts(content: bytes) -> dict[str, tuple[bytes, str]]:
    end = len(content.rstrip(b"\0")) // 512 * 512 + 512  # the last member's, a .cls of one byte
    damaged = bytearray(content)
    damaged[1024:1124] = b"\xff" * 100  # the second header's name
    return {
        "at a member's border": (content[:end], "cut off: it has no end mark"),
        "at the border of the first member": (content[:1024], "cut off: it has no end mark"),
        "inside a member": (content[: end - 300], "cannot be read as a .tar file"),
        "inside a header": (content[: end - 900], "train.tar"),
        "in the middle of the end mark": (content[: end + 100], "cut off: it has no end mark"),
        "a damaged header": (bytes(damaged), "is damaged: what stands at byte 1024 is no header"),
        "two archives": (content + content, "goes on after its end mark"),
        "a line after the end": (content + b"done\n", "goes on after its end mark"),
        "zero bytes": (b"", "cannot be read as a .tar file"),
        "gzipped": (gzip.compress(content), "cannot be read as a .tar file"),
    }


WHOLE = pack(Path(tempfile.mkdtemp()) / "x.tar", "a.png", "a.cls", "b.png", "b.cls").read_bytes()


@pytest.mark.parametrize(("content", "words"), cuts(WHOLE).values(), ids=cuts(WHOLE).keys())
def test_a_shard_that_is_not_whole_is_refused_by_name(tmp_path, content, words):
    (tmp_path / "x-train.tar").write_bytes(content)
    with pytest.raises(DataError) as caught:
        open_shards(tmp_path)
    assert words in str(caught.value)
    assert "x-train.tar" in str(caught.value)


def test_a_whole_shard_with_long_names_links_and_folders_ends_well(tmp_path):
    folder = tarfile.TarInfo("x")
    folder.type = tarfile.DIRTYPE
    stem = "x/" + "ü" * 120
    assert (
        len(open_shards(pack(tmp_path / "x-train.tar", folder, f"{stem}.png", f"{stem}.cls").parent)["train"] or ())
        == 1
    )
    pack(tmp_path / "y-train.tar")  # no members at all
    assert len(open_shards(tmp_path)["train"] or ()) == 1


@pytest.mark.timeout(20)
def test_a_size_below_zero_does_not_send_it_round_in_circles(tmp_path):
    header = bytearray(WHOLE[:512])
    header[124:136] = (-1024).to_bytes(12, "big", signed=True)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    (tmp_path / "x-train.tar").write_bytes(bytes(header) + WHOLE[512:])
    with pytest.raises(DataError, match=r"x-train\.tar"):
        open_shards(tmp_path)


@pytest.mark.timeout(20)
def test_a_fifo_is_no_shard(tmp_path):
    os.mkfifo(tmp_path / "x-train.tar")
    with pytest.raises(DataError, match=r"x-train\.tar cannot be read as a \.tar file: it is no regular file"):
        open_shards(tmp_path)


# ── which split ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_shards_of_no_split_and_compressed_ones_are_said_and_hidden_ones_are_not(tmp_path, caplog):
    for name in ("x-train-0.tar", "x-VAL-0.TAR", "x-extra-0.tar", "constrained.tar"):
        make_shard(tmp_path / name, "0", "0")
    for name in ("._x-train-0.tar", "x-train-1.tar.gz", "x-val.tgz"):
        (tmp_path / name).write_bytes(b"x")
    splits = open_splits(DataConfig(name="wds/", root=str(tmp_path)))
    assert (len(splits.train[0]), len(splits.test[0])) == (2, 2)
    by_name, compressed = said(caplog).splitlines()
    assert "2 shard(s) are left out, for example constrained.tar: no split's name" in by_name
    assert "2 shard(s) are left out, for example x-train-1.tar.gz: they are compressed" in compressed


def test_a_shard_of_two_splits_is_refused(tmp_path):
    make_shard(tmp_path / "train-and-test-0.tar", "0")
    with pytest.raises(DataError, match=r"train-and-test-0\.tar has the names of train and test"):
        open_shards(tmp_path)


@pytest.mark.parametrize(
    ("splits", "words"),
    [
        ({"train": {"filenames": ["a.tar", "a.tar"]}}, "lists a.tar twice"),
        ({"train": {"filenames": ["a.tar", "./a.tar"]}}, "twice (train and train)"),
        ({"train": {"filenames": ["a.tar"]}, "test": {"filenames": ["link.tar"]}}, "twice (train and test)"),
        ({"train": {"filenames": ["../a.tar"]}}, "leads out of the folder"),
        ({"train": {"filenames": ["/etc/passwd"]}}, "leads out of the folder"),
        ({"train": {"filenames": ["gone.tar"]}}, "'gone.tar', and there is no such file"),
        ({"train": {"filenames": ["a\0.tar"]}}, "there is no such file"),
        ({"train": {"filenames": "a.tar"}}, "lists no splits with filenames"),
        ({"train": {"filenames": [3]}}, "lists no splits with filenames"),
        ({"train": ["a.tar"]}, "lists no splits with filenames"),
        (["a.tar"], "lists no splits with filenames"),
        (
            {"val": {"filenames": []}, "validation": {"filenames": []}},
            "val and validation, both of the validation split",
        ),
    ],
)
def test_an_info_file_that_cannot_be_followed_is_refused(tmp_path, splits, words):
    make_shard(tmp_path / "a.tar", "0")
    (tmp_path / "link.tar").symlink_to(tmp_path / "a.tar")
    (tmp_path / "_info.json").write_text(json.dumps({"splits": splits}))
    with pytest.raises(DataError) as caught:
        open_shards(tmp_path)
    assert words in str(caught.value)


@pytest.mark.parametrize("text", [b"", b"\xff\xfe", b"[" * 100_000, b"null", b'{"splits": null}'])
def test_an_info_file_that_is_no_json_is_refused(tmp_path, text):
    (tmp_path / "_info.json").write_bytes(text)
    with pytest.raises(DataError, match=r"_info\.json lists no splits"):
        open_shards(tmp_path)


def test_shards_that_the_info_file_leaves_out_are_said(tmp_path, caplog):
    make_shard(tmp_path / "a.tar", "0")
    make_shard(tmp_path / "b-train.tar", "0")
    (tmp_path / "_info.json").write_text(json.dumps({"splits": {"train": {"filenames": ["a.tar"]}}}))
    assert len(open_shards(tmp_path)["train"] or ()) == 1
    assert "1 shard(s) are left out, for example b-train.tar: _info.json lists them in no split" in said(caplog)
