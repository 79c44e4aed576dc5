"""A study's data, opened for its trials: those that it was created on, or none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from autoprog_search.data.fingerprint import stored_difference, table_fingerprint, weights_fingerprints
from autoprog_search.errors import StudyError
from autoprog_search.study.identity import FILES, FINGERPRINT, stored_inputs
from autoprog_search.study.store import StoredStudy
from autoprog_search.tables.loading import table_files

if TYPE_CHECKING:
    import torch

    from autoprog_search.data.data_set import Data


def open_data(study: StoredStudy, device: torch.device, should_stop: Callable[[], bool] = lambda: False) -> Data:
    """The data set on that device.

    Raises:
        Interrupted: `should_stop` said so, while a cache was made.
        DataError: it cannot be found or read.
        StudyError: it is another one than when the trials were created.
    """
    from autoprog_search.data.load import load_data

    config = study.config
    data = load_data(config.data, config.space, config.recipe, device, should_stop)
    check_inputs(
        study, {FINGERPRINT: data.fingerprint(sizes=True).to_dict(), FILES: weights_fingerprints(config.recipe)}
    )
    return data


def inputs_of(study: StoredStudy) -> dict[str, Any]:
    """What the data are now (`FINGERPRINT`), and the files of weights that trials read (`FILES`), as plain values.

    Raises:
        DataError: something is not there, or cannot be read.
    """
    from autoprog_search.data.images import fingerprint_of

    data = study.config.data
    found = table_fingerprint(table_files(data.table)) if data.table is not None else fingerprint_of(data, sizes=True)
    return {FINGERPRINT: found.to_dict(), FILES: weights_fingerprints(study.config.recipe)}


def check_inputs(study: StoredStudy, now: Mapping[str, Any]) -> None:
    """Whether the data, and the files of weights, are what they were when the study's trials were created.

    Args:
        now: as `inputs_of`.

    Raises:
        StudyError: they are not: other images would train, and validate, than in the trials that have run.
    """
    for stored in stored_inputs(study):
        changed = stored_difference(stored.get(FINGERPRINT, now[FINGERPRINT]), now[FINGERPRINT])
        what = f"data: {study.config.data.name}"
        if changed is None and (files := stored.get(FILES, now[FILES])) != now[FILES]:
            field = min(name for name in {*files, *now[FILES]} if files.get(name) != now[FILES].get(name))
            what, changed = f"recipe, {field}: the file", "its content is another"
        if changed is not None:
            raise StudyError(
                f"{what} has changed since study {study.name!r} was created: {changed}. Put it back as it was, or make "
                f"another study: study create NAME --config {study.folder / 'study.yaml'}"
            )
