"""Files: written whole or not at all, whenever the process dies; YAML read with one line for what is wrong."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from autoprog_search.errors import AutoProgError, StudyError


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
