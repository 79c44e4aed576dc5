"""`data.cache: shrunk`: the training images in one file, no larger than the largest stage needs.

Its name says what it was made of, so that other data, another split or another side never find it. One process makes
it, under a lock, in SQLite's transactions: a killed one goes on where it was, and the file gets its name when it is
whole. It is read image by image, and not mapped into memory: a map of a file that has been cut short kills the process.
"""

from __future__ import annotations

import io
import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from logging import getLogger
from pathlib import Path

import numpy as np
from PIL import Image
from torch.utils.data import Dataset

from autoprog_search.data.fingerprint import SetFingerprint, hash_of
from autoprog_search.data.images import ImageSet, Splits, unreadable
from autoprog_search.data.processes import LoadersEnded, loaded
from autoprog_search.data.reading import escaped
from autoprog_search.data.transforms import in_channels
from autoprog_search.errors import DataError, StudyError, why
from autoprog_search.files import open_file
from autoprog_search.interrupt import Interrupted, locked
from autoprog_search.settings.data import DataConfig

VERSION = 1  # of what is stored, and how
QUALITY = 95  # of the JPEGs
FOLDER = ".autoprog-cache"  # in the data's own, where the dot keeps it from being data
TABLE = "CREATE TABLE IF NOT EXISTS images (place INTEGER PRIMARY KEY, label INTEGER NOT NULL, jpeg BLOB NOT NULL)"
AT_ONCE = 64  # images a transaction
TELL_SECONDS = 30.0

Row = tuple[int, int, bytes]
"""Place among the images that train, label, JPEG."""

logger = getLogger("autoprog_search.cache")  # which of several processes makes it, the lock decides


@dataclass(frozen=True)
class ShrunkImages:
    """The images that train, from their cache; an `ImageSet` (images.py).

    Attributes:
        file: where they are.
        original: the set that they were made of; what they are called, and what they are, is what it says.
        chosen: which of its images, in order.
    """

    file: Path
    original: ImageSet
    chosen: Sequence[int]

    def __len__(self) -> int:
        return len(self.chosen)

    @property
    def labels(self) -> Sequence[int] | None:
        known = self.original.labels
        return None if known is None else [known[index] for index in self.chosen]

    def load(self, index: int) -> tuple[Image.Image, int]:
        try:
            found = _reader(self.file, os.getpid()).execute("SELECT label, jpeg FROM images WHERE place = ?", (index,))
            label, jpeg = next(found)
        except (sqlite3.Error, StopIteration) as error:
            raise ValueError(f"the cache is damaged ({why(error)}); remove that file, and it is made anew") from None
        return Image.open(io.BytesIO(jpeg)), label

    def name(self, index: int) -> str:
        return f"{self.file}, {self.original.name(self.chosen[index])}"

    def fingerprint(self, *, sizes: bool) -> SetFingerprint:
        return self.original.fingerprint(sizes=sizes)


@dataclass(frozen=True)
class Shrinking(Dataset[Row | DataError]):
    """The rows of a cache, by place; what is wrong with an image is returned, as its loader does.

    Attributes:
        side: shorter side of the images that are larger, in pixels; none is enlarged.
        channels: of the model: 1 is grey.
    """

    images: ImageSet
    chosen: Sequence[int]
    side: int
    channels: int

    def __getitem__(self, place: int) -> Row | DataError:
        index = self.chosen[place]
        try:
            image, label = self.images.load(index)
            image.draft(None, (2 * self.side, 2 * self.side))  # libjpeg's own shrinking, while twice too large is left
            return place, label, as_jpeg(shrunk_to(in_channels(image, self.channels), self.side))
        except Exception as error:  # noqa: BLE001 - see `unreadable`
            return unreadable(self.images, index, error)


def shrunk_to(image: Image.Image, side: int) -> Image.Image:
    """The image with that shorter side, filtered; as it is where it has no more pixels than that."""
    scale = side / min(image.size)
    if scale >= 1:
        return image
    width, height = (max(side, round(scale * length)) for length in image.size)
    return image.resize((width, height), Image.Resampling.BICUBIC)


def as_jpeg(image: Image.Image) -> bytes:
    """The image as a file's content."""
    content = io.BytesIO()
    image.save(content, "JPEG", quality=QUALITY)
    return content.getvalue()


def shrunk(
    splits: Splits, config: DataConfig, side: int, channels: int, should_stop: Callable[[], bool] = lambda: False
) -> Splits:
    """The same splits, with the images that train from a cache, which is made if it is not there.

    Args:
        side, channels: see `Shrinking`.
        should_stop: asked while the cache is made; a later call goes on.

    Raises:
        DataError: an image cannot be read; or the cache cannot be written, say on a full disk.
        Interrupted: `should_stop` said so.
    """
    images, chosen = splits.train
    wanted = Shrinking(images, chosen, side, channels)
    folder = _folder(config)
    file = folder / f"shrunk-{side}px-{_key(wanted)[:16]}.sqlite"
    try:
        if not _is_whole(file, len(chosen)):
            with locked(file.with_suffix(".lock"), should_stop, lambda: _say(f"{file} is being made; this waits")):
                if not _is_whole(file, len(chosen)):
                    _make(file, wanted, config.workers, should_stop)
    except (StudyError, OSError, sqlite3.Error) as error:
        what = why(error) if isinstance(error, StudyError) else f"{file}: {why(error)}"
        raise DataError(
            f"data, cache: {escaped(what)}; give data.cache_dir another folder, or make room there: the same command "
            "goes on"
        ) from None
    return replace(splits, train=(ShrunkImages(file, images, chosen), range(len(chosen))))


def _folder(config: DataConfig) -> Path:
    """Where the cache lies."""
    own = Path(config.root or config.name.removeprefix("wds/"))
    try:
        folder = Path(config.cache_dir).expanduser() if config.cache_dir else own.expanduser() / FOLDER
    except RuntimeError as error:  # ~nosuchuser
        raise DataError(f"data, cache_dir: {escaped(config.cache_dir)!r}: {why(error)}") from None
    if not config.cache_dir and not folder.parent.is_dir():
        raise DataError(f"data, cache_dir: {escaped(config.name)} has no folder that a cache could lie in; name one")
    return folder


def _key(wanted: Shrinking) -> str:
    """What tells whether two caches are of the same images: the data's fingerprint, which of them, and how stored."""
    origin = json.dumps(asdict(wanted.images.fingerprint(sizes=True)))
    places = np.asarray(wanted.chosen, dtype=np.int64).tobytes()
    return hash_of((VERSION, wanted.side, wanted.channels, QUALITY, origin, places))


def _is_whole(file: Path, count: int) -> bool:
    """Whether all images are in that file."""
    if not file.exists():
        return False
    open_file(file).close()  # one that is not ours to read is not damaged
    try:
        with closing(_opened_to_read(file)) as database:
            return _written(database) == count
    except sqlite3.Error:
        return False


def _make(file: Path, wanted: Shrinking, workers: int, should_stop: Callable[[], bool]) -> None:
    """Write what is missing of a cache; then it gets its name, and takes the place of a damaged one."""
    part = file.with_suffix(".part")
    if file.exists():
        _say(f"{file} is damaged, and made anew")
    try:
        _write(part, wanted, workers, should_stop)
    except sqlite3.OperationalError:  # no space, no permission: nothing is wrong with what is there
        raise
    except sqlite3.DatabaseError:
        _say(f"{part} is damaged, and made anew")
        part.unlink()
        Path(f"{part}-journal").unlink(missing_ok=True)
        _write(part, wanted, workers, should_stop)
    os.replace(part, file)
    _reader.cache_clear()  # another may have had the name


def _write(part: Path, wanted: Shrinking, workers: int, should_stop: Callable[[], bool]) -> None:
    with closing(sqlite3.connect(part)) as database:
        database.execute(TABLE)
        done = begun = _written(database)
        count, began, told = len(wanted.chosen), time.monotonic(), time.monotonic()
        _say(f"{count - begun:,} training images are shrunk to {wanted.side} px, once, into {part.parent}")
        for rows in _rows(wanted, begun, workers):
            if should_stop():
                raise Interrupted
            with database:  # a transaction
                database.executemany("INSERT INTO images VALUES (?, ?, ?)", rows)
            done += len(rows)
            if (now := time.monotonic()) - told > TELL_SECONDS:
                left = (now - began) / (done - begun) * (count - done)
                _say(f"{done:,} of {count:,} images are shrunk, {left / 60:,.0f} min left")
                told = now


def _rows(wanted: Shrinking, begin: int, workers: int) -> Iterator[list[Row]]:
    """What is to be written, from that place on; from this process once somebody has ended those that load."""
    while True:
        places = range(begin, len(wanted.chosen))
        batches = [list(places[start : start + AT_ONCE]) for start in range(0, len(places), AT_ONCE)]
        try:
            for rows in loaded(wanted, batches, _collate, workers):
                yield rows
                begin += len(rows)
            return
        except LoadersEnded:
            workers = 0


def _collate(rows: list[Row | DataError]) -> list[Row] | DataError:
    good = [row for row in rows if not isinstance(row, DataError)]
    return good if len(good) == len(rows) else next(row for row in rows if isinstance(row, DataError))


def _written(database: sqlite3.Connection) -> int:
    """How many images are in it: they are written in order."""
    last: int | None = database.execute("SELECT max(place) FROM images").fetchone()[0]
    return 0 if last is None else last + 1


def _opened_to_read(file: Path) -> sqlite3.Connection:
    """Without a lock, which file servers are slow at: it has its name, so nobody writes to it any more."""
    return sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro&immutable=1", uri=True, check_same_thread=False)


@lru_cache(maxsize=4)
def _reader(file: Path, process: int) -> sqlite3.Connection:
    """A connection of this process: SQLite's must not go along into another."""
    return _opened_to_read(file)


def _say(what: str) -> None:
    logger.warning(f"data: cache: {escaped(what)}")
