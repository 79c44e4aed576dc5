"""Atomic files: whole or absent, whenever the process dies."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from autoprog_search.errors import StudyError


def write_atomic(path: Path, data: bytes) -> None:
    """Replace a file by these bytes, in one step.

    Raises:
        StudyError: the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o644)  # mkstemp makes private files; results are to be read by others too
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise StudyError(f"{path}: cannot be written: {str(error.strerror).lower()}") from None
