"""The cache of shrunk training images: the same images, labels, splits; whole or gone on with; never of other data."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from autoprog_search.data import images as image_sets
from autoprog_search.data import shrunk as cache
from autoprog_search.data.images import Splits, fingerprint_of, open_splits
from autoprog_search.data.load import load_data
from autoprog_search.data.loader import LoaderData
from autoprog_search.data.shrunk import shrunk, shrunk_to
from autoprog_search.errors import AutoProgError, ConfigError, DataError
from autoprog_search.fields import read_fields
from autoprog_search.interrupt import Interrupted, locked
from autoprog_search.settings.data import DataConfig
from autoprog_search.settings.growth import GrowthSettings
from autoprog_search.training.spec import RunSpec
from tests.data.files import RECIPE, SPACE, at, make_shard
from tests.forked import Forked
from tests.tiny import CPU, FEW, environment, run_interrupted, same_bits, tiny_config, tiny_trainer

SIDE = 20
SIZES = ((60, 40), (40, 90), (10, 12), (20, 20), (200, 200))


@pytest.fixture(autouse=True)
def few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "AT_ONCE", 4)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Smooth images of many sizes, some smaller than the cache's; 20 of them train once a tenth validates."""
    for split, count in (("train", 11), ("test", 2)):
        for number, name in enumerate("ab"):
            folder = tmp_path / "data" / split / name
            folder.mkdir(parents=True)
            for k in range(count):
                width, height = SIZES[k % len(SIZES)]
                x, y = np.meshgrid(np.linspace(0, 200, width), np.linspace(0, 250, height))
                Image.fromarray(np.stack([x, y, 0 * x + 100 * number + k], axis=2).astype(np.uint8)).save(
                    folder / f"{k}.{'png' if k % 2 else 'jpg'}"
                )
    return tmp_path / "data"


def config_of(root: Path, **fields) -> DataConfig:
    return DataConfig(**{"name": str(root), "workers": 0, "cache": "shrunk"} | fields)


def opened(config: DataConfig, side: int = SIDE, should_stop: Callable[[], bool] = lambda: False) -> Splits:
    return shrunk(open_splits(config), config, side, 3, should_stop)


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.sqlite"))


def rows(file: Path) -> list[tuple[int, int, bytes]]:
    with closing(sqlite3.connect(file)) as database:
        return database.execute("SELECT * FROM images ORDER BY place").fetchall()


def said(caplog: pytest.LogCaptureFixture) -> str:
    return "\n".join(record.getMessage() for record in caplog.records)


# ── what is in it ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("fields", [{}, {"val_share": 0.3}, {"train_share": 0.5}, {"workers": 2}])
def test_images_labels_and_splits_are_those_without_a_cache(root, fields):
    plain, cached = open_splits(config_of(root, **fields)), opened(config_of(root, **fields))
    (images, chosen), (small, places) = plain.train, cached.train
    assert len(small) == len(places) == len(chosen)
    for index, place in zip(chosen, places, strict=True):
        (original, label), (stored, stored_label) = images.load(index), small.load(place)
        assert label == stored_label == small.labels[place]
        assert small.name(place).endswith(images.name(index))
        assert stored.format == "JPEG"
        expected = shrunk_to(original.convert("RGB"), SIDE)
        assert stored.size == expected.size
        difference = np.asarray(stored, dtype=float) - np.asarray(expected, dtype=float)
        assert np.abs(difference).mean() < 4  # JPEG's, of its colours at half resolution
    assert cached.val == plain.val
    assert cached.test == plain.test
    assert cached.fingerprint(sizes=True) == plain.fingerprint(sizes=True)


def test_the_shorter_side_is_what_was_asked_for_and_nothing_is_enlarged(root):
    small = opened(config_of(root)).train[0]
    sizes = {small.load(place)[0].size for place in range(len(small))}
    assert sizes == {(30, 20), (20, 45), (10, 12), (20, 20)}


def test_batches_are_a_pure_function_of_seed_and_step(root):
    """Also in loader processes, which read the cache by connections of their own."""
    whole = list(load(config_of(root)).train_batches(3, 0, 6, 4, at(16)))
    part = list(load(config_of(root, workers=2)).train_batches(3, 3, 6, 4, at(16)))
    assert all(torch.equal(a, b) for x, y in zip(whole[3:], part, strict=True) for a, b in zip(x, y, strict=True))
    plain = list(load(config_of(root, cache="none")).train_batches(3, 0, 6, 4, at(16)))
    assert all(torch.equal(x[1], y[1]) for x, y in zip(whole, plain, strict=True))
    assert not torch.equal(whole[0][0], plain[0][0])


def load(config: DataConfig, resolution: int = 16) -> LoaderData:
    data = load_data(config, SPACE.model_copy(update={"resolution": resolution}), RECIPE, CPU)
    assert isinstance(data, LoaderData)
    return data


def test_images_are_shrunk_to_a_quarter_more_than_the_largest_stage_trains_at(root):
    load(config_of(root))
    load(config_of(root), resolution=32)
    assert [file.name.split("-")[1] for file in files(root / ".autoprog-cache")] == ["20px", "40px"]


def test_validation_and_test_images_are_read_as_they_were(root):
    for split in ("val", "test"):
        ours, plain = (
            list(load(config_of(root, cache=kind)).eval_batches(split, 4, 16)) for kind in ("shrunk", "none")
        )
        assert all(torch.equal(a[0], b[0]) for a, b in zip(ours, plain, strict=True))


def test_a_cache_in_the_datas_folder_is_no_data(root):
    before = fingerprint_of(config_of(root), sizes=True)
    opened(config_of(root))
    assert fingerprint_of(config_of(root), sizes=True) == before


def test_a_grey_models_images_are_grey(root):
    config = config_of(root)
    grey = shrunk(open_splits(config), config, SIDE, 1)
    assert grey.train[0].load(0)[0].mode == "L"
    assert opened(config).train[0].load(0)[0].mode == "RGB"


def test_shards_are_cached_in_their_folder(tmp_path):
    make_shard(tmp_path / "x-train.tar", *"0123" * 4)
    make_shard(tmp_path / "x-val.tar", *"0123")
    for name, root in ((f"wds/{tmp_path}", ""), ("wds/", str(tmp_path))):
        config = DataConfig(name=name, root=root, workers=0, cache="shrunk")
        small = opened(config, side=10).train[0]
        assert [small.load(place)[1] for place in range(len(small))] == small.labels
        assert small.load(0)[0].size == (10, 10)
    assert len(files(tmp_path / ".autoprog-cache")) == 1


def test_a_named_set_without_a_folder_is_cached_where_one_says(monkeypatch, tmp_path):
    class Fake:
        classes, labels = ("cat", "dog"), [0, 1] * 10

        def __len__(self) -> int:
            return 20

        def __getitem__(self, index: int) -> tuple[Image.Image, int]:
            return Image.new("RGB", (40, 40), (index, 0, 0)), self.labels[index]

    monkeypatch.setattr(image_sets, "create_dataset", lambda *_, **__: Fake())
    with pytest.raises(DataError, match=r"data, cache_dir: hfds/me/pets has no folder .*; name one"):
        opened(config_of(tmp_path, name="hfds/me/pets"))
    small = opened(config_of(tmp_path, name="hfds/me/pets", cache_dir=str(tmp_path / "there"))).train[0]
    assert small.load(3)[0].size == (20, 20)
    assert len(files(tmp_path / "there")) == 1


# ── runs on it ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_run_on_it_is_another_run_wherever_it_lies():
    def identity(**fields) -> str:
        return RunSpec(SPACE, RECIPE, GrowthSettings(), (1,), 0, data=DataConfig(name="x", **fields)).identity()

    assert identity(cache="shrunk") != identity()
    assert identity(cache="shrunk", cache_dir="there", workers=7) == identity(cache="shrunk")


@pytest.mark.slow
def test_a_run_that_is_stopped_and_goes_on_ends_with_the_same_bits(root, tmp_path):
    """Erased images and a search on cached ones included."""
    plain, cached = (
        tiny_config(
            *FEW,
            f"data={{name: {root}, cache: {kind}, workers: 0}}",
            "recipe.batch_size=2",
            "recipe.random_erasing=0.5",
        )
        for kind in ("none", "shrunk")
    )
    whole = tiny_trainer(cached).train()
    resumed = run_interrupted(cached, tmp_path / "checkpoint.pt", stops=[3, 25])
    assert same_bits(resumed.weights, whole.weights)
    assert not same_bits(tiny_trainer(plain).train().weights, whole.weights)


# ── when it is made, and when made anew ─────────────────────────────────────────────────────────────────────────────


def test_it_is_made_once(root, caplog):
    opened(config_of(root))
    (file,) = files(root / ".autoprog-cache")
    made = file.stat()
    caplog.clear()
    opened(config_of(root))
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (made.st_ino, made.st_mtime_ns)
    assert said(caplog) == ""
    assert not list(file.parent.glob("*.part*"))


@pytest.mark.parametrize("change", ["a file's size", "a name", "a share", "a side"])
def test_other_data_another_split_or_side_have_another_cache(root, change):
    opened(config_of(root))
    config, side = config_of(root, val_share=0.2 if change == "a share" else 0.1), 21 if change == "a side" else SIDE
    if change == "a file's size":
        Image.new("RGB", (50, 50)).save(root / "train/a/0.jpg")
    elif change == "a name":
        (root / "train/a/0.jpg").rename(root / "train/a/00.jpg")
    opened(config, side)
    assert len(files(root / ".autoprog-cache")) == 2


def test_data_that_were_moved_keep_theirs(root):
    opened(config_of(root))
    moved = root.rename(root.with_name("elsewhere"))
    opened(config_of(moved))
    assert len(files(moved / ".autoprog-cache")) == 1


def shrink_and_be_killed(root: Path) -> None:
    asked = []

    def asked_again() -> bool:  # for the lock, then before every transaction: two are written, and the third is loaded
        asked.append(0)
        if len(asked) == 4:
            os.kill(os.getpid(), signal.SIGKILL)
        return False

    opened(config_of(root), should_stop=asked_again)


def test_a_killed_one_is_gone_on_with_and_is_as_if_nobody_had(root, tmp_path, caplog):
    killed = Forked(partial(shrink_and_be_killed, root), env=environment())
    _, errors = killed.communicate(60)
    assert killed.returncode == -signal.SIGKILL, errors
    folder = root / ".autoprog-cache"
    assert not files(folder)
    (part,) = folder.glob("*.part")
    assert len(rows(part)) == 8
    opened(config_of(root))
    assert "12 training images are shrunk to 20 px" in said(caplog)
    (file,) = files(folder)
    opened(config_of(root, cache_dir=str(tmp_path / "undisturbed")))
    assert rows(file) == rows(files(tmp_path / "undisturbed")[0])
    assert len(rows(file)) == 20


def stopped(root: Path, after: int) -> Path:
    """A cache that is not whole, of so many transactions."""
    asked = iter([False] * (1 + after) + [True])
    with pytest.raises(Interrupted):
        opened(config_of(root), should_stop=lambda: next(asked))
    (part,) = (root / ".autoprog-cache").glob("*.part")
    return part


def test_who_is_asked_to_stop_stops_and_goes_on_later(root, caplog):
    assert len(rows(stopped(root, after=3))) == 12
    assert len(opened(config_of(root)).train[0]) == 20
    assert "8 training images are shrunk to 20 px" in said(caplog)


def test_a_second_process_waits_for_the_first_and_uses_what_it_made(root, caplog, monkeypatch):
    opened(config_of(root))
    (file,) = files(root / ".autoprog-cache")
    whole = file.rename(file.with_suffix(".elsewhere"))
    waits = threading.Event()
    monkeypatch.setattr(cache, "_say", lambda what: waits.set() if "this waits" in what else pytest.fail(what))
    found: list[Splits] = []
    with locked(file.with_suffix(".lock")):
        second = threading.Thread(target=lambda: found.append(opened(config_of(root))))
        second.start()
        assert waits.wait(10)
        whole.rename(file)
    second.join()
    assert found[0].train[0].load(0)[1] == rows(file)[0][1]


def test_who_waits_can_be_asked_to_stop(root):
    opened(config_of(root))
    (file,) = files(root / ".autoprog-cache")
    file.unlink()
    asked = iter((False, False, True))
    with locked(file.with_suffix(".lock")), pytest.raises(Interrupted):
        opened(config_of(root), should_stop=lambda: next(asked))


def damaged(file: Path) -> None:
    file.write_bytes(b"no database at all" * 1000)


def cut_short(file: Path) -> None:
    with file.open("r+b") as content:
        content.truncate(4096)


def incomplete(file: Path) -> None:
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("DELETE FROM images WHERE place > 10")


@pytest.mark.parametrize("harm", [damaged, cut_short, incomplete])
def test_a_damaged_one_is_made_anew(root, caplog, harm):
    opened(config_of(root))
    (file,) = files(root / ".autoprog-cache")
    content = rows(file)
    harm(file)
    small = opened(config_of(root)).train[0]
    assert f"{file} is damaged, and made anew" in said(caplog)
    assert rows(file) == content
    assert small.load(19)[1] == content[19][1]


def test_a_damaged_part_is_made_anew(root, caplog):
    damaged(stopped(root, after=2))
    assert len(opened(config_of(root)).train[0]) == 20
    assert "is damaged, and made anew" in said(caplog)


def test_what_is_damaged_while_it_is_used_is_one_line_that_names_the_file(root):
    data = load(config_of(root))
    (file,) = files(root / ".autoprog-cache")
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("DELETE FROM images WHERE place = 7")
    with pytest.raises(DataError) as caught:
        list(data.train_batches(3, 0, 5, 4, at(16)))
    assert f"data: {file}, " in str(caught.value)
    assert "remove that file, and it is made anew" in str(caught.value)
    assert "\n" not in str(caught.value)


# ── what is wrong ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("workers", [0, 1])
def test_a_broken_image_is_one_line_with_its_name(root, workers):
    (root / "train/a/3.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"train/a/3\.png cannot be read as an image"):
        opened(config_of(root, workers=workers))
    assert not files(root / ".autoprog-cache")


def test_a_full_disk_is_one_line_and_later_it_goes_on(root):
    """A file that must not grow is as full a disk as a test can have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (12_000, hard))
    try:
        with pytest.raises(DataError) as caught:
            opened(config_of(root))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(caught.value).startswith(f"data, cache: {root}/.autoprog-cache/shrunk-20px-")
    assert "give data.cache_dir another folder, or make room there" in str(caught.value)
    assert len(opened(config_of(root)).train[0]) == 20


def test_a_folder_that_cannot_be_is_one_line(root, tmp_path):
    (tmp_path / "file").write_text("")
    for folder, words in (("file", "cannot be written"), ("~nosuchuser/x", "~nosuchuser")):
        where = folder if folder.startswith("~") else str(tmp_path / folder)
        with pytest.raises(DataError, match=r"^data, cache") as caught:
            opened(config_of(root, cache_dir=where))
        assert words in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"cache": "shrink"}, "data, cache: Input should be 'none' or 'shrunk', got 'shrink'"),
        ({"cache": True}, "data, cache: Input should be 'none' or 'shrunk', got True"),
        ({"cache_dir": "a\0b"}, "data, cache_dir: character 2 is '\\x00', no text"),
        ({"name": "table:fashion", "cache": "shrunk"}, "data, cache: 'shrunk' is for images, and a table has none"),
    ],
)
def test_a_wrong_value_is_one_line(fields, words):
    with pytest.raises(ConfigError) as caught:
        read_fields(DataConfig, fields, "data")
    assert words in str(caught.value)


def test_data_that_live_on_the_device_are_not_cached():
    config = DataConfig(cache="shrunk")
    for act in (lambda: load_data(config, SPACE, RECIPE, CPU), lambda: fingerprint_of(config, sizes=True)):
        with pytest.raises(
            AutoProgError, match="data, cache: 'shrunk' is for images that come through a loader; digits"
        ):
            act()
