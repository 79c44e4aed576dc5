"""Deleting a study, whatever is broken about it, and never while somebody runs it."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from uuid import uuid4

import optuna

from autoprog_search.errors import StudyError
from autoprog_search.faults import known_error
from autoprog_search.study.claims import alone_in_storage
from autoprog_search.study.config import check_name
from autoprog_search.study.identity import FOLDER
from autoprog_search.study.locking import GATE, out_of_use
from autoprog_search.study.store import StoredStudy


def delete_study(study: StoredStudy) -> None:
    """Remove a study: its Optuna studies, checkpoints, weights and folder.

    Its folder goes whatever happens: of a storage elsewhere that does not answer, what stays there is said.

    Raises:
        StudyError: somebody runs it, or a file cannot be removed.
    """
    with out_of_use(study.folder):
        running = None
        try:
            if study.config.storage:
                running = _delete_stored(study)
            elif study.artifacts is not None:
                study.artifacts.remove()
        except Exception as error:  # a way to get rid of a study must not depend on what is broken about it
            reason = known_error(error)
            if reason is None:
                raise
            logging.getLogger("autoprog_search").warning(f"its trials stay where they are stored: {reason}")
        if running is not None:
            raise StudyError(f"{study.folder}: {running}; stop that first")
        _remove(study.folder)


def delete_folder(root: Path, name: str) -> None:
    """Remove a study whose study.yaml cannot be read; what it stored elsewhere stays there.

    Raises:
        StudyError: there is none, somebody runs it, or a file cannot be removed.
    """
    folder = root / check_name(name)
    if not (folder / "study.yaml").exists():
        raise StudyError(f"name: there is no study {name!r} in {root}; `study list` shows what there is")
    with out_of_use(folder):
        _remove(folder)


def _delete_stored(study: StoredStudy) -> str | None:
    """Remove the trials that were created from this folder; or say who runs them, in whichever folder."""
    beginning = f"{study.config.name}/"
    with alone_in_storage(study):
        held = study.leases.held(beginning) if study.leases is not None else {}
        for name, holder in held.items():
            if name != f"{beginning}{GATE}":
                return f"{holder} is running it (it holds the lease {name})"
        others = 0
        for stored in study.storage.get_all_studies():
            if stored.study_name.startswith(beginning):
                ours = stored.user_attrs.get(FOLDER) in (None, str(study.folder.resolve()))
                others += not ours
                if ours:
                    optuna.delete_study(study_name=stored.study_name, storage=study.storage)
    if others:
        logging.getLogger("autoprog_search").warning(
            "its trials stay where they are stored: another folder created them"
        )
    elif study.leases is not None:
        study.leases.forget(beginning)
    if not others and study.artifacts is not None:
        study.artifacts.remove()
    return None


def _remove(folder: Path) -> None:
    whole = folder.resolve()
    gone = whole.with_name(f".{whole.name}.deleted-{uuid4().hex[:8]}")  # in one step: who waits for it finds nothing
    try:
        whole.rename(gone)
        if folder.is_symlink():
            folder.unlink()
        shutil.rmtree(gone)
    except OSError as error:
        raise StudyError(f"{error.filename}: cannot be removed: {str(error.strerror).lower()}") from None
