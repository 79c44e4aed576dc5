"""A study on disk: its folder, its configuration and its Optuna storage, the source of truth of every result.

Each (method, seed) is one Optuna study whose trials are created, waiting, with the study itself; running one never
changes its number.
"""

from __future__ import annotations

import logging
import os
import shutil
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Literal
from uuid import uuid4

import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

from autoprog_search.errors import StudyError, masked
from autoprog_search.faults import known_error
from autoprog_search.fields import read_fields
from autoprog_search.files import inside, read_yaml, sweep, write_atomic
from autoprog_search.methods.registry import method_named, w_scale_of
from autoprog_search.randomness import derive
from autoprog_search.study.config import StudyConfig, check_name
from autoprog_search.study.identity import (
    FILES,
    FINGERPRINT,
    FOLDER,
    SETTINGS,
    check_unchanged,
    settings_of,
    stored_hashes,
)
from autoprog_search.study.locking import GATE, at_gate, locked, out_of_use
from autoprog_search.study.opening import check_inputs
from autoprog_search.study.storage import (
    JOURNAL,
    checked_url,
    holds_secret,
    open_journal,
    open_sqlite,
    open_storage,
)
from autoprog_search.tables.table import table_files
from autoprog_search.values import dump_yaml

if TYPE_CHECKING:
    import pandas as pd

DIRECTIONS: list[Literal["minimize", "maximize"]] = ["minimize", "maximize"]
FILES_OF_A_STUDY = [f"{name}.{suffix}" for name in ("results", "curves", "estimates") for suffix in ("csv", "parquet")]
OBJECTIVES = ["total_flops", "val_top1"]  # training and search; of validation
ENDED_WELL = ("COMPLETE", "PRUNED")
"""States of trials that ended as their method wanted: trained to the end, or given up for others."""


@dataclass(frozen=True, slots=True)
class Job:
    """One trial of a study: which method, which seed, which number."""

    method: str
    seed: int
    trial: int

    def __str__(self) -> str:
        return f"{self.method} seed {self.seed}" + (f" trial {self.trial}" if self.trial else "")


class NotStoredError(StudyError):
    """A storage that does not hold what it should."""


class StoredStudy:
    """A study that exists. Its folder decides which it is: a folder that was copied or renamed is another study.

    Args:
        folder: where study.yaml, the database, checkpoints and weights lie.
        config: what study.yaml says.
        storage: another one than study.yaml's.

    Raises:
        StudyError: a copy of a study would share its storage.
    """

    def __init__(self, folder: Path, config: StudyConfig, storage: optuna.storages.BaseStorage | None = None) -> None:
        self.folder, self.config = folder, config
        if storage is not None:
            self.storage = storage
        if config.storage and self.name != config.name:
            raise StudyError(
                f"{folder}: its study.yaml names {config.name!r}, whose trials lie in {masked(config.storage)}; "
                f"make another study of a copy: study create NAME --config {folder / 'study.yaml'}"
            )

    @property
    def name(self) -> str:
        """The study's name, which is its folder's. `config.name`, which random draws follow from, is its first one."""
        return self.folder.resolve().name

    @property
    def storage_url(self) -> str:
        """URL of the Optuna storage, without secrets: study.yaml's, else a file in the study's folder."""
        if self.config.storage:
            return masked(self.config.storage)
        return f"{JOURNAL if self.config.data.table is not None else 'sqlite:///'}{self.file}"

    @cached_property
    def storage(self) -> optuna.storages.BaseStorage:
        """The Optuna storage.

        Raises:
            StudyError: it cannot be opened, or the study came without one.
        """
        if self.config.storage:
            return open_storage(self.config.storage)
        if not self.has_database:
            raise StudyError(
                f"study {self.name!r} came without its database, as published studies do; `study run {self.name}` runs "
                "it anew"
            )
        inside(self.folder, self.file)
        return open_journal(self.file) if self.config.data.table is not None else open_sqlite(self.file)

    @property
    def has_database(self) -> bool:
        """Whether its storage is there, or yet to be made: a table's study begins without, one under creation too."""
        made_when_needed = self.config.data.table is not None or not (self.folder / "study.yaml").exists()
        return bool(self.config.storage) or (made_when_needed and self.folder.is_dir()) or self.file.exists()

    @property
    def file(self) -> Path:
        """Of the storage, where it lies in the study's folder."""
        return self.folder.resolve() / ("study.log" if self.config.data.table is not None else "study.db")

    def jobs(self) -> Iterator[Job]:
        """Every trial of the study, in the order of its methods."""
        for method, plan in self.config.methods.items():
            for seed in self.config.seeds(method):
                for trial in range(plan.trials):
                    yield Job(method, seed, trial)

    def optuna_name(self, method: str, seed: int) -> str:
        """Name of a (method, seed)'s Optuna study; methods share it with no other."""
        return f"{self.config.name}/{method}/s{seed}"

    def optuna_study(self, method: str, seed: int) -> optuna.Study:
        """The Optuna study of a (method, seed).

        Raises:
            StudyError: the database is not the one that the study was created with.
        """
        try:
            return optuna.load_study(study_name=self.optuna_name(method, seed), storage=self.storage)
        except KeyError:
            raise NotStoredError(
                f"storage: {self.storage_url} does not hold study {self.config.name!r}; make another one of it: "
                f"study create NAME --config {self.folder / 'study.yaml'}"
            ) from None

    def trials(self) -> dict[Job, FrozenTrial]:
        """Every job's trial as it is stored now."""
        # On a table a (method, seed)'s trials are stored when all of them are answered, and removed if they were not.
        on_table = self.config.data.table is not None
        stored: dict[Job, FrozenTrial] = {}
        for method, plan in self.config.methods.items():
            for seed in self.config.seeds(method):
                try:
                    trials = self.optuna_study(method, seed).get_trials(deepcopy=False)
                except (NotStoredError, KeyError):
                    if not on_table:
                        raise
                    trials = []
                waiting = [create_trial(state=TrialState.WAITING)] * (plan.trials - len(trials) if on_table else 0)
                stored |= {Job(method, seed, t): trial for t, trial in enumerate([*trials, *waiting][: plan.trials])}
        return stored

    @cached_property
    def inputs(self) -> dict[str, Any]:
        """What the data are now (`FINGERPRINT`), and the files of weights that trials read (`FILES`), as plain values.

        Raises:
            DataError: something is not there, or cannot be read.
        """
        from autoprog_search.data.fingerprint import fingerprint_of, table_fingerprint, weights_fingerprints

        data = self.config.data
        if data.table is not None:
            found = table_fingerprint(table_files(data.table))
        else:
            found = fingerprint_of(data, sizes=True)
        return {FINGERPRINT: found.to_dict(), FILES: weights_fingerprints(self.config.recipe)}

    def hashes(self) -> dict[tuple[str, int], str | None]:
        """The hash of what each (method, seed)'s trials run under, None where they are not created yet."""
        return stored_hashes(self)

    def results(self) -> pd.DataFrame:
        """One row a trial, finished or not (`study.results.trials_frame`)."""
        from autoprog_search.study.results import trials_frame

        return trials_frame(self)

    def curves(self) -> pd.DataFrame:
        """One row a (trial, epoch) (`study.results.curves_frame`)."""
        from autoprog_search.study.results import curves_frame

        return curves_frame(self)

    def estimates(self) -> pd.DataFrame:
        """One row a (trial, stage, candidate) (`study.results.estimates_frame`)."""
        from autoprog_search.study.results import estimates_frame

        return estimates_frame(self)

    def w_scale(self, method: str, trial: int) -> float:
        """The multiple of the exponent w in a trial: a sweep of lengths keeps to the rule's own."""
        info = method_named(method)
        several = info.searches_inside and info.paths is None and not self.config.methods[method].epochs
        return w_scale_of(trial) if several else 1.0

    def trial_folder(self, job: Job) -> Path:
        """Where a trial's lock, checkpoint and weights lie.

        Raises:
            StudyError: a symbolic link leads out of the study's folder.
        """
        return inside(self.folder, self.folder / "trials" / f"{_file_name(job.method)}-s{job.seed}-t{job.trial}")

    def lock_path(self, job: Job) -> Path:
        """The lock that a worker holds while it runs the trial, or whatever runs it and those beside it as one."""
        if method_named(job.method).hosted or self.config.data.table is not None:
            return inside(self.folder, self.folder / "trials" / f".{_file_name(job.method)}-s{job.seed}.lock")
        return self.trial_folder(job) / ".lock"


def _file_name(method: str) -> str:
    return method.replace(":", "-")  # Windows allows no colon


def create_study(root: Path, config: StudyConfig, *, skip_if_exists: bool = False) -> StoredStudy:
    """Write a study's configuration and all of its trials, waiting. Interrupted, it can be called again.

    Raises:
        StudyError: it exists, its folder cannot be written, or its storage cannot be kept.
        DataError: there are no such data.
    """
    folder = root / check_name(config.name)
    config = config.model_copy(update={"storage": checked_url(config.storage)})
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
        study.inputs  # noqa: B018 - data that are not there are said before anything is stored
        _drop_first_try(study)
        _create_trials(study)
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
        if len(names) < len(stored) or not all(_is_untouched(one) for one in tries):
            raise
        for name in names:
            optuna.delete_study(study_name=name, storage=study.storage)


def _is_untouched(stored: optuna.Study) -> bool:
    return all(trial.state == TrialState.WAITING for trial in stored.get_trials(deepcopy=False))


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
            check_inputs(study, study.inputs)
            _create_trials(study)


def _lacks_trials(study: StoredStudy) -> bool:
    try:
        stored = study.trials()
    except NotStoredError:
        return True
    return any(job not in stored for job in study.jobs())


def _create_trials(study: StoredStudy) -> None:
    if study.config.data.table is not None:
        return  # they are created when they are answered
    for method, plan in study.config.methods.items():
        for seed in study.config.seeds(method):
            create_trials(study, method, seed, plan.trials)


def create_trials(study: StoredStudy, method: str, seed: int, count: int) -> None:
    """A (method, seed)'s Optuna study with its trials, waiting; those that are there are kept."""
    info, space = method_named(method), study.config.space_of(method)

    def rng(number: int) -> Random:
        return Random(derive(study.config.name, method, seed, number))

    name = study.optuna_name(method, seed)
    stored = optuna.create_study(study_name=name, storage=study.storage, directions=DIRECTIONS, load_if_exists=True)
    there = len(stored.get_trials(deepcopy=False))
    if not there:
        inputs = {name: value for name, value in study.inputs.items() if value}
        stored.set_user_attr(SETTINGS, {**settings_of(study.config, method), **inputs})
        stored.set_user_attr(FOLDER, str(study.folder.resolve()))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            stored.set_metric_names(OBJECTIVES)
    for number in range(there, count):
        params: dict[str, int] = {}
        if info.draw is not None:
            params = info.draw(space, number, rng)
        attributes = {"w_scale": study.w_scale(method, number)}
        stored.enqueue_trial(params, user_attrs=attributes)


def record_parameters(study: StoredStudy, trial: FrozenTrial, parameters: dict[str, int]) -> None:
    """Store what somebody else than an Optuna sampler chose as a trial's parameters."""
    distributions = study.config.space.distributions()
    for name, level in parameters.items():
        study.storage.set_trial_param(trial._trial_id, name, float(level), distributions[name])


def fail(study: StoredStudy, job: Job, reason: str) -> None:
    """End a trial without a result."""
    stored = study.optuna_study(job.method, job.seed)
    trial = stored.get_trials(deepcopy=False)[job.trial]
    study.storage.set_trial_user_attr(trial._trial_id, "error", reason)
    study.storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)


def open_study(root: Path, name: str) -> StoredStudy:
    """A study that was created earlier.

    Raises:
        StudyError: there is none of that name, or its study.yaml says nothing that can run.
    """
    folder = root / check_name(name)
    path = folder / "study.yaml"
    if not path.exists():
        raise StudyError(f"name: there is no study {name!r} in {root}; `study list` shows what there is")
    config = read_fields(StudyConfig, read_yaml(path, StudyError), str(path))
    if holds_secret(config.storage):
        logging.getLogger("autoprog_search").warning(
            f"{path}: the storage's password stands in it; write ${{NAME}} of an environment variable instead"
        )
    return StoredStudy(folder, config)


def list_studies(root: Path) -> list[str]:
    """Names of the studies in a folder."""
    found = (path.parent.name for path in root.glob("*/study.yaml"))
    return sorted(name for name in found if not name.startswith("."))


def delete_study(study: StoredStudy) -> None:
    """Remove a study: its Optuna studies, checkpoints, weights and folder.

    Its folder goes whatever happens: of a storage elsewhere that does not answer, what stays there is said.

    Raises:
        StudyError: somebody runs it, or a file cannot be removed.
    """
    with out_of_use(study.folder):
        if study.config.storage:
            try:
                _delete_stored(study)
            except Exception as error:  # a way to get rid of a study must not depend on what is broken about it
                reason = known_error(error)
                if reason is None:
                    raise
                logging.getLogger("autoprog_search").warning(f"its trials stay where they are stored: {reason}")
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


def _delete_stored(study: StoredStudy) -> None:
    for stored in study.storage.get_all_studies():
        ours = stored.study_name.startswith(f"{study.config.name}/")
        if ours and stored.user_attrs.get(FOLDER) in (None, str(study.folder.resolve())):
            optuna.delete_study(study_name=stored.study_name, storage=study.storage)


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
