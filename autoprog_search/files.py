"""Files: written whole or not at all, whenever the process dies; locks; read with one line for what is wrong."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from autoprog_search.errors import AutoProgError, StudyError
from autoprog_search.values import TEXT_LIMIT, dump_yaml, parse_yaml

if TYPE_CHECKING:
    from filelock import FileLock

CHECKPOINT, WEIGHTS = "checkpoint.pt", "weights.safetensors"
"""Of a run, in its folder: while it trains, and once it has."""

TEMPORARY = ".tmp"
"""Ends the names of files that are being written."""


def write_atomic(path: Path, data: bytes | memoryview, *, before: Path | None = None) -> None:
    """Replace a file by these bytes, in one step.

    Args:
        before: what was in the file is kept under this name.

    Raises:
        StudyError: the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=TEMPORARY)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o644)  # mkstemp makes private files; results are to be read by others too
            if before is not None and path.exists():
                os.replace(path, before)
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise StudyError(f"{path}: cannot be written: {str(error.strerror).lower()}") from None


def sweep(folder: Path, names: Iterable[str]) -> None:
    """Remove what killed writes of these files left; the caller holds the lock of whoever writes them."""
    for name in names:
        for left in folder.glob(f".{name}.????????{TEMPORARY}"):  # as `tempfile` names them
            left.unlink(missing_ok=True)


def inside(folder: Path, path: Path) -> Path:
    """The path, if it lies in the folder wherever links lead.

    Raises:
        StudyError: a symbolic link leads out of it.
    """
    if not path.resolve().is_relative_to(folder.resolve()):
        raise StudyError(f"{path}: leads out of {folder}, to {path.resolve()}; remove the link")
    return path


def file_lock(path: Path) -> FileLock:
    """A lock that the system frees when its holder dies, however it dies; not taken yet.

    Raises:
        StudyError: the path is a symbolic link, through which the lock would empty some other file, or its folder
            cannot be made.
    """
    from filelock import FileLock

    if path.is_symlink():
        raise StudyError(f"{path}: is a symbolic link, and a lock is a file of its own; remove the link")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StudyError(f"{path}: cannot be written: {str(error.strerror).lower()}") from None
    return FileLock(path)


def write_yaml(path: Path, data: Any) -> None:
    """Replace a file by plain data that `read_yaml` reads back the same.

    Raises:
        ConfigError: they are more than `read_yaml` takes.
        StudyError: the folder cannot be written.
    """
    write_atomic(path, dump_yaml(data).encode())


def open_file(path: str | Path) -> BinaryIO:
    """A regular file, to be read.

    Raises:
        OSError: it cannot be opened, or is none: opening a FIFO would wait for somebody to write.
    """
    flags = sum(getattr(os, name, 0) for name in ("O_NONBLOCK", "O_CLOEXEC", "O_BINARY"))  # those that the system has
    handle = os.open(path, os.O_RDONLY | flags)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError("it is no regular file")
    return os.fdopen(handle, "rb")


def read_yaml(path: Path, error: type[AutoProgError], what: str = "") -> Any:
    """What a YAML file holds (`values.parse_yaml`).

    Args:
        error: what to raise where the file cannot be read or is no YAML.
        what: begins its message.
    """
    most = 4 * TEXT_LIMIT  # UTF-8 takes up to 4 bytes a character
    try:
        with open_file(path) as file:
            data = file.read(most + 1)
        if len(data) > most:
            raise ValueError(f"it has more than {most:,} bytes")
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as reason:
        raise error(f"{what}{path} cannot be read: byte {reason.start + 1} is no UTF-8 text") from None
    except (OSError, ValueError) as reason:
        problem = getattr(reason, "strerror", None) or str(reason)
        raise error(f"{what}{path} cannot be read: {problem.lower()}") from None
    return parse_yaml(text, error, f"{what}{path}")
