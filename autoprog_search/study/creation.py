"""Creating a study: its folder, and all of its trials, waiting."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Mapping
from itertools import starmap
from pathlib import Path
from random import Random
from typing import Any, Literal

import optuna
from optuna.trial import TrialState

from autoprog_search.errors import ConfigError, StudyError
from autoprog_search.files import inside, sweep, write_atomic
from autoprog_search.interrupt import locked
from autoprog_search.methods.registry import method_named
from autoprog_search.randomness import derive
from autoprog_search.settings.retired import refusal
from autoprog_search.study.artifacts import checked_artifacts
from autoprog_search.study.claims import alone_in_storage
from autoprog_search.study.config import StudyConfig, check_name
from autoprog_search.study.identity import FOLDER, SETTINGS, check_unchanged, settings_of
from autoprog_search.study.locking import GATE, at_gate
from autoprog_search.study.opening import check_inputs, inputs_of
from autoprog_search.study.storage import checked_url, open_sqlite
from autoprog_search.study.store import NotStoredError, StoredStudy, open_study
from autoprog_search.values import dump_yaml

DIRECTIONS: list[Literal["minimize", "maximize"]] = ["minimize", "maximize"]
OBJECTIVES = ["total_flops", "val_top1"]  # training and search; of validation
TABLES_OF_A_STUDY = ("results", "curves", "estimates", "clock")
FILES_OF_A_STUDY = [f"{name}.{suffix}" for name in TABLES_OF_A_STUDY for suffix in ("csv", "parquet")]


def create_study(root: Path, config: StudyConfig, *, skip_if_exists: bool = False) -> StoredStudy:
    """Write a study's configuration and all of its trials, waiting. Interrupted, it can be called again.

    Args:
        root: folder of the studies; the study's own is made in it.
        skip_if_exists: give back the study of that name that is there, whatever its settings.

    Raises:
        StudyError: it exists, its folder cannot be written, or its storage cannot be kept.
        DataError: there are no such data.
        ConfigError: no code runs its settings any more.
    """
    if config.retired:
        raise ConfigError(f"methods: {refusal(config.retired)}")
    folder = root / check_name(config.name)
    kept = {"storage": checked_url(config.storage), "artifacts": checked_artifacts(config.artifacts)}
    config = config.model_copy(update=kept)
    text = dump_yaml(config.model_dump(mode="json"))  # before anything is made: it may be too long
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(13, "permission denied")
    except OSError as error:
        raise StudyError(f"{folder}: cannot be written: {str(error.strerror).lower()}") from None
    with locked(folder / GATE):
        if (folder / "study.yaml").exists():
            if not skip_if_exists:
                raise StudyError(f"name: study {config.name!r} exists already in {root}; run it, or delete it first")
            return open_study(root, config.name)
        study = StoredStudy(folder, config)
        inputs = inputs_of(study)  # data that are not there are said before anything is stored
        if study.artifacts is not None:  # and so is a URL that nothing knows
            study.artifacts.check_apart()
        with alone_in_storage(study):
            _drop_first_try(study)
            _say_whose_they_are(study)
            _create_trials(study, inputs)
        write_atomic(folder / "study.yaml", text.encode())  # last: a study with this file is whole
    return study


def _drop_first_try(study: StoredStudy) -> None:
    """Remove the waiting trials of a creation that was interrupted, if it had other settings.

    Raises:
        StudyError: some of them have run, so they are not of such a creation.
    """
    try:
        check_unchanged(study)
    except StudyError:
        ours = str(study.folder.resolve())
        own, prefix = not study.config.storage, f"{study.config.name}/"
        stored = [s for s in study.storage.get_all_studies() if own or s.study_name.startswith(prefix)]
        names = [s.study_name for s in stored if s.user_attrs.get(FOLDER) == ours]
        tries = [optuna.load_study(study_name=name, storage=study.storage) for name in names]
        states = {trial.state for one in tries for trial in one.get_trials(deepcopy=False)}
        if len(names) < len(stored) or not states <= {TrialState.WAITING}:
            raise
        for name in names:
            optuna.delete_study(study_name=name, storage=study.storage)


def _say_whose_they_are(study: StoredStudy) -> None:
    """Say where trials were created that this folder shares from now on."""
    if study.leases is not None:
        ours, known = str(study.folder.resolve()), set(starmap(study.optuna_name, study.pairs()))
        stored = [kept for kept in study.storage.get_all_studies() if kept.study_name in known]
        if others := {kept.user_attrs.get(FOLDER) for kept in stored} - {ours, None}:
            logging.getLogger("autoprog_search").warning(
                f"{study.storage_url} holds study {study.config.name!r} already: this folder shares its trials with "
                f"{min(map(str, others))}"
            )


def complete_study(study: StoredStudy) -> None:
    """Create the trials that a study's own database lacks: all, where it came without one, as published studies do.

    Raises:
        StudyError: study.yaml was changed since it has trials, or the data were.
    """
    with at_gate(study.folder):
        sweep(study.folder, FILES_OF_A_STUDY)
        if not study.has_database:
            study.storage = open_sqlite(inside(study.folder, study.file))
        check_unchanged(study)
        if not study.config.storage and study.config.data.table is None and _lacks_trials(study):
            inputs = inputs_of(study)
            check_inputs(study, inputs)
            _create_trials(study, inputs)


def _lacks_trials(study: StoredStudy) -> bool:
    try:
        stored = study.trials()
    except NotStoredError:
        return True
    return any(job not in stored for job in study.jobs())


def _create_trials(study: StoredStudy, inputs: Mapping[str, Any]) -> None:
    if study.config.data.table is not None:
        return  # they are created when they are answered
    for method, seed in study.pairs():
        create_trials(study, method, seed, inputs)


def create_trials(study: StoredStudy, method: str, seed: int, inputs: Mapping[str, Any]) -> None:
    """A (method, seed)'s Optuna study with its trials, waiting, on these `inputs_of`; those that are there are kept."""
    kind, space = method_named(method), study.config.space_of(method)

    def rng(number: int) -> Random:
        return Random(derive(study.config.name, method, seed, number))

    name = study.optuna_name(method, seed)
    stored = optuna.create_study(study_name=name, storage=study.storage, directions=DIRECTIONS, load_if_exists=True)
    there = len(stored.get_trials(deepcopy=False))
    if not there:
        found = {name: value for name, value in inputs.items() if value}
        stored.set_user_attr(SETTINGS, {**settings_of(study.config, method), **found})
        stored.set_user_attr(FOLDER, str(study.folder.resolve()))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            stored.set_metric_names(OBJECTIVES)
    for number in range(there, study.config.methods[method].trials):
        attributes = {"w_scale": study.w_scale(method, number)}
        stored.enqueue_trial(kind.parameters(space, number, rng), user_attrs=attributes)
