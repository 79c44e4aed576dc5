"""A study on disk: its folder, its configuration and its Optuna storage, the source of truth of every result.

Each (method, seed) is one Optuna study whose trials are created, waiting, with the study itself; running one never
changes its number.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Literal

import optuna
import yaml
from filelock import FileLock
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, TrialState, create_trial

from autoprog_search.errors import StudyError
from autoprog_search.files import read_yaml, write_atomic
from autoprog_search.methods.table import method_named, w_scale_of
from autoprog_search.study.config import StudyConfig, check_name
from autoprog_search.training.randomness import derive
from autoprog_search.training.recipe import validated

if TYPE_CHECKING:
    import pandas as pd

DIRECTIONS: list[Literal["minimize", "maximize"]] = [
    "minimize",
    "maximize",
]  # total FLOPs (training and search), val_top1
ENDED_WELL = ("COMPLETE", "PRUNED")
"""States of trials that ended as their method wanted: trained to the end, or given up for others."""

JOURNAL = "journal:///"


@dataclass(frozen=True, slots=True)
class Job:
    """One trial of a study: which method, which seed, which number."""

    method: str
    seed: int
    trial: int

    def __str__(self) -> str:
        return f"{self.method} seed {self.seed}" + (f" trial {self.trial}" if self.trial else "")


class StoredStudy:
    """A study that exists.

    Args:
        folder: where study.yaml, the database, checkpoints and weights lie.
        config: what study.yaml says.
        storage: another one than study.yaml's.
    """

    def __init__(self, folder: Path, config: StudyConfig, storage: optuna.storages.BaseStorage | None = None) -> None:
        self.folder, self.config = folder, config
        if storage is not None:
            self.storage = storage

    @property
    def storage_url(self) -> str:
        """URL of the Optuna storage; on a table a journal, which takes whole trials 20 times as fast as SQLite."""
        if self.config.data.table is not None:
            return self.config.storage or f"{JOURNAL}{(self.folder / 'study.log').resolve()}"
        return self.config.storage or f"sqlite:///{(self.folder / 'study.db').resolve()}"

    @cached_property
    def storage(self) -> optuna.storages.BaseStorage:
        """The Optuna storage."""
        return open_storage(self.storage_url)

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
            raise StudyError(
                f"storage: {self.storage_url} does not hold study {self.config.name!r}; make another one of it: "
                f"study create NAME --config {self.folder / 'study.yaml'}"
            ) from None

    def trials(self) -> dict[Job, FrozenTrial]:
        """Every job's trial as it is stored now."""
        # On a table a (method, seed)'s trials are stored when all of them are answered.
        on_table = self.config.data.table is not None
        known = set(optuna.get_all_study_names(self.storage)) if on_table else set()
        stored: dict[Job, FrozenTrial] = {}
        for method, plan in self.config.methods.items():
            for seed in self.config.seeds(method):
                there = not on_table or self.optuna_name(method, seed) in known
                trials = self.optuna_study(method, seed).get_trials(deepcopy=False) if there else []
                waiting = [create_trial(state=TrialState.WAITING)] * (plan.trials - len(trials) if on_table else 0)
                stored |= {Job(method, seed, t): trial for t, trial in enumerate([*trials, *waiting][: plan.trials])}
        return stored

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
        """Where a trial's lock, checkpoint and weights lie."""
        return self.folder / "trials" / f"{_file_name(job.method)}-s{job.seed}-t{job.trial}"

    def lock_path(self, job: Job) -> Path:
        """The lock that a worker holds while it runs the trial, or whatever runs it and those beside it as one."""
        if method_named(job.method).hosted or self.config.data.table is not None:
            return self.folder / "trials" / f".{_file_name(job.method)}-s{job.seed}.lock"
        return self.trial_folder(job) / ".lock"


def _file_name(method: str) -> str:
    return method.replace(":", "-")  # Windows allows no colon


def open_storage(url: str) -> optuna.storages.BaseStorage:
    """An Optuna storage by URL.

    Raises:
        StudyError: it cannot be opened.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        if url.startswith("sqlite"):
            # Several workers write: wait for the file's lock instead of failing.
            return optuna.storages.RDBStorage(url, engine_kwargs={"connect_args": {"timeout": 60}})
        if url.startswith(JOURNAL):
            path = url.removeprefix(JOURNAL)
            return JournalStorage(JournalFileBackend(path, lock_obj=JournalFileOpenLock(path)))
        return optuna.storages.get_storage(url)
    except Exception as error:  # noqa: BLE001 - whatever the database's driver raises
        raise StudyError(f"storage: {url!r} cannot be opened: {' '.join(str(error).split())[:200]}") from None


def create_study(root: Path, config: StudyConfig, *, skip_if_exists: bool = False) -> StoredStudy:
    """Write a study's configuration and all of its trials, waiting. Interrupted, it can be called again.

    Raises:
        StudyError: it exists, or its folder cannot be written.
    """
    folder = root / check_name(config.name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(13, "permission denied")
    except OSError as error:
        raise StudyError(f"{folder}: cannot be written: {str(error.strerror).lower()}") from None
    with FileLock(folder / ".create.lock"):
        if (folder / "study.yaml").exists():
            if not skip_if_exists:
                raise StudyError(f"name: study {config.name!r} exists already in {root}; run it, or delete it first")
            return open_study(root, config.name)
        study = StoredStudy(folder, config)
        _create_trials(study)
        text = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)
        write_atomic(folder / "study.yaml", text.encode())  # last: a study with this file is whole
    return study


def complete_study(study: StoredStudy) -> None:
    """Create the trials that a study's own database lacks: all, where it came without one, as published studies do."""
    if not study.config.storage:
        with FileLock(study.folder / ".create.lock"):
            _create_trials(study)


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
    for number in range(len(stored.get_trials(deepcopy=False)), count):
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
        StudyError: there is none of that name.
    """
    folder = root / check_name(name)
    path = folder / "study.yaml"
    if not path.exists():
        raise StudyError(f"name: there is no study {name!r} in {root}; `study list` shows what there is")
    data = read_yaml(path, StudyError)
    return StoredStudy(folder, validated(StudyConfig, data, str(path)))


def list_studies(root: Path) -> list[str]:
    """Names of the studies in a folder."""
    return sorted(path.parent.name for path in root.glob("*/study.yaml"))


def delete_study(study: StoredStudy) -> None:
    """Remove a study: its Optuna studies, checkpoints, weights and folder."""
    known = {summary.study_name for summary in optuna.get_all_study_summaries(study.storage)}
    for method in study.config.methods:
        for seed in study.config.seeds(method):
            if study.optuna_name(method, seed) in known:
                optuna.delete_study(study_name=study.optuna_name(method, seed), storage=study.storage)
    shutil.rmtree(study.folder)
