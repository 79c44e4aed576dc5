"""A study's data, opened for its trials: those that it was created on, or none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autoprog_search.errors import StudyError
from autoprog_search.study.identity import stored_fingerprints
from autoprog_search.study.store import StoredStudy
from autoprog_search.training.fingerprint import Fingerprint, difference

if TYPE_CHECKING:
    import torch

    from autoprog_search.training.data import Data


def open_data(study: StoredStudy, device: torch.device) -> Data:
    """The data set on that device.

    Raises:
        DataError: it cannot be found or read.
        StudyError: it is another one than when the trials were created.
    """
    from autoprog_search.training.data import load_data

    config = study.config
    data = load_data(config.data, config.space, config.recipe, device)
    check_data(study, data.fingerprint(sizes=True))
    return data


def check_data(study: StoredStudy, now: Fingerprint) -> None:
    """Whether the data are what they were when the study's trials were created.

    Raises:
        StudyError: they are not: other images would train, and validate, than in the trials that have run.
    """
    for stored in stored_fingerprints(study):
        try:
            changed = difference(Fingerprint.from_dict(stored), now)
        except ValueError as error:
            changed = str(error)
        if changed is not None:
            raise StudyError(
                f"data: {study.config.data.name} has changed since study {study.name!r} was created: {changed}. Put it "
                f"back as it was, or make another study: study create NAME --config {study.folder / 'study.yaml'}"
            )
