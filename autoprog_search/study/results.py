"""Results of a study as pandas tables: one row a trial, one a (trial, epoch), one a (trial, stage, candidate)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from autoprog_search.files import write_atomic
from autoprog_search.methods.table import method_named
from autoprog_search.study.store import StoredStudy


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
    Column("state", "", "COMPLETE, FAIL, RUNNING or WAITING"),
    Column("depths", "blocks", "depth of each stage"),
    Column("patches", "", "patches of each stage"),
    Column("resolutions", "px", "image side of each stage"),
    Column("stage_epochs", "epochs", "length of each stage"),
    Column("val_top1", "%", "validation accuracy of the recipe's eval_weights; drives every choice between trials"),
    Column("top1", "%", "test accuracy of the recipe's eval_weights; only reported"),
    Column("top5", "%", "test top-5 accuracy"),
    Column("ema_top1", "%", "test accuracy of the EMA weights"),
    Column("loss", "nats", "test cross-entropy"),
    Column("train_flops", "FLOPs", "of all training steps, supernet steps included"),
    Column("search_flops", "FLOPs", "of one-shot estimates (and of the profile, where the score used it)"),
    Column("total_flops", "FLOPs", "training and search"),
    Column("metric", "points", "val_top1 - nni.cost_lambda * total_flops / full's: what NNI's strategies maximise"),
    Column("train_seconds", "s", "steps x the sub-network's median step time in the study's profile of this device"),
    Column("search_seconds", "s", "clock time of the estimates"),
    Column("loader_seconds", "s", "clock time of each stage's training steps spent waiting for images"),
    Column("stage_seconds", "s", "clock time of each stage's training steps"),
    Column("wall_seconds", "s", "clock time of the run, all interruptions left out"),
    Column("speedup_flops", "", "total_flops of full of the same seed over this trial's"),
    Column("speedup_seconds", "", "the same of train_seconds + search_seconds"),
    Column("epochs", "epochs", "passes over the training data"),
    Column("scheduled_epochs", "epochs", "what the recipe or the method's sweep asked for; full-short trains fewer"),
    Column("device", "", "where it ran"),
    Column("versions", "", "of autoprog-search, torch, timm and Optuna"),
    Column("config_hash", "", "of the configuration that decides the results"),
)
LISTS = ("depths", "patches", "resolutions", "stage_epochs", "loader_seconds", "stage_seconds")


def trials_frame(study: StoredStudy) -> pd.DataFrame:
    """One row a trial, finished or not, with the columns of `COLUMNS`; lists are JSON text."""
    rows: list[dict[str, Any]] = []
    config_hash, trials = study.config.hash(), study.trials()
    for job, trial in trials.items():
        attributes = trial.user_attrs
        row: dict[str, Any] = {column.name: attributes.get(column.name) for column in COLUMNS}
        row |= {"study": study.config.name, "method": job.method, "seed": job.seed, "trial": job.trial}
        row |= {"state": trial.state.name, "config_hash": config_hash}
        row |= {name: json.dumps(row[name]) if row[name] is not None else None for name in LISTS}
        rows.append(row)
    frame = pd.DataFrame(rows, columns=[column.name for column in COLUMNS])
    full_flops = pd.Series([trial.user_attrs.get("full_flops") for trial in trials.values()], dtype=float)
    measured = [c.name for c in COLUMNS if c.unit in ("%", "nats", "FLOPs", "s")]
    numbers = ["epochs", "scheduled_epochs", *(name for name in measured if name not in LISTS)]
    frame[numbers] = frame[numbers].astype(float)
    frame["metric"] = study.config.nni.metric(frame["val_top1"], frame["total_flops"] / full_flops)
    full = frame[(frame["method"] == "full") & (frame["trial"] == 0)].set_index("seed")
    frame["speedup_flops"] = frame["seed"].map(full["total_flops"]) / frame["total_flops"]
    seconds = frame["train_seconds"] + frame["search_seconds"]
    frame["speedup_seconds"] = frame["seed"].map(full["train_seconds"] + full["search_seconds"]) / seconds
    return frame


def curves_frame(study: StoredStudy) -> pd.DataFrame:
    """One row a (trial, epoch): sub-network, learning rate, losses, validation accuracy, FLOPs so far."""
    rows = [
        {"study": study.config.name, "method": job.method, "seed": job.seed, "trial": job.trial, **point}
        for job, trial in study.trials().items()
        for point in trial.user_attrs.get("curve", ())
    ]
    return pd.DataFrame(rows)


def estimates_frame(study: StoredStudy) -> pd.DataFrame:
    """One row a (trial, stage, candidate): its estimate, its cost, and whether it was chosen."""
    rows = []
    for job, trial in study.trials().items():
        for k, stage in enumerate(trial.user_attrs.get("stages", ()), start=1):
            parts = zip(stage["candidates"], stage["losses"], stage["loss_ses"], stage["costs"], strict=True)
            for candidate, loss, loss_se, cost in parts:
                rows.append(
                    {
                        "study": study.config.name,
                        "method": job.method,
                        "seed": job.seed,
                        "trial": job.trial,
                        "stage": k,
                        "depth": candidate[0],
                        "patches": candidate[1],
                        "loss": loss,
                        "loss_se": loss_se,
                        "cost": cost,
                        "w": stage["w"],
                        "margin": stage["margin"],
                        "chosen": candidate == stage["chosen"],
                    }
                )
    return pd.DataFrame(rows)


def export(study: StoredStudy) -> list[str]:
    """Write results.csv and results.parquet (and the curves and estimates) into the study's folder.

    Returns:
        The files written.
    """
    written = []
    frames = (("results", trials_frame), ("curves", curves_frame), ("estimates", estimates_frame))
    for name, make in frames:
        frame = make(study)
        for suffix, data in (("csv", frame.to_csv(index=False).encode()), ("parquet", frame.to_parquet(index=False))):
            path = study.folder / f"{name}.{suffix}"
            write_atomic(path, data)
            written.append(str(path))
    return written


def headline(frame: pd.DataFrame, tolerance: float) -> pd.DataFrame:
    """The one trial of each (method, seed) that stands for it (DESIGN §7), with what finding it cost.

    Of the trials whose validation accuracy is within `tolerance` points of full's of the same seed, the cheapest; else
    the most accurate. The test split has no say.

    Returns:
        Rows of `frame`, with `trials` and `spent_flops`: total FLOPs of all the (method, seed)'s trials.
    """
    done = frame[frame["state"] == "COMPLETE"]
    full = done[(done["method"] == "full") & (done["trial"] == 0)].set_index("seed")["val_top1"]
    rows = []
    for (method, seed), group in done.groupby(["method", "seed"], sort=False):
        target = full.get(seed, np.nan) - tolerance
        enough = group[group["val_top1"] >= target]
        if len(enough):
            best = enough.sort_values(["total_flops", "val_top1", "trial"], ascending=[True, False, True]).iloc[0]
        else:
            best = group.sort_values(["val_top1", "total_flops", "trial"], ascending=[False, True, True]).iloc[0]
        # Trials of a fixed schedule would be repetitions; every other method chose among all of its trials.
        spent = best["total_flops"] if method_named(str(method)).program else group["total_flops"].sum()
        rows.append({**best, "trials": len(group), "spent_flops": spent})
    return pd.DataFrame(rows, columns=[*frame.columns, "trials", "spent_flops"])
