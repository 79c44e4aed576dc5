"""Results of a study as pandas tables: one row a trial, one a (trial, epoch), one a (trial, stage, candidate).

What a trial has once a stage is a list in its row. CSV knows no lists: there, and only there, they are JSON text.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from autoprog_search.errors import StudyError
from autoprog_search.fields import read_fields
from autoprog_search.files import read_yaml, write_atomic
from autoprog_search.methods.registry import method_named
from autoprog_search.study.config import StudyConfig
from autoprog_search.study.identity import check_unchanged, stored_hashes
from autoprog_search.study.locking import at_gate
from autoprog_search.study.store import ENDED_WELL, Job, StoredStudy

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the trials table."""

    name: str
    unit: str
    description: str


COLUMNS = (
    Column("study", "", "name of the study"),
    Column("method", "", "how the schedule was chosen"),
    Column("seed", "", "seed of weights, order and augmentation"),
    Column("trial", "", "number within the method and seed"),
    Column("w_scale", "", "autoprog: multiple of the fitted exponent w, 1 in its first trial"),
    Column("state", "", "COMPLETE, PRUNED (stopped early: no test accuracy), FAIL, RUNNING or WAITING"),
    Column("depths", "blocks", "depth of each stage"),
    Column("patches", "", "patches of each stage"),
    Column("resolutions", "px", "image side of each stage"),
    Column("stage_epochs", "epochs", "length of each stage"),
    Column("val_top1", "%", "validation accuracy of the recipe's eval_weights; drives every choice between trials"),
    Column("growth_top1", "", "per stage, val_top1 just before and just after its growth, %; null where nothing grew"),
    Column("top1", "%", "test accuracy of the recipe's eval_weights; only reported"),
    Column("top5", "%", "test top-5 accuracy"),
    Column("ema_top1", "%", "test accuracy of the EMA weights"),
    Column("loss", "nats", "test cross-entropy"),
    Column("train_flops", "FLOPs", "of all training steps, supernet steps included"),
    Column(
        "search_flops",
        "FLOPs",
        "of one-shot estimates, of what was trained for operators not taken, of the profile if the score used it",
    ),
    Column("total_flops", "FLOPs", "training and search"),
    Column(
        "own_flops", "FLOPs", "of the steps taken in this trial: pbt's without what it copied, with what it gave up"
    ),
    Column("metric", "points", "val_top1 - nni.cost_lambda * total_flops / full's: what NNI's strategies maximise"),
    Column("train_seconds", "s", "steps x the sub-network's median step time in the study's profile of this device"),
    Column("search_seconds", "s", "clock time of the same"),
    Column("loader_seconds", "s", "clock time of each stage's training steps spent waiting for images"),
    Column("stage_seconds", "s", "clock time of each stage's training steps"),
    Column("wall_seconds", "s", "clock time of the run, all interruptions left out"),
    Column("speedup_flops", "", "total_flops of full of the same seed over this trial's"),
    Column("speedup_seconds", "", "the same of train_seconds + search_seconds"),
    Column("epochs", "epochs", "passes over the training data"),
    Column("scheduled_epochs", "epochs", "what the recipe or the method's sweep asked for; full-short trains fewer"),
    Column("device", "", "where it ran"),
    Column("versions", "", "of autoprog-search, torch, timm and Optuna"),
    Column("config_hash", "", "of the settings that the trial ran under: version of the rule, and digest"),
)
LISTS = ("depths", "patches", "resolutions", "stage_epochs", "growth_top1", "loader_seconds", "stage_seconds")
"""Columns of lists, an entry a stage; None where a trial has not got so far."""


def trials_frame(study: StoredStudy) -> pd.DataFrame:
    """One row a trial, finished or not, with the columns of `COLUMNS`; those of `LISTS` hold lists."""
    rows: list[dict[str, Any]] = []
    hashes, trials = stored_hashes(study), study.trials()
    for job, trial in trials.items():
        attributes = trial.user_attrs
        row: dict[str, Any] = {column.name: attributes.get(column.name) for column in COLUMNS}
        row |= {"study": study.name, "method": job.method, "seed": job.seed, "trial": job.trial}
        row |= {"state": trial.state.name, "config_hash": hashes[job.method, job.seed]}
        rows.append(row)
    frame = pd.DataFrame(rows, columns=[column.name for column in COLUMNS])
    full_flops = pd.Series([trial.user_attrs.get("full_flops") for trial in trials.values()], dtype=float)
    measured = [c.name for c in COLUMNS if c.unit in ("%", "nats", "FLOPs", "s")]
    numbers = ["w_scale", "epochs", "scheduled_epochs", *(name for name in measured if name not in LISTS)]
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


def curves_frame(study: StoredStudy) -> pd.DataFrame:
    """One row a (trial, epoch): sub-network, learning rate, losses, validation accuracy, FLOPs so far."""
    rows = [
        {"study": study.name, "method": job.method, "seed": job.seed, "trial": job.trial, **point}
        for job, trial in study.trials().items()
        for point in trial.user_attrs.get("curve", ())
    ]
    return pd.DataFrame(rows)


def estimates_frame(study: StoredStudy) -> pd.DataFrame:
    """One row a (trial, stage, candidate): its estimate, its cost, and whether it was chosen.

    `operator` is empty but where the search tried several: then it says by which the candidate was grown.
    """
    rows = []
    for job, trial in study.trials().items():
        for k, stage in enumerate(trial.user_attrs.get("stages", ()), start=1):
            nothing = [None] * len(stage["candidates"])
            decreases, operators = stage.get("decreases") or nothing, stage.get("operators") or nothing
            measured = (stage["losses"], stage["loss_ses"], decreases, stage["costs"])
            for candidate, operator, loss, loss_se, decrease, cost in zip(
                stage["candidates"], operators, *measured, strict=True
            ):
                rows.append(
                    {
                        "study": study.name,
                        "method": job.method,
                        "seed": job.seed,
                        "trial": job.trial,
                        "stage": k,
                        "depth": candidate[0],
                        "patches": candidate[1],
                        "operator": operator,
                        "loss": loss,
                        "loss_se": loss_se,
                        "decrease": decrease,
                        "cost": cost,
                        "w": stage["w"],
                        "margin": stage["margin"],
                        "chosen": candidate == stage["chosen"],
                    }
                )
    return pd.DataFrame(rows)


class LoadedStudy(StoredStudy):
    """A study with its tables at hand, as `autoprog_search.load_study` gives it."""

    def results(self) -> pd.DataFrame:
        """One row a trial, finished or not (`trials_frame`)."""
        return trials_frame(self)

    def curves(self) -> pd.DataFrame:
        """One row a (trial, epoch) (`curves_frame`)."""
        return curves_frame(self)

    def estimates(self) -> pd.DataFrame:
        """One row a (trial, stage, candidate) (`estimates_frame`)."""
        return estimates_frame(self)


@dataclass(frozen=True)
class StudyTables:
    """A study as its configuration and its results, from its storage or as they were published.

    Attributes:
        trials, curves, estimates: what `trials_frame`, `curves_frame` and `estimates_frame` give.
    """

    config: StudyConfig
    trials: pd.DataFrame
    curves: pd.DataFrame
    estimates: pd.DataFrame


class _Snapshot(StoredStudy):
    """A study as it was at one moment."""

    def __init__(self, study: StoredStudy) -> None:
        super().__init__(study.folder, study.config, study.storage if study.has_database else None)
        self._trials = study.trials()

    def trials(self) -> dict[Job, FrozenTrial]:
        return self._trials


def stored_tables(study: StoredStudy) -> StudyTables:
    """The tables as they are now; the storage is read once, so that they agree while the study runs."""
    now = _Snapshot(study)
    config = study.config.model_copy(update={"name": study.name})
    return StudyTables(config, trials_frame(now), curves_frame(now), estimates_frame(now))


def published_tables(folder: Path) -> StudyTables:
    """The tables of a folder with study.yaml and results.csv, without a storage.

    Where there is no curves.csv or estimates.csv, that table is empty.

    Raises:
        StudyError: a file cannot be read, or the results lack a column.
    """
    path = folder / "study.yaml"
    config = read_fields(StudyConfig, read_yaml(path, StudyError), str(path))
    trials = _csv(folder / "results.csv", LISTS)
    others = (folder / "curves.csv", folder / "estimates.csv")
    curves, estimates = (_csv(other) if other.exists() else pd.DataFrame() for other in others)
    missing = [column.name for column in COLUMNS if column.name not in trials]
    if missing:
        raise StudyError(f"{folder / 'results.csv'}: no column {missing[0]!r}; `study export` writes all of them")
    return StudyTables(config, trials, curves, estimates)


def csv_text(trials: pd.DataFrame) -> str:
    """A trials table as CSV, its lists as JSON text."""
    return trials.assign(**{name: trials[name].map(_list_text) for name in LISTS}).to_csv(index=False)


def _list_text(value: list[Any] | None) -> str | None:
    return json.dumps(value) if value is not None else None


def _list_in(text: str) -> list[Any] | None:
    value = json.loads(text) if text else None
    if not isinstance(value, list | None):
        raise ValueError(f"{text!r} is no list")
    return value


def _csv(path: Path, lists: Sequence[str] = ()) -> pd.DataFrame:
    try:
        return pd.read_csv(path, converters=dict.fromkeys(lists, _list_in))
    except pd.errors.EmptyDataError:  # what a table without rows is exported as
        return pd.DataFrame()
    except (OSError, ValueError) as reason:
        raise StudyError(f"{path} cannot be read: {' '.join(str(reason).split())}") from None


def export(study: StoredStudy) -> list[str]:
    """Write results.csv and results.parquet (and the curves and estimates) into the study's folder.

    Lists are JSON text in CSV, and lists in parquet.

    Returns:
        The files written.
    """
    check_unchanged(study)  # what was exported is all that an older study has to be checked against
    written = []
    frames = {"results": trials_frame(study), "curves": curves_frame(study), "estimates": estimates_frame(study)}
    with at_gate(study.folder):  # several runs of a study may end at the same time
        for name, frame in frames.items():
            text = csv_text(frame) if name == "results" else frame.to_csv(index=False)
            for suffix, data in (("csv", text.encode()), ("parquet", frame.to_parquet(index=False))):
                path = study.folder / f"{name}.{suffix}"
                write_atomic(path, data)
                written.append(str(path))
    return written


def headline(frame: pd.DataFrame, tolerance: float) -> pd.DataFrame:
    """The one trial of each (method, seed) that stands for it (DESIGN §7), with what finding it cost.

    Of the trials whose validation accuracy is within `tolerance` points of full's of the same seed, the cheapest; else
    the most accurate. The test split has no say. Of a sweep of lengths only the trials that were to train as long as
    full's first are looked at, or paid for.

    Returns:
        Rows of `frame`, with `trials`: how many of the (method, seed) ended well, stopped early or not, and
        `spent_flops`, `spent_seconds`: of all the steps and searches that these took.
    """
    ended = frame[frame["state"].isin(ENDED_WELL)]
    firsts = ended[(ended["method"] == "full") & (ended["trial"] == 0)].set_index("seed")
    full, lengths = firsts["val_top1"], firsts["scheduled_epochs"].unique()
    rows = []
    compared = ended[ended["scheduled_epochs"].isin(lengths)] if len(lengths) else ended
    for (method, seed), paid in compared.groupby(["method", "seed"], sort=False):
        done = paid[paid["state"] == "COMPLETE"]
        if done.empty:
            continue
        target = full.get(seed, np.nan) - tolerance
        enough = done[done["val_top1"] >= target]
        if len(enough):
            best = enough.sort_values(["total_flops", "val_top1", "trial"], ascending=[True, False, True]).iloc[0]
        else:
            best = done.sort_values(["val_top1", "total_flops", "trial"], ascending=[False, True, True]).iloc[0]
        # Trials of a fixed schedule would be repetitions; every other method chose among all of its trials.
        paid = paid.loc[[best.name]] if method_named(str(method)).program else paid
        spent_seconds = (paid["train_seconds"] + paid["search_seconds"]).sum()
        spent = {"spent_flops": paid["own_flops"].sum(), "spent_seconds": spent_seconds}
        rows.append({**best, "trials": len(paid), **spent})
    return pd.DataFrame(rows, columns=[*frame.columns, "trials", "spent_flops", "spent_seconds"])
