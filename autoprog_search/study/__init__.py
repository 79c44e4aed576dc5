"""Studies: one comparison of methods on a growth space, stored, resumable."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from autoprog_search.study.results import LoadedStudy


def load_study(name: str, root: str | Path = "studies") -> LoadedStudy:
    """A study that was created earlier, for its tables (`results()`, `epochs()`, `clock()`, ...) or its Optuna studies.

    Args:
        root: the folder that studies live in.

    Raises:
        StudyError: there is none of that name.
    """
    from autoprog_search.study.results import LoadedStudy
    from autoprog_search.study.store import open_study

    found = open_study(Path(root), name)
    return LoadedStudy(found.folder, found.config)
