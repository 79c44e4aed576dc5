"""Image folders: `train/CLASS/IMAGE`, and `val/` or `test/` likewise. docs/data.md has the rules."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from logging import getLogger
from pathlib import Path

from PIL import Image

from autoprog_search.data.fingerprint import SetFingerprint, hash_of
from autoprog_search.data.reading import escaped, file_sizes
from autoprog_search.errors import DataError, why
from autoprog_search.files import open_file

SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".pgm")
# What file servers, zip programs and file systems leave behind, in lower case.
SYSTEM_FOLDERS = frozenset(("@eadir", "__macosx", "lost+found", "$recycle.bin", "system volume information"))
ALIASES = {"train": ("train", "training"), "validation": ("val", "validation", "valid"), "test": ("test",)}

logger = getLogger("autoprog_search")


@dataclass(frozen=True)
class FolderImages:
    """The images of a split's folder; an `ImageSet` (images.py).

    Attributes:
        folder: the split's.
        names: CLASS/IMAGE, in order.
        labels: of the images, in the same order.
    """

    folder: Path
    names: Sequence[str]
    labels: Sequence[int]

    def __len__(self) -> int:
        return len(self.names)

    def load(self, index: int) -> tuple[Image.Image, int]:
        return Image.open(open_file(self.name(index))), self.labels[index]

    def name(self, index: int) -> str:
        return f"{self.folder}/{self.names[index]}"

    def fingerprint(self, *, sizes: bool) -> SetFingerprint:
        named = hash_of(part for image in zip(self.names, self.labels, strict=True) for part in image)
        if not sizes:
            return SetFingerprint(len(self), named)
        found = file_sizes(self.name, len(self))
        return SetFingerprint(len(self), named, bytes=sum(found), sizes=hash_of(found))


@dataclass
class LeftOut:
    """What is no image by its suffix, to be counted and said in one line."""

    where: Path
    suffixes: Counter[str] = field(default_factory=Counter)
    example: str = ""

    def add(self, name: str) -> None:
        """One more file."""
        self.suffixes[Path(name).suffix.lower() or "no suffix"] += 1
        self.example = self.example or name

    def say(self) -> None:
        """The line, if there is something to say."""
        if not self.suffixes:
            return
        kinds = ", ".join(f"{count} {escaped(suffix)}" for suffix, count in self.suffixes.most_common(5))
        more = f" and {len(self.suffixes) - 5} more kinds" if len(self.suffixes) > 5 else ""
        logger.warning(
            f"data: {escaped(self.where)}: {self.suffixes.total()} file(s) are left out ({kinds}{more}), for example "
            f"{escaped(self.example)}; images are CLASS/NAME with the suffix {' '.join(SUFFIXES)}"
        )


def natural_key(name: str) -> tuple[list[int | str], str]:
    """Sorts `img9` before `img10`; names that differ in case or leading zeros alone, by the whole name."""
    return [int(part) if k % 2 else part for k, part in enumerate(re.split(r"([0-9]+)", name.lower()))], name


def is_data(name: str) -> bool:
    """Whether a file or folder of that name is data: not hidden, and none of the system's."""
    return not name.startswith(".") and name.lower() not in SYSTEM_FOLDERS


def open_folder(root: Path) -> tuple[dict[str, FolderImages | None], list[str]]:
    """The sets of images in a folder, and the names of the classes that train.

    Raises:
        DataError: a folder is missing, is in the wrong place, or cannot be read.
    """
    folders = _split_folders(root)
    sets: dict[str, FolderImages | None] = dict.fromkeys(ALIASES)
    train = folders["train"]
    if train is None:
        return sets, []
    classes = sorted((entry.name for entry in _listed(train) if _is_folder(entry)), key=natural_key)
    if not classes:
        raise DataError(f"data: {escaped(train)} has no class folders (expected train/<class>/<image>)")
    numbers = {name: number for number, name in enumerate(classes)}
    for split, folder in folders.items():
        if folder is not None:
            sets[split] = _open_split(folder, numbers)
    return sets, classes


def _split_folders(root: Path) -> dict[str, Path | None]:
    """The folder of each split. Two for one split are refused, as one would be left out; others are said."""
    found: dict[str, Path | None] = dict.fromkeys(ALIASES)
    others = []
    for entry in _listed(root):
        split = next((split for split, names in ALIASES.items() if entry.name.lower() in names), None)
        if split is None:
            others += [entry.name] if _is_folder(entry) else []
        elif not _is_folder(entry):
            raise DataError(f"data: {escaped(entry.path)} is no folder (expected {entry.name}/<class>/<image>)")
        elif (other := found[split]) is not None:
            raise DataError(
                f"data: {escaped(root)} has {escaped(other.name)}/ and {escaped(entry.name)}/, both of the "
                f"{split} split; keep one"
            )
        else:
            found[split] = Path(entry.path)
    if others and found["train"] is not None:
        some = ", ".join(map(escaped, others[:5])) + (", ..." if len(others) > 5 else "")
        logger.warning(f"data: {escaped(root)}: {len(others)} folder(s) that are no split are left out ({some})")
    return found


def _open_split(folder: Path, numbers: Mapping[str, int]) -> FolderImages:
    left_out = LeftOut(folder)
    names: list[str] = []
    for entry in _listed(folder):
        if not _is_folder(entry):
            left_out.add(entry.name)
        elif entry.name not in numbers:
            raise DataError(f"data: {escaped(entry.path)} is a class without training images")
        else:
            inside = list(_images(entry, left_out))
            if not inside:
                raise DataError(
                    f"data: {escaped(entry.path)} is a class folder without an image ({', '.join(SUFFIXES)})"
                )
            names += [f"{entry.name}/{name}" for name in inside]
    left_out.say()
    names.sort(key=natural_key)
    return FolderImages(folder, names, [numbers[name.partition("/")[0]] for name in names])


def _images(folder: os.DirEntry[str], left_out: LeftOut) -> Iterator[str]:
    """Names of the images in a class folder."""
    for entry in _listed(folder):
        if _is_folder(entry):
            raise DataError(
                f"data: {escaped(entry.path)} is a folder inside a class folder; images must lie in "
                f"{escaped(folder.path)} itself"
            )
        if os.path.splitext(entry.name)[1].lower() not in SUFFIXES:
            left_out.add(f"{folder.name}/{entry.name}")
        elif not entry.is_file():
            what = "a link to nothing" if entry.is_symlink() and not os.path.exists(entry.path) else "no regular file"
            raise DataError(f"data: {escaped(entry.path)} is {what}")
        else:
            yield entry.name


def _listed(folder: Path | os.DirEntry[str]) -> list[os.DirEntry[str]]:
    """What is data in a folder, by name; the file system's order would be chance."""
    try:
        with os.scandir(folder) as entries:
            return sorted((entry for entry in entries if is_data(entry.name)), key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"data: {escaped(os.fspath(folder))} cannot be read: {why(error)}") from None


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError as error:  # a loop of links
        raise DataError(f"data: {escaped(entry.path)} cannot be read: {why(error)}") from None
