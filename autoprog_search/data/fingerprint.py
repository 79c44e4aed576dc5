"""What a data set is, in a few lines of plain values: two that differ are not the same data.

A run that is taken up again, and the trials of a study, must train and validate on the same images: which images
validate follows the list of them. Names, labels and classes are compared whenever data are opened; sizes take a look at
every file, so once a run (docs/data.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoprog_search.data.reading import escaped
from autoprog_search.errors import DataError, why
from autoprog_search.files import open_file

if TYPE_CHECKING:
    from autoprog_search.settings.recipe import Recipe

VERSION = 1  # of what is hashed, and how
FEW_CLASSES, FEW_CHARACTERS = 20, 400  # of which the names themselves are kept, for the message
WEIGHTS = ("init_checkpoint", "teacher_checkpoint")  # fields of the recipe that name files
CHUNK = 1 << 20  # bytes


@dataclass(frozen=True)
class SetFingerprint:
    """Of one set of images.

    Attributes:
        images: how many.
        names: hash of the images' names and labels, in order.
        content: hash of the content, where it is small.
        bytes, sizes: the files' total size and a hash of their sizes, in order; None where nobody looked.
    """

    images: int
    names: str = ""
    content: str = ""
    bytes: int | None = None
    sizes: str | None = None


@dataclass(frozen=True)
class Fingerprint:
    """Of a data set.

    Attributes:
        sets: by their own names (train, validation, test); a split that is cut out of another has none.
        classes: how many.
        class_hash: of the classes' names, in order; empty where they have no names.
        class_names: the names, where they are few.
    """

    sets: Mapping[str, SetFingerprint]
    classes: int
    class_hash: str = ""
    class_names: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, sets: Mapping[str, SetFingerprint], classes: int, class_names: Sequence[str] | None = None
    ) -> Fingerprint:
        """Of these sets, and of the classes' names, if they have any."""
        if not class_names:
            return cls(dict(sets), classes)
        names = tuple(map(escaped, class_names))
        few = len(names) <= FEW_CLASSES and sum(map(len, names)) <= FEW_CHARACTERS
        return cls(dict(sets), classes, hash_of(class_names), names if few else ())

    def to_dict(self) -> dict[str, Any]:
        """As plain values of JSON."""
        return {**asdict(self), "class_names": list(self.class_names), "version": VERSION}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Fingerprint:
        """What `to_dict` gave.

        Raises:
            ValueError: it is none, or of another version.
        """
        try:
            version = stored["version"]
            sets = {split: SetFingerprint(**found) for split, found in stored["sets"].items()}
            found = cls(sets, stored["classes"], stored["class_hash"], tuple(stored["class_names"]))
            plain = found.to_dict() == {**stored, "version": VERSION} and all(map(_is_whole, sets.values()))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"no fingerprint of data: {why(error)}") from None
        if version != VERSION:
            raise ValueError(f"a fingerprint of version {version!r}; this is version {VERSION}")
        if not plain or not isinstance(found.classes, int):
            raise ValueError("no fingerprint of data: a value in it is of the wrong kind")
        return found


def difference(then: Fingerprint, now: Fingerprint) -> str | None:
    """What has changed, in one line, the most telling first; None where nothing has.

    Sizes are compared where both have them.
    """
    if (then.classes, then.class_hash) != (now.classes, now.class_hash):
        if then.class_names and now.class_names:
            return f"the classes are now {', '.join(now.class_names)}, not {', '.join(then.class_names)}"
        if then.classes != now.classes:
            return f"there are {now.classes} classes, not {then.classes}"
        return f"the names of the {now.classes} classes are others, or in another order"
    if new_ones := sorted(set(now.sets) - set(then.sets)):
        return f"there is a {new_ones[0]} split now"
    if gone := sorted(set(then.sets) - set(now.sets)):
        return f"there is no {gone[0]} split any more"
    for split in sorted(then.sets, key=lambda split: (split != "train", split)):
        old, new = then.sets[split], now.sets[split]
        if old.images != new.images:
            return f"{split} has {new.images} images, not {old.images}"
        if old.names != new.names:
            return f"names or labels of {split} images are others"
        if old.content != new.content:
            return f"the content of {split} is another"
    for split, old in then.sets.items():
        new = now.sets[split]
        if None not in (old.sizes, new.sizes) and old.sizes != new.sizes:
            return f"sizes of {split} images are others ({new.bytes} bytes in all, {old.bytes} before)"
    return None


def stored_difference(then: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """As `difference`, of what `to_dict` gave; or why one of them is no fingerprint."""
    try:
        return difference(Fingerprint.from_dict(then), Fingerprint.from_dict(now))
    except ValueError as error:
        return str(error)


def table_fingerprint(files: Mapping[str, Path]) -> Fingerprint:
    """Of a table's files (`runs`, `estimates`), by content.

    Raises:
        DataError: one of them cannot be read.
    """
    return Fingerprint({name: SetFingerprint(0, content=file_fingerprint(path)) for name, path in files.items()}, 0)


def file_fingerprint(path: str | Path) -> str:
    """Hash of a file's content: of weights to start from, of a teacher.

    Raises:
        DataError: it cannot be read.
    """
    hashed = blake2b(digest_size=16)
    try:
        with open_file(path) as file:
            while chunk := file.read(CHUNK):
                hashed.update(chunk)
    except (OSError, ValueError) as error:
        raise DataError(f"{escaped(path)} cannot be read: {why(error)}") from None
    return hashed.hexdigest()


def weights_fingerprints(recipe: Recipe) -> dict[str, str]:
    """Hash of the content of each file that the recipe names, by field.

    Raises:
        DataError: one of them cannot be read.
    """
    named = {field: getattr(recipe, field) for field in WEIGHTS if getattr(recipe, field)}
    return {field: file_fingerprint(Path(name).expanduser()) for field, name in named.items()}


def hash_of(parts: Iterable[object]) -> str:
    """Of these parts, in order: of bytes, or of their text; file names that are not UTF-8 count by their bytes."""
    hashed = blake2b(digest_size=16)
    for part in parts:
        text = part if isinstance(part, bytes) else str(part).encode(errors="surrogateescape")
        hashed.update(b"%d:" % len(text) + text)  # with its length: "ab", "c" are not "a", "bc"
    return hashed.hexdigest()


def _is_whole(found: SetFingerprint) -> bool:
    return isinstance(found.images, int) and isinstance(found.names, str) and isinstance(found.content, str)
