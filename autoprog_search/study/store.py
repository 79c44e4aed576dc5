"""A study on disk: its folder, its configuration and its Optuna storage, the source of truth of every result.

Each (method, seed) is one Optuna study whose trials are created, waiting, with the study itself; running one never
changes its number.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

from autoprog_search.errors import StudyError, masked
from autoprog_search.fields import read_fields
from autoprog_search.files import inside, read_yaml
from autoprog_search.methods.registry import method_named
from autoprog_search.settings.retired import stored_study
from autoprog_search.study.artifacts import Artifacts
from autoprog_search.study.config import StudyConfig, check_name
from autoprog_search.study.storage import JOURNAL, holds_secret, open_journal, open_sqlite, open_storage

if TYPE_CHECKING:
    from autoprog_search.study.leases import Leases

ENDED_WELL = ("COMPLETE", "PRUNED")
"""States of trials that ended as their method wanted: trained to the end, or given up for others."""

WEIGHTS_DIGEST = "weights_digest"
"""Of a trial's attributes the one by which `study doctor` tells whether its weights are those that were written."""


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
        should_stop: asked while a server is waited for that is not there when the storage is opened; None: it is not
            waited for.

    Raises:
        StudyError: a copy of a study would share its storage.
    """

    def __init__(
        self,
        folder: Path,
        config: StudyConfig,
        storage: optuna.storages.BaseStorage | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> None:
        self.folder, self.config, self._should_stop = folder, config, should_stop
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
            return open_storage(self.config.storage, self._should_stop)
        if not self.has_database:
            raise StudyError(
                f"study {self.name!r} came without its database, as published studies do; `study run {self.name}` runs "
                "it anew"
            )
        inside(self.folder, self.file)
        return open_journal(self.file) if self.config.data.table is not None else open_sqlite(self.file)

    @property
    def leases(self) -> Leases | None:
        """Of a study on a database server, whose trials are claimed there; None: by file locks in its folder."""
        return getattr(self.storage, "leases", None) if self.config.storage else None

    @cached_property
    def artifacts(self) -> Artifacts | None:
        """The study's files under a URL, where it keeps them there too.

        Raises:
            StudyError: it cannot be opened.
        """
        if not self.config.artifacts:
            return None
        return Artifacts(self.config.artifacts, self.name, self.folder)

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
        for method, seed in self.pairs():
            for trial in range(self.config.methods[method].trials):
                yield Job(method, seed, trial)

    def pairs(self) -> Iterator[tuple[str, int]]:
        """Every (method, seed) of the study, in the order of its methods."""
        for method in self.config.methods:
            for seed in self.config.seeds(method):
                yield method, seed

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
            raise self._not_stored() from None

    def stored_id(self, method: str, seed: int) -> int:
        """The id of a (method, seed)'s Optuna study in the storage, where thousands are read: no `Study` is made.

        Raises:
            NotStoredError: the database is not the one that the study was created with.
        """
        try:
            return self.storage.get_study_id_from_name(self.optuna_name(method, seed))
        except KeyError:
            raise self._not_stored() from None

    def _not_stored(self) -> NotStoredError:
        return NotStoredError(
            f"storage: {self.storage_url} does not hold study {self.config.name!r}; make another one of it: "
            f"study create NAME --config {self.folder / 'study.yaml'}"
        )

    def trial(self, job: Job) -> FrozenTrial:
        """A job's trial as it is stored now."""
        return self.optuna_study(job.method, job.seed).get_trials(deepcopy=False)[job.trial]

    def trials(self) -> dict[Job, FrozenTrial]:
        """Every job's trial as it is stored now."""
        # On a table a (method, seed)'s trials are stored when all of them are answered, and removed if they were not.
        on_table = self.config.data.table is not None
        stored: dict[Job, FrozenTrial] = {}
        for method, seed in self.pairs():
            count = self.config.methods[method].trials
            try:
                trials = self.storage.get_all_trials(self.stored_id(method, seed), deepcopy=False)
            except (NotStoredError, KeyError):
                if not on_table:
                    raise
                trials = []
            waiting = [create_trial(state=TrialState.WAITING)] * (count - len(trials) if on_table else 0)
            stored |= {Job(method, seed, t): trial for t, trial in enumerate([*trials, *waiting][:count])}
        return stored

    def w_scale(self, method: str, trial: int) -> float:
        """The multiple of the exponent w in a trial: a sweep of lengths keeps to the rule's own."""
        return 1.0 if self.config.methods[method].epochs else method_named(method).w_scale(trial)

    def trial_folder(self, job: Job) -> Path:
        """Where a trial's lock, checkpoint and weights lie.

        Raises:
            StudyError: a symbolic link leads out of the study's folder.
        """
        return inside(self.folder, self.folder / "trials" / f"{_file_name(job.method)}-s{job.seed}-t{job.trial}")

    def lock_path(self, job: Job) -> Path:
        """The lock that a worker holds while it runs the trial, or whatever runs it and those beside it as one."""
        if method_named(job.method).host or self.config.data.table is not None:
            return inside(self.folder, self.folder / "trials" / f".{_file_name(job.method)}-s{job.seed}.lock")
        return self.trial_folder(job) / ".lock"


def _file_name(method: str) -> str:
    return method.replace(":", "-")  # Windows allows no colon


def open_study(root: Path, name: str, should_stop: Callable[[], bool] | None = None) -> StoredStudy:
    """A study that was created earlier.

    Args:
        should_stop: as `StoredStudy` takes it.

    Raises:
        StudyError: there is none of that name, or its study.yaml says nothing that can run.
    """
    folder = root / check_name(name)
    path = folder / "study.yaml"
    if not path.exists():
        raise StudyError(f"name: there is no study {name!r} in {root}; `study list` shows what there is")
    config = read_fields(StudyConfig, stored_study(read_yaml(path, StudyError)), str(path))
    if holds_secret(config.storage):
        logging.getLogger("autoprog_search").warning(
            f"{path}: the storage's password stands in it; write ${{NAME}} of an environment variable instead"
        )
    return StoredStudy(folder, config, should_stop=should_stop)


def record_parameters(study: StoredStudy, trial: FrozenTrial, parameters: dict[str, int]) -> None:
    """Store what somebody else than an Optuna sampler chose as a trial's parameters."""
    distributions = study.config.space.distributions()
    for name, level in parameters.items():
        study.storage.set_trial_param(trial._trial_id, name, float(level), distributions[name])


def fail(study: StoredStudy, job: Job, reason: str) -> None:
    """End a trial without a result."""
    trial = study.trial(job)
    study.storage.set_trial_user_attr(trial._trial_id, "error", reason)
    study.storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
