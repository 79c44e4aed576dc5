"""WebDataset shards (tar files) with random access.

timm streams them, in an order that no interrupted run can take up again. Here the members' offsets are read once, from
the tar headers alone, and every image is then a seek and a read. Shards must be files, not pipes or URLs.
"""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from autoprog_search.errors import DataError

IMAGES = ("jpg", "jpeg", "png", "webp")
LABEL = "cls"


@dataclass(frozen=True)
class Member:
    """An image in a shard: which file, where its bytes lie, its key and its label."""

    shard: Path
    offset: int
    size: int
    key: str
    label: int


@dataclass(frozen=True)
class ShardImages:
    """The images of some shards; an `ImageSet` (images.py)."""

    members: tuple[Member, ...]

    def __len__(self) -> int:
        return len(self.members)

    @property
    def labels(self) -> list[int]:
        """The label of every image."""
        return [member.label for member in self.members]

    def load(self, index: int) -> tuple[Image.Image, int]:
        """See `ImageSet.load`."""
        member = self.members[index]
        with member.shard.open("rb") as file:
            file.seek(member.offset)
            content = file.read(member.size)
        return Image.open(io.BytesIO(content)), member.label

    def name(self, index: int) -> str:
        """See `ImageSet.name`."""
        return f"{self.members[index].shard}, {self.members[index].key}"


def open_shards(root: Path, aliases: Sequence[str]) -> ShardImages | None:
    """A split's shards: those that the folder's `_info.json` (timm's) lists for it, else those with its name in theirs.

    Args:
        aliases: names of the split.

    Returns:
        None where there are none.

    Raises:
        DataError: the folder is missing, a shard is none, or an image has no label.
    """
    root = root.expanduser()
    if not root.is_dir():
        raise DataError(f"data: wds/ needs a folder of .tar files; {root} is none")
    info = next((root / name for name in ("_info.json", "info.json") if (root / name).is_file()), None)
    if info is not None:
        try:
            splits = json.loads(info.read_text())["splits"]
            files = [root / file for alias in aliases if alias in splits for file in splits[alias]["filenames"]]
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"data: {info} lists no splits with filenames ({error!r})") from None
    else:
        word = re.compile(rf"(?<![a-z])({'|'.join(aliases)})(?![a-z])", flags=re.IGNORECASE)
        files = sorted(file for file in root.glob("*.tar") if word.search(file.stem))
    members = tuple(member for file in files for member in _members(file))
    return ShardImages(members) if files else None


def _members(shard: Path) -> Iterator[Member]:
    """The images of a shard; a sample's files share their name up to the first dot and stand side by side."""
    try:
        with tarfile.open(shard, "r:") as tar:
            found: dict[str, dict[str, tarfile.TarInfo]] = {}
            for item in tar:
                folder, _, file = item.name.rpartition("/")
                key, _, suffix = file.partition(".")
                if item.isfile():
                    found.setdefault(f"{folder}/{key}" if folder else key, {})[suffix.lower()] = item
            for key, parts in found.items():
                image = next((parts[suffix] for suffix in IMAGES if suffix in parts), None)
                if image is None:
                    continue
                if LABEL not in parts:
                    raise DataError(f"data: {shard}, {key}: no .{LABEL} file with its label beside the image")
                text = tar.extractfile(parts[LABEL]).read().decode(errors="replace").strip()  # type: ignore[union-attr]
                if not text.isdecimal():
                    raise DataError(f"data: {shard}, {key}.{LABEL}: {text[:20]!r} is no label (a whole number from 0)")
                yield Member(shard, image.offset_data, image.size, key, int(text))
    except (OSError, tarfile.TarError) as error:
        raise DataError(f"data: {shard} cannot be read as a .tar file: {error}") from None
