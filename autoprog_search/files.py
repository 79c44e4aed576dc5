"""Files: written whole or not at all, whenever the process dies; locks; YAML read with one line for what is wrong."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoprog_search.errors import AutoProgError, StudyError

if TYPE_CHECKING:
    from filelock import FileLock

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


def sweep(folder: Path) -> None:
    """Remove what killed writes left in a folder; its caller holds the lock of whoever writes there."""
    for left in folder.glob(f".*{TEMPORARY}"):
        left.unlink(missing_ok=True)


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


def read_yaml(path: Path, error: type[AutoProgError], what: str = "") -> Any:
    """What a YAML file holds.

    Args:
        error: what to raise where the file cannot be read or is no YAML.
        what: begins its message.
    """
    import yaml

    try:
        return yaml.safe_load(path.read_text())
    except (OSError, ValueError, yaml.YAMLError) as reason:  # an impossible date is a ValueError to PyYAML
        raise error(f"{what}{path} cannot be read: {' '.join(str(reason).split())}") from None
