"""WebDataset shards (tar files) with random access.

timm streams them, in an order that no interrupted run can take up again. Here the members' offsets are read once, from
the tar headers alone, and every image is then a seek and a read. Shards must be files, not pipes or URLs.

What a sample is, its key and its suffixes, is WebDataset's definition (docs/data.md).
"""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from logging import getLogger
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from PIL import Image

from autoprog_search.data.fingerprint import SetFingerprint, hash_of
from autoprog_search.data.folder import ALIASES, SUFFIXES, is_data
from autoprog_search.data.reading import escaped, existing_folder
from autoprog_search.errors import DataError, why
from autoprog_search.files import open_file

IMAGES = tuple(suffix[1:] for suffix in SUFFIXES)  # of several images in a sample, the first in this order is taken
LABEL = "cls"
LARGEST_LABEL = 999_999  # a model has an output for every number up to the largest label
LONGEST_LABEL = 64  # bytes
ENDING = 512  # bytes; a tar file ends with blocks of zeros
COMPRESSED = re.compile(r"\.(tgz|tar\.\w+)$", flags=re.IGNORECASE)

logger = getLogger("autoprog_search")


@dataclass(frozen=True)
class Member:
    """An image in a shard: which file, where its bytes lie, its key and suffix, its label."""

    shard: Path
    offset: int
    size: int
    key: str
    suffix: str
    label: int


@dataclass(frozen=True)
class ShardImages:
    """The images of some shards; an `ImageSet` (images.py).

    Attributes:
        root: the folder that the shards lie in.
    """

    root: Path
    members: tuple[Member, ...]

    def __len__(self) -> int:
        return len(self.members)

    @property
    def labels(self) -> list[int]:
        return [member.label for member in self.members]

    def load(self, index: int) -> tuple[Image.Image, int]:
        member = self.members[index]
        with open_file(member.shard) as file:
            file.seek(member.offset)
            content = file.read(member.size)
        return Image.open(io.BytesIO(content)), member.label

    def name(self, index: int) -> str:
        return f"{self.members[index].shard}, {self.members[index].key}"

    def fingerprint(self, *, sizes: bool) -> SetFingerprint:
        """See `ImageSet.fingerprint`; sizes and places stand in the headers, which are read anyway."""
        shards = {shard: shard.relative_to(self.root) for shard in {member.shard for member in self.members}}
        named = hash_of(part for m in self.members for part in (shards[m.shard], m.key, m.suffix, m.label))
        placed = hash_of(part for m in self.members for part in (m.offset, m.size))
        return SetFingerprint(len(self), named, bytes=sum(m.size for m in self.members), sizes=placed)


def open_shards(name: str | Path) -> dict[str, ShardImages | None]:
    """The shards of each split in a folder; None where it has none.

    Raises:
        DataError: the folder is missing; a shard is none, belongs to two splits, is listed twice, or is not there; or
            an image has no label.
    """
    root = existing_folder(name, "is no folder: wds/ needs a folder of .tar files")
    return {split: _read(root, shards) for split, shards in _listed(root).items()}


def _read(root: Path, shards: Sequence[Path]) -> ShardImages | None:
    members: list[Member] = []
    without: Counter[str] = Counter()
    for shard in shards:
        members += _members(shard, without)
    if without:
        kinds = ", ".join(f"{count} {escaped(kind)}" for kind, count in without.most_common(5))
        logger.warning(
            f"data: {escaped(shards[0])}{' and others' if len(shards) > 1 else ''}: {without.total()} file(s) belong "
            f"to no image or are a second one, and are left out ({kinds}); images have the suffix {', '.join(IMAGES)}"
        )
    return ShardImages(root, tuple(members)) if shards else None


# ── which shards belong to a split ──────────────────────────────────────────────────────────────────────────────────


def _listed(root: Path) -> dict[str, list[Path]]:
    """Each split's shards: those that the folder's `_info.json` (timm's) lists, else those with its name in theirs.

    Those of no split are left out, which is said.
    """
    try:
        present = sorted(path for path in root.iterdir() if is_data(path.name))
    except OSError as error:
        raise DataError(f"data: {escaped(root)} cannot be read: {why(error)}") from None
    info = next((root / name for name in ("_info.json", "info.json") if (root / name).is_file()), None)
    tars = [path for path in present if path.suffix.lower() == ".tar"]
    found = _of_info(info) if info is not None else _by_name(tars)
    taken = {path.resolve() for paths in found.values() for path in paths}
    rule = f"{info.name} lists them in no split" if info else f"no split's name ({', '.join(ALIASES)}) stands in theirs"
    _say_left_out(root, [path.name for path in tars if path.resolve() not in taken], rule)
    compressed = [p.name for p in present if COMPRESSED.search(p.name) and p.resolve() not in taken]
    _say_left_out(root, compressed, "they are compressed; images by index need plain .tar files")
    return found


def _say_left_out(root: Path, names: Sequence[str], reason: str) -> None:
    if names:
        logger.warning(
            f"data: {escaped(root)}: {len(names)} shard(s) are left out, for example {escaped(names[0])}: {reason}"
        )


def _by_name(tars: Sequence[Path]) -> dict[str, list[Path]]:
    words = {
        split: re.compile(rf"(?<![a-z])({'|'.join(names)})(?![a-z])", flags=re.IGNORECASE)
        for split, names in ALIASES.items()
    }
    found: dict[str, list[Path]] = {split: [] for split in ALIASES}
    for tar in tars:
        splits = [split for split, word in words.items() if word.search(tar.stem)]
        if len(splits) > 1:
            raise DataError(
                f"data: {escaped(tar)} has the names of {' and '.join(splits)} in its own; a shard belongs to one split"
            )
        for split in splits:
            found[split].append(tar)
    return found


def _of_info(info: Path) -> dict[str, list[Path]]:
    try:
        listed = json.loads(info.read_text())["splits"]
        files = {name: listed[name]["filenames"] for name in listed}
        assert all(isinstance(names, list) and all(isinstance(n, str) for n in names) for names in files.values())
    except Exception as error:  # noqa: BLE001 - text that is not JSON, or not of this form: many kinds
        raise DataError(f"data: {escaped(info)} lists no splits with filenames ({type(error).__name__})") from None
    found: dict[str, list[Path]] = {split: [] for split in ALIASES}
    seen: dict[Path, str] = {}
    for split, aliases in ALIASES.items():
        names = [alias for alias in aliases if alias in files]
        if len(names) > 1:
            raise DataError(f"data: {escaped(info)} has {' and '.join(names)}, both of the {split} split; keep one")
        for file in files[names[0]] if names else []:
            path = _listed_shard(info, file)
            if (place := path.resolve()) in seen:
                raise DataError(f"data: {escaped(info)} lists {escaped(file)} twice ({seen[place]} and {split})")
            seen[place] = split
            found[split].append(path)
    return found


def _listed_shard(info: Path, file: str) -> Path:
    parts = PurePosixPath(file)
    if parts.is_absolute() or ".." in parts.parts:
        raise DataError(f"data: {escaped(info)} lists {escaped(file)!r}, which leads out of the folder")
    path = info.parent / parts
    try:
        there = path.is_file()
    except (OSError, ValueError):  # too long; a NUL in it
        there = False
    if not there:
        raise DataError(f"data: {escaped(info)} lists {escaped(file)!r}, and there is no such file")
    return path


# ── what is in a shard ──────────────────────────────────────────────────────────────────────────────────────────────


def _members(shard: Path, without: Counter[str]) -> list[Member]:
    """The images of a shard; what belongs to none is counted by its suffix."""
    try:
        with open_file(shard) as file, tarfile.open(fileobj=file, mode="r:") as tar:
            samples = _samples(shard, tar, without)
            _check_end(shard, file, tar)
            found = [_member(shard, tar, key, parts, without) for key, parts in samples.items()]
    except DataError:
        raise
    except Exception as error:  # noqa: BLE001 - a damaged header makes tarfile raise anything, not only its own errors
        raise DataError(f"data: {escaped(shard)} cannot be read as a .tar file: {why(error)}") from None
    return [member for member in found if member is not None]


def _samples(shard: Path, tar: tarfile.TarFile, without: Counter[str]) -> dict[str, dict[str, tarfile.TarInfo]]:
    """Each key's files, by suffix."""
    samples: dict[str, dict[str, tarfile.TarInfo]] = {}
    last: str | None = None
    reached = -1
    for item in tar:
        if item.offset_data <= reached or item.size < 0:  # tarfile would go round in circles
            raise tarfile.ReadError(f"damaged header of {item.name}")
        reached = item.offset_data
        folder, _, file = item.name.rpartition("/")
        stem, dot, suffix = file.partition(".")
        if item.isdir() or not file or file.startswith("."):
            continue
        if not dot:
            without["no suffix"] += 1
            continue
        key, suffix = f"{folder}/{stem}" if folder else stem, suffix.lower()
        if key != last and key in samples:
            raise DataError(
                f"data: {escaped(shard)}, {escaped(key)}: this key stands in two places; a sample's files stand "
                "side by side and share their name up to the first dot"
            )
        last, parts = key, samples.setdefault(key, {})
        if suffix in parts:
            raise DataError(
                f"data: {escaped(shard)}, {escaped(key)}: two files .{escaped(suffix)} under this key, which is the "
                "name up to the first dot"
            )
        parts[suffix] = item
    return samples


def _check_end(shard: Path, file: BinaryIO, tar: tarfile.TarFile) -> None:
    """Raise DataError unless the members end with the format's mark, and nothing follows it.

    tarfile stops in silence at the end of a file that was cut off between two members, at a damaged header, and at the
    end of the first of two archives in one file.
    """
    end: int = tar.offset
    file.seek(end)
    mark = file.read(ENDING)
    if len(mark) < ENDING:
        raise DataError(f"data: {escaped(shard)} is cut off: it has no end mark after byte {end}")
    if mark.strip(b"\0"):
        raise DataError(f"data: {escaped(shard)} is damaged: what stands at byte {end} is no header")
    while chunk := file.read(1 << 20):
        if chunk.strip(b"\0"):
            raise DataError(
                f"data: {escaped(shard)} goes on after its end mark at byte {end}; join shards with tar --concatenate"
            )


def _member(
    shard: Path, tar: tarfile.TarFile, key: str, parts: Mapping[str, tarfile.TarInfo], without: Counter[str]
) -> Member | None:
    """A sample's image, or None where it has none."""
    where = f"data: {escaped(shard)}, {escaped(key)}"
    suffix = next((suffix for suffix in IMAGES if suffix in parts), None)
    others = [other for other in parts if other != suffix and other.rpartition(".")[2] in IMAGES]
    if suffix is None:
        if others:
            raise DataError(
                f"{where}.{escaped(others[0])}: the key is the name up to the first dot, so the suffix is "
                f"{escaped(others[0])!r} and no image's; name the file without further dots"
            )
        without.update(f".{other}" for other in parts)
        return None
    without.update(f".{other}" for other in others)
    if LABEL not in parts:
        raise DataError(f"{where}: no .{LABEL} file with its label beside the image")
    for needed in (suffix, LABEL):
        if not parts[needed].isfile() or parts[needed].issparse():
            raise DataError(f"{where}.{needed} is a link or a sparse file; a shard holds plain files")
    return Member(shard, parts[suffix].offset_data, parts[suffix].size, key, suffix, _label(where, tar, parts[LABEL]))


def _label(where: str, tar: tarfile.TarFile, item: tarfile.TarInfo) -> int:
    file: Any = tar.extractfile(item)
    text = file.read(LONGEST_LABEL + 1).decode(errors="replace").strip()
    if len(text) > LONGEST_LABEL or not (text.isascii() and text.isdecimal()):
        raise DataError(f"{where}.{LABEL}: {text[:20]!r} is no label (a whole number from 0)")
    if int(text) > LARGEST_LABEL:
        raise DataError(f"{where}.{LABEL}: label {text[:20]} is above {LARGEST_LABEL}, the largest there may be")
    return int(text)
