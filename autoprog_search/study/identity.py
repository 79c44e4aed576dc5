"""What decides a study's results, and whether study.yaml still says so.

When trials are created, their settings and the fingerprint of their data are stored with them. A study.yaml that was
edited afterwards is refused, data that are others too, and a result always bears the hash of what it ran under. Each
version of the hash goes on for the results that bear it: 1, the same for all methods, of studies without settings in
their storage, which are checked against exported results; 2, under the growth settings' names of before; 3.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any, NoReturn

from autoprog_search.errors import StudyError
from autoprog_search.methods.registry import method_named
from autoprog_search.settings.recipe import HOW_FAST
from autoprog_search.settings.retired import as_it_was, renamed, space_as_it_was, space_renamed, with_retired
from autoprog_search.study.config import StudyConfig
from autoprog_search.study.scheduling import followed
from autoprog_search.study.store import Job, NotStoredError, StoredStudy

VERSION = 3
SETTINGS, FOLDER = "settings", "folder"
"""Attributes of an Optuna study: what its trials run under; where the study lies whose they are."""

FINGERPRINT, FILES = "fingerprint", "files"
"""Of the settings: what the data are, and the files of weights that trials read."""

DRAWS = ("name", "trials", "cost_lambda")
"""Settings that decide which schedules are tried, and no schedule's result."""


def settings_of(config: StudyConfig, method: str) -> dict[str, Any]:
    """All that decides the results of a method's trials, as JSON values: what the data are, not where they lie.

    The number of seeds is left out, as seeds do not know of each other, and so is the number of trials where no trial
    depends on it.
    """
    plan = config.methods[method]
    leader = followed(Job(method, config.first_seed, 0))
    space, growth = config.space_of(method), config.growth_of(method)
    settings: dict[str, Any] = {
        "version": VERSION,
        "name": config.name,  # random numbers of samplers and draws follow from it
        "space": space.decisive,
        "data": config.data.model_dump(include=config.data.decisive),
        "recipe": config.recipe.model_dump(exclude=HOW_FAST),
        "growth": with_retired(growth.decisive(space), config.retired.get(method, {})),
        "threads": config.threads,
        "epochs": plan.epochs,
    }
    settings |= method_named(method).settings_that_matter(plan.trials, config.nni.cost_lambda)
    if leader is not None and leader.method in config.methods:  # whose schedule or whose cost it takes
        followed_settings = settings_of(config, leader.method).items()
        settings["follows"] = {name: value for name, value in followed_settings if name not in (*DRAWS, "version")}
    plain: dict[str, Any] = json.loads(json.dumps(settings))
    return plain


def hash_of(settings: Mapping[str, Any]) -> str:
    """The version of the rule, and twelve hex digits that change when anything does that decides a schedule's result.

    Which schedules are tried depends on more (`DRAWS`). Stored settings of before keep their version and its names.
    """
    decisive = {name: value for name, value in settings.items() if name not in DRAWS}
    return f"{settings['version']}:{_digest(decisive)}"


def study_hash(config: StudyConfig) -> str:
    """Of all of a study's methods together, whatever data it finds."""
    return f"{VERSION}:{_digest(sorted({hash_of(settings_of(config, method)) for method in config.methods}))}"


def first_hash(config: StudyConfig) -> str:
    """Version 1: the same for all methods, their own growth settings, spaces and lengths left out."""
    decisive = config.model_dump(mode="json", include={"space", "data", "recipe", "growth", "threads"})
    decisive["space"] = space_as_it_was(config.space.decisive)
    decisive["growth"] = as_it_was(config.growth.decisive(config.space))
    decisive["data"] = config.data.model_dump(include={"name", "root"} | config.data.decisive)
    decisive["recipe"] = config.recipe.model_dump(mode="json", exclude=HOW_FAST)
    return _digest(decisive)


def _digest(plain: Any) -> str:
    return blake2b(json.dumps(plain, sort_keys=True).encode(), digest_size=6).hexdigest()


def stored_hashes(study: StoredStudy) -> dict[tuple[str, int], str | None]:
    """The hash of what each (method, seed)'s trials run under.

    Version 1's where no settings were stored with them, None where they are not created yet.
    """
    first = first_hash(study.config)
    found = {pair: hash_of(settings) if settings else first for pair, settings in _stored(study)}
    return {pair: found.get(pair) for pair in study.pairs()}


def stored_inputs(study: StoredStudy) -> list[dict[str, Any]]:
    """What the data (`FINGERPRINT`) and files (`FILES`) of the study's trials were when they were created.

    The same for all, or else something is wrong.
    """
    found: list[dict[str, Any]] = []
    for _, settings in _stored(study):
        inputs = {name: settings[name] for name in (FINGERPRINT, FILES) if name in settings}
        if inputs and inputs not in found:
            found.append(inputs)
    return found


def check_unchanged(study: StoredStudy) -> None:
    """Whether study.yaml still says what the trials were created under.

    Raises:
        StudyError: it does not.
    """
    if study.has_database:
        for kept in study.storage.get_all_studies():
            name, *others = kept.study_name.split("/")
            if len(others) != 2:
                continue  # none of ours: somebody's own Optuna study
            if not study.config.storage and name != study.config.name:  # all that is stored there is this study's
                _refuse(study, f"name was {name!r}, is {study.config.name!r}")
            if study.config.storage and name == study.config.name:
                _check_folder(study, kept.user_attrs.get(FOLDER))
    now = {method: settings_of(study.config, method) for method in study.config.methods}
    for (method, seed), settings in _stored(study):
        if not settings:
            _check_exported(study)
            continue
        stored = {name: value for name, value in settings.items() if name not in (FINGERPRINT, FILES)}
        stored["space"] = space_renamed(stored["space"])
        ours = now[method]
        if stored["version"] < VERSION:  # as this one would have stored it
            stored |= {"version": VERSION, "growth": renamed(stored["growth"])}
            ours = {name: value for name, value in ours.items() if name != "follows"}
        if stored != ours:
            _refuse(study, f"{_difference(stored, ours)} (trials of {method} seed {seed})")


def _refuse(study: StoredStudy, what: str) -> NoReturn:
    path = study.folder / "study.yaml"
    raise StudyError(
        f"{path} was changed after its trials were created: {what}. Undo that, or make another study of it: "
        f"study create NAME --config {path}"
    )


def _check_folder(study: StoredStudy, folder: str | None) -> None:
    """Whether the trials in a storage elsewhere are this folder's: another's locks would not keep them from us.

    On a database server they may be several folders', since leases do.
    """
    if (
        study.leases is None
        and folder is not None
        and folder != str(study.folder.resolve())
        and (Path(folder) / "study.yaml").exists()
    ):
        raise StudyError(
            f"storage: the trials of study {study.config.name!r} there are those of {folder}; run that, or make "
            f"another study: study create NAME --config {study.folder / 'study.yaml'}"
        )


def _check_exported(study: StoredStudy) -> None:
    """Of a study of version 1."""
    path = study.folder / "results.csv"
    try:
        with path.open(newline="") as file:
            exported = {row.get("config_hash") for row in csv.DictReader(file)} - {None, ""}
    except FileNotFoundError:
        return
    except (OSError, ValueError, csv.Error) as error:
        raise StudyError(f"{path} cannot be read: {error}; remove it, `study export` writes it again") from None
    now = first_hash(study.config)
    if exported - {now}:
        raise StudyError(
            f"{study.folder / 'study.yaml'} says other settings (hash {now}) than {path} ({', '.join(sorted(exported))}"  # type: ignore[arg-type]
            "): it was changed, or is of an earlier version. Make another study of it: study create NAME --config "
            f"{study.folder / 'study.yaml'}"
        )


def _stored(study: StoredStudy) -> Iterator[tuple[tuple[str, int], dict[str, Any]]]:
    """The settings of every (method, seed) that the storage has; empty where none were stored."""
    if not study.has_database:
        return
    for method, seed in study.pairs():
        try:  # one by one: `get_all_studies` copies all that is in them, which takes as long as reading the file
            attributes = study.storage.get_study_user_attrs(study.stored_id(method, seed))
        except (NotStoredError, KeyError):  # not created yet, or removed a moment ago
            continue
        yield (method, seed), attributes.get(SETTINGS, {})


def _difference(before: Any, after: Any, where: str = "") -> str:
    """The first field that differs, with both values."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name in dict.fromkeys((*before, *after)):
            if before.get(name) != after.get(name):
                return _difference(before.get(name), after.get(name), f"{where}.{name}" if where else name)
    return f"{where} was {_short(before)}, is {_short(after)}"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
