"""Results of a study as pandas frames: a row a trial, a (trial, epoch), a (trial, stage, candidate or axis).

What a trial has once a stage is a list in its row. CSV knows no lists: there, and only there, they are JSON text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from autoprog_search.errors import StudyError
from autoprog_search.fields import read_fields
from autoprog_search.files import read_yaml, write_atomic
from autoprog_search.runs.row import (
    COLUMNS,
    LISTS,
    ClockRow,
    CurveRow,
    EstimateRow,
    Kind,
    ResultRow,
    columns_of,
    list_in,
    list_text,
)
from autoprog_search.settings.retired import stored_study
from autoprog_search.study.config import StudyConfig
from autoprog_search.study.identity import check_unchanged, stored_hashes
from autoprog_search.study.locking import at_gate
from autoprog_search.study.store import Job, StoredStudy

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

KEYS = ("study", "method", "seed", "trial")
TYPES: dict[Kind, type] = {"text": object, "count": int, "number": float, "flag": bool, "list": object}


def trials_frame(study: StoredStudy, read: Mapping[Job, FrozenTrial] | None = None) -> pd.DataFrame:
    """One row a trial, finished or not, with the columns of `runs.row.COLUMNS`; those of `LISTS` hold lists.

    Args:
        read: the study's trials, where they have been read already.
    """
    rows: list[dict[str, Any]] = []
    name, hashes, trials = study.name, stored_hashes(study), study.trials() if read is None else read
    for job, trial in trials.items():
        attributes = trial.user_attrs
        row: dict[str, Any] = {column.name: attributes.get(column.name) for column in COLUMNS}
        row |= {"study": name, "method": job.method, "seed": job.seed, "trial": job.trial}
        row |= {"state": trial.state.name, "config_hash": hashes[job.method, job.seed]}
        row["world_size"] = attributes.get("world_size", 1)  # trials of before there could be others had one process
        rows.append(row)
    frame = pd.DataFrame(rows, columns=[column.name for column in COLUMNS])
    full_flops = pd.Series([trial.user_attrs.get("full_flops") for trial in trials.values()], dtype=float)
    numbers = [column.name for column in COLUMNS if column.kind == "number"]
    frame[numbers] = frame[numbers].astype(float)
    frame[[*LISTS]] = frame[[*LISTS]].astype(object)  # also where no trial has any yet
    frame["own_flops"] = frame["own_flops"].fillna(frame["total_flops"])
    total_flops = frame["total_flops"].where(frame["state"] == "COMPLETE")  # a part of a run is no faster a run
    frame["metric"] = study.config.nni.metric(frame["val_top1"], total_flops / full_flops)
    full = frame[(frame["method"] == "full") & (frame["trial"] == 0)].set_index("seed")
    frame["speedup_flops"] = frame["seed"].map(full["total_flops"]) / total_flops
    seconds = (frame["train_seconds"] + frame["search_seconds"]).where(frame["state"] == "COMPLETE")
    frame["speedup_seconds"] = frame["seed"].map(full["train_seconds"] + full["search_seconds"]) / seconds
    return frame


def curves_frame(study: StoredStudy, read: Mapping[Job, FrozenTrial] | None = None) -> pd.DataFrame:
    """One row a (trial, epoch): sub-network, learning rate, losses, validation accuracy, FLOPs so far."""
    return _listed(study, read, CurveRow, lambda attributes: attributes.get("curve", ()))


def estimates_frame(study: StoredStudy, read: Mapping[Job, FrozenTrial] | None = None) -> pd.DataFrame:
    """One row a (trial, stage, candidate): its estimate, its cost, and whether it was chosen (`EstimateRow`)."""
    return _listed(
        study,
        read,
        EstimateRow,
        lambda attributes: (
            row for k, record in enumerate(attributes.get("stages", ()), start=1) for row in _estimates(k, record)
        ),
    )


def clock_frame(study: StoredStudy, read: Mapping[Job, FrozenTrial] | None = None) -> pd.DataFrame:
    """One row a (trial, stage, axis) under a free clock: expected mixing, deadline, what came (`ClockRow`)."""
    return _listed(study, read, ClockRow, lambda attributes: attributes.get("clock", ()))


def _listed(
    study: StoredStudy,
    read: Mapping[Job, FrozenTrial] | None,
    row: type,
    rows_in: Callable[[Mapping[str, Any]], Iterable[Mapping[str, Any]]],
) -> pd.DataFrame:
    """A frame of rows that trials have several of, from what is stored of each.

    It has the columns that the class of rows describes, each of its type, however many rows there are. A whole number
    that some rows lack is a float, as ever in pandas.
    """
    name = study.name
    rows = [
        {"study": name, "method": job.method, "seed": job.seed, "trial": job.trial, **entry}
        for job, trial in (study.trials() if read is None else read).items()
        for entry in rows_in(trial.user_attrs)
    ]
    kinds = {column.name: column.kind for column in (*columns_of(ResultRow, *KEYS), *columns_of(row))}
    frame = pd.DataFrame(rows, columns=list(kinds))
    types = {name: TYPES[kind] for name, kind in kinds.items()}
    partly: dict[str, type] = {
        name: float for name, kind in kinds.items() if kind == "count" and frame[name].isna().any()
    }
    return frame.astype(types | partly)


def _estimates(stage: int, record: Mapping[str, Any]) -> Iterator[EstimateRow]:
    """A row a candidate, of what a run stored when the stage opened."""
    nothing = [None] * len(record["candidates"])
    decreases, operators = record.get("decreases") or nothing, record.get("operators") or nothing
    each = (record["candidates"], operators, record["losses"], record["loss_ses"], decreases, record["costs"])
    for candidate, operator, loss, loss_se, decrease, cost in zip(*each, strict=True):
        yield {
            "stage": stage,
            "depth": candidate[0],
            "patches": candidate[1],
            "operator": operator,
            "loss": loss,
            "loss_se": loss_se,
            "decrease": decrease,
            "cost": cost,
            "w": record["w"],
            "margin": record["margin"],
            "chosen": candidate == record["chosen"],
        }


class LoadedStudy(StoredStudy):
    """A study with its frames at hand, as `autoprog_search.load_study` gives it."""

    results = trials_frame
    epochs = curves_frame
    estimates = estimates_frame
    clock = clock_frame


@dataclass(frozen=True)
class StudyFrames:
    """A study as its configuration and its results, from its storage or as they were published.

    Attributes:
        trials, curves, estimates, clock: what `trials_frame`, `curves_frame`, `estimates_frame` and `clock_frame` give.
    """

    config: StudyConfig
    trials: pd.DataFrame
    curves: pd.DataFrame
    estimates: pd.DataFrame
    clock: pd.DataFrame


def stored_frames(study: StoredStudy, read: Mapping[Job, FrozenTrial] | None = None) -> StudyFrames:
    """The frames as they are now; the storage is read once, so that they agree while the study runs.

    Args:
        read: all trials as they were stored a moment ago; None: they are read.
    """
    trials = study.trials() if read is None else read
    config = study.config.model_copy(update={"name": study.name})
    frames = (trials_frame, curves_frame, estimates_frame, clock_frame)
    return StudyFrames(config, *(frame(study, trials) for frame in frames))


def published_frames(folder: Path) -> StudyFrames:
    """The frames of a folder with study.yaml and results.csv, without a storage.

    Where there is no curves.csv, estimates.csv or clock.csv, that frame is empty.

    Raises:
        StudyError: a file cannot be read, or the results lack a column.
    """
    path = folder / "study.yaml"
    config = read_fields(StudyConfig, stored_study(read_yaml(path, StudyError)), str(path))
    trials = _csv(folder / "results.csv", LISTS)
    others = [folder / f"{name}.csv" for name in ("curves", "estimates", "clock")]
    curves, estimates, clock = (_csv(other) if other.exists() else pd.DataFrame() for other in others)
    if "world_size" not in trials:  # published before there could be another
        trials.insert([*trials].index("device") + 1, "world_size", 1)
    missing = [column.name for column in COLUMNS if column.name not in trials]
    if missing:
        raise StudyError(f"{folder / 'results.csv'}: no column {missing[0]!r}; `study export` writes all of them")
    return StudyFrames(config, trials, curves, estimates, clock)


def csv_text(trials: pd.DataFrame) -> str:
    """A frame of trials as CSV, its lists as JSON text."""
    return trials.assign(**{name: trials[name].map(list_text) for name in LISTS}).to_csv(index=False)


def _csv(path: Path, lists: Sequence[str] = ()) -> pd.DataFrame:
    try:
        return pd.read_csv(path, converters=dict.fromkeys(lists, list_in))
    except pd.errors.EmptyDataError:  # what a table without rows is exported as
        return pd.DataFrame()
    except (OSError, ValueError) as reason:
        raise StudyError(f"{path} cannot be read: {' '.join(str(reason).split())}") from None


def export(study: StoredStudy) -> list[str]:
    """Write results.csv and results.parquet (and the curves and estimates) into the study's folder.

    Lists are JSON text in CSV, and lists in parquet. A clock's rows are written where a run has gone by one.

    Returns:
        The files written.
    """
    check_unchanged(study)  # what was exported is all that an older study has to be checked against
    with at_gate(study.folder):  # several runs of a study may end at the same time
        return write_tables(study)


def write_tables(study: StoredStudy) -> list[str]:
    """As `export`, for who holds the gate."""
    written = []
    now = stored_frames(study)
    frames = {"results": now.trials, "curves": now.curves, "estimates": now.estimates}
    frames |= {} if now.clock.empty else {"clock": now.clock}
    for name, frame in frames.items():
        text = csv_text(frame) if name == "results" else frame.to_csv(index=False)
        for suffix, data in (("csv", text.encode()), ("parquet", frame.to_parquet(index=False))):
            path = study.folder / f"{name}.{suffix}"
            write_atomic(path, data)
            written.append(str(path))
    return written
