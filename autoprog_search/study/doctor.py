"""What is wrong with a study on disk, and mending what can be mended: `study doctor`.

Each check looks at one kind of thing and tells what it finds. To mend is to remove what nobody reads any more, to set
aside what cannot be read, or to write again what can be made from the storage: never to touch a result.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from filelock import Timeout

from autoprog_search.errors import ConfigError, StudyError, masked, one_line
from autoprog_search.faults import known_error
from autoprog_search.files import CHECKPOINT, TEMPORARY, WEIGHTS, file_lock
from autoprog_search.study.artifacts import VERSION, Artifacts, digest
from autoprog_search.study.claims import held_elsewhere
from autoprog_search.study.identity import check_unchanged
from autoprog_search.study.locking import RUNNING, out_of_use
from autoprog_search.study.results import csv_text, trials_frame, write_tables
from autoprog_search.study.storage import MAKE_AGAIN
from autoprog_search.study.store import WEIGHTS_DIGEST, Job, StoredStudy

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

Trials: TypeAlias = "Mapping[Job, FrozenTrial]"
LOST = "lost"
"""Folder of a study, and under its URL of files, for what belongs to none of its trials or cannot be read."""

PART = "a part of a file, of a process that was killed"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be.

    Attributes:
        what: the file or the trial, and what is the matter with it.
        advice: what to do about it.
        mend: does it; None: that is left to whoever reads the advice.
    """

    what: str
    advice: str
    mend: Callable[[], object] | None = None


def examine(study: StoredStudy) -> list[Finding]:
    """All that is found, the storage first. Nothing is written; the study may be running meanwhile."""
    running = any(not _is_free(path) for path in (study.folder / RUNNING).glob("*.lock"))
    files = [] if running else list(_half_written(study))  # else somebody may be writing them right now
    problem = _storage_problem(study)
    if problem is not None:
        return [problem, *files]  # what its trials are, nobody can tell
    trials, elsewhere = study.trials(), held_elsewhere(study)
    unfinished = [job for job, trial in trials.items() if not trial.state.is_finished()]
    idle = {job for job in unfinished if (lock := study.lock_path(job)) not in elsewhere and _is_free(lock)}
    on_table = study.config.data.table is not None
    copies = [] if on_table else _copies(study, trials, running or bool(elsewhere))
    trained = [] if on_table else [*_weights(study, trials), *_checkpoints(study, trials, idle)]
    tables = [] if running else _tables(study, trials)
    here = [*_strangers(study), *trained, *_profile(study), *files, *tables]
    return [*_interrupted(study, trials, idle), *copies, *here]


def repair(study: StoredStudy) -> list[Finding]:
    """Mend what can be mended.

    Returns:
        What was found before.

    Raises:
        StudyError: somebody runs the study.
    """
    found = examine(study)
    with out_of_use(study.folder):
        for finding in found:
            if finding.mend is not None:
                finding.mend()
    return found


def _storage_problem(study: StoredStudy) -> Finding | None:
    """Why its trials cannot be read, or are not those of study.yaml."""
    if not study.has_database:
        return Finding("its storage is not there, as of published studies", f"`study run {study.name}` runs it anew")
    try:
        if study.file.exists() and (damage := _damage(study.file)) is not None:
            return Finding(f"{study.file.name}: {damage}", f"put a copy of it back; else {MAKE_AGAIN}")
        check_unchanged(study)
        study.trials()
    except Exception as error:
        known = known_error(error)
        if known is None:
            raise
        return Finding(f"its storage, {study.storage_url}", str(known))
    return None


def _damage(file: Path) -> str | None:
    """What SQLite itself says of a database's pages; a journal is read line by line anyway."""
    if file.suffix != ".db":
        return None
    with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as database:
        said = str(database.execute("PRAGMA quick_check(1)").fetchone()[0])
    return None if said == "ok" else one_line(said)


def _interrupted(study: StoredStudy, trials: Trials, idle: Set[Job]) -> Iterator[Finding]:
    """Trials that have begun, and that nobody runs, on any machine that shares the study."""
    for job, trial in trials.items():
        begun = trial.state.name == "RUNNING" or (study.trial_folder(job) / CHECKPOINT).exists()
        if begun and job in idle:
            yield Finding(f"{job}: begun, and nobody runs it", f"`study run {study.name}` goes on from its checkpoint")


def _is_free(lock: Path) -> bool:
    if not lock.exists():
        return True
    try:
        with file_lock(lock).acquire(timeout=0):
            return True
    except Timeout:
        return False


def _strangers(study: StoredStudy) -> Iterator[Finding]:
    """Folders of trials that the study does not have."""
    ours = {study.trial_folder(job).name for job in study.jobs()}
    for folder in sorted(study.folder.glob("trials/*")):
        if folder.is_dir() and folder.name not in ours and not folder.name.startswith("."):
            what = f"trials/{folder.name}: of no trial of study.yaml"
            yield Finding(what, f"is moved to {LOST}/, from where you may remove it", partial(_lose, study, folder))


def _lose(study: StoredStudy, folder: Path) -> None:
    lost = study.folder / LOST
    lost.mkdir(exist_ok=True)
    folder.rename(lost / folder.name)


def _copies(study: StoredStudy, trials: Trials, running: bool) -> list[Finding]:
    """What is the matter with the copies under the study's URL, each of which is read."""
    try:
        if (artifacts := study.artifacts) is None:
            return []
        names = [name for name in artifacts.names() if not name.startswith(f"{LOST}/")]
        lost = _lost_copies(study, artifacts, names)
        ours = [name for name in names if name.rpartition("/")[0] not in lost]
        return [*lost.values(), *_damaged_copies(study, artifacts, ours, trials, running)]
    except StudyError as error:
        return [Finding(f"its files under {masked(study.config.artifacts)}", str(error))]


def _lost_copies(study: StoredStudy, artifacts: Artifacts, names: list[str]) -> dict[str, Finding]:
    """Copies of trials that the study does not have, by their folder there."""
    ours, strange = {"", *map(partial(_folder_of, study), study.jobs())}, dict[str, list[str]]()
    for name in names:
        if (folder := name.rpartition("/")[0]) not in ours:
            strange.setdefault(folder, []).append(name)
    stored = _stored_folders(study) if strange else set()
    found = {}
    for folder, within in sorted(strange.items()):
        if folder.rpartition("-t")[0] in stored:
            continue
        advice = f"is moved to {LOST}/ there, from where you may remove it"
        mend = partial(_set_aside, artifacts, within)
        found[folder] = Finding(f"artifacts: {folder}: of no trial of the study", advice, mend)
    return found


def _stored_folders(study: StoredStudy) -> set[str]:
    """Trials' folders, less their numbers, by the storage: other machines may run more methods and seeds than ours."""
    beginning = f"{study.config.name}/"
    names = [stored.study_name for stored in study.storage.get_all_studies()]
    pairs = [name.removeprefix(beginning).rpartition("/s") for name in names if name.startswith(beginning)]
    ours = [(method, int(seed)) for method, _, seed in pairs if method and seed.isdecimal()]  # a database has others
    return {_folder_of(study, Job(method, seed, 0)).rpartition("-t")[0] for method, seed in ours}


def _damaged_copies(
    study: StoredStudy, artifacts: Artifacts, names: list[str], trials: Trials, running: bool
) -> Iterator[Finding]:
    """Copies that are not what was written, or that nobody reads any more, or that are not there."""
    under_way = {(job.method, job.seed) for job, trial in trials.items() if not trial.state.is_finished()}
    ended = {_folder_of(study, job) for job in trials if (job.method, job.seed) not in under_way}
    whole: dict[str, dict[str, str]] = {}  # by folder: the digest of each copy of weights, the oldest first
    for name in names:
        (folder, _, file), remove = name.rpartition("/"), partial(artifacts.discard, name)
        version = VERSION.fullmatch(file)
        if version is None:
            if not running:  # else somebody may be writing it right now
                yield Finding(f"artifacts: {name}: {PART}", "is removed", remove)
        elif not artifacts.is_whole(name, version[3]):
            what = f"artifacts: {name} is damaged: its content has another digest"
            yield Finding(what, f"is moved to {LOST}/ there", partial(artifacts.set_aside, name, LOST))
        elif version[4] == WEIGHTS:
            whole.setdefault(folder, {})[name] = version[3]
        elif folder in ended:
            yield Finding(f"artifacts: {name}: of a trial that has ended", "is removed", remove)
    for job, trial in trials.items():
        if trial.state.name == "COMPLETE":
            yield from _copied_weights(study, artifacts, whole.get(_folder_of(study, job), {}), job, trial)


def _copied_weights(
    study: StoredStudy, artifacts: Artifacts, whole: dict[str, str], job: Job, trial: FrozenTrial
) -> Iterator[Finding]:
    """Whether the newest whole copy of a trial's weights is that of which its row tells."""
    others = list(takewhile(lambda name: not _is_stored(whole[name], trial), reversed(whole)))
    for name in others:  # whoever looks for the newest would get it
        what = f"artifacts: {name}: of another attempt than the trial's row"
        yield Finding(what, f"is moved to {LOST}/ there", partial(artifacts.set_aside, name, LOST))
    if len(others) == len(whole):
        path = study.trial_folder(job) / WEIGHTS
        put = None if _spoilt(path, trial) else partial(artifacts.keep, path)
        advice = "is put there again" if put else "a machine that has them whole puts them there, by --repair"
        yield Finding(f"{job}: {WEIGHTS}: artifacts have no whole copy", advice, put)


def _is_stored(found: str, trial: FrozenTrial) -> bool:
    """Whether weights of that digest are those of which the trial's row tells; rows of before do not."""
    return bool(trial.user_attrs.get(WEIGHTS_DIGEST, found) == found)


def _folder_of(study: StoredStudy, job: Job) -> str:
    """A trial's, from the study's own."""
    return study.trial_folder(job).relative_to(study.folder).as_posix()


def _set_aside(artifacts: Artifacts, names: list[str]) -> None:
    for name in names:
        artifacts.set_aside(name, LOST)


def _weights(study: StoredStudy, trials: Trials) -> Iterator[Finding]:
    """Weights of trials that were trained to the end, which have to be there; of a shared study, on some machine."""
    for job, trial in trials.items():
        path = study.trial_folder(job) / WEIGHTS
        elsewhere = study.leases is not None and not path.exists()  # where they were trained
        problem = _spoilt(path, trial) if trial.state.name == "COMPLETE" and not elsewhere else None
        if problem is not None:
            yield Finding(f"{job}: {WEIGHTS} {problem}", *_whole_weights(study, path, trial))


def _whole_weights(study: StoredStudy, path: Path, trial: FrozenTrial) -> tuple[str, Callable[[], object] | None]:
    """What to do about weights that are not whole here."""
    artifacts, wanted = study.artifacts, trial.user_attrs.get(WEIGHTS_DIGEST)
    with suppress(StudyError):  # which is a finding of its own
        if artifacts is not None and artifacts.read(path, wanted) is not None:
            return "is fetched from the artifacts", partial(artifacts.fetch, path, wanted)
    if study.leases is not None:
        return "a machine that took the trial up may have them whole; its row is", None
    return "its row is whole; only a study of its own trains the weights again", None


def _spoilt(path: Path, trial: FrozenTrial) -> str | None:
    """What is the matter with a trial's weights; trials of before have no digest of theirs."""
    from safetensors import SafetensorError, safe_open

    if not path.exists():
        return "is not there"
    try:
        with safe_open(path, framework="numpy"):  # compares the header with the file's size
            pass
        if not _is_stored(digest(path.read_bytes()), trial):
            return "is not what the trial has stored: its content has another digest"
    except (SafetensorError, OSError) as error:
        return f"cannot be read: {one_line(str(error))[:80]}"
    return None


def _checkpoints(study: StoredStudy, trials: Trials, idle: Set[Job]) -> Iterator[Finding]:
    """Checkpoints that nobody goes on from, or nobody can."""
    for job, trial in trials.items():
        for path in sorted(study.trial_folder(job).glob(f"{CHECKPOINT}*")):
            if trial.state.is_finished():
                yield _to_remove(f"{job}: {path.name} of a trial that has ended", path)
            elif path.name.endswith(".damaged"):
                yield _to_remove(f"{job}: {path.name}, set aside by a run", path)
            elif job in idle and (problem := _damaged(path)) is not None:
                advice = "is removed; the trial goes on from the one before it, or begins again"
                yield _to_remove(f"{job}: {path.name} is damaged ({problem})", path, advice)


def _damaged(path: Path) -> str | None:
    from autoprog_search.training.checkpoint import DamagedCheckpoint, load_checkpoint

    try:
        load_checkpoint(path)
    except DamagedCheckpoint as error:
        return one_line(str(error))[:80]
    except ConfigError:  # another version's: the line of a run that meets it says what to do
        return None
    return None


def _half_written(study: StoredStudy) -> Iterator[Finding]:
    """What killed processes left, where nobody runs the study: parts of files, and locks."""
    for path in sorted(study.folder.rglob(f".*{TEMPORARY}")):
        yield _to_remove(f"{path.relative_to(study.folder)}: {PART}", path)
    for path in sorted((study.folder / RUNNING).glob("*.lock")):
        yield _to_remove(f"{RUNNING}/{path.name}: the lock of a process that was killed", path)


def _profile(study: StoredStudy) -> Iterator[Finding]:
    path = study.folder / "profile.json"
    try:
        if path.exists():
            json.loads(path.read_text())
    except (OSError, ValueError) as error:
        advice = "is removed; the next run measures step times again"
        yield _to_remove(f"{path.name} cannot be read: {one_line(str(error))[:80]}", path, advice)


def _tables(study: StoredStudy, trials: Trials) -> Iterator[Finding]:
    """Whether results.csv is what the storage says."""
    path = study.folder / "results.csv"
    if path.exists() and path.read_bytes() != csv_text(trials_frame(study, trials)).encode():
        advice = "is written again, and the other tables with it"
        yield Finding(f"{path.name} says other results than the storage", advice, partial(write_tables, study))


def _to_remove(what: str, path: Path, advice: str = "is removed") -> Finding:
    return Finding(what, advice, partial(path.unlink, missing_ok=True))
