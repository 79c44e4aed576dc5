"""A study with made-up trials: real configuration, real tables, no training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
from optuna.trial import TrialState

from autoprog_search.runs.row import COLUMNS
from autoprog_search.schedule import SubNetwork
from autoprog_search.study.config import StudyConfig
from autoprog_search.study.resolve import make_config
from autoprog_search.study.results import LoadedStudy, trials_frame
from autoprog_search.study.store import Job

VERSIONS = '{"autoprog-search": "0.1.0", "torch": "2.9.0", "timm": "1.0.31", "optuna": "5.0.0"}'
GROWING = ([4, 5, 6, 8], [9, 16, 25, 36])  # depths and patches of the four stages


class SyntheticStudy(LoadedStudy):
    """A study whose trials are given, without a storage."""

    def __init__(self, config: StudyConfig, trials: dict[Job, Any]) -> None:
        super().__init__(Path("nowhere") / config.name, config)
        self.given = trials

    @property
    def has_database(self) -> bool:
        return False

    def trials(self) -> dict[Job, Any]:
        """What was given."""
        return self.given


def finished(
    method: str, seed: int, trial: int, depths: list[int], patches: list[int], epochs: int, **more: Any
) -> SimpleNamespace:
    """A finished trial: cost in proportion to blocks times patches, accuracy around 96 %."""
    rng = np.random.default_rng([*method.encode(), seed, trial])
    stages, lengths = len(depths), [epochs / len(depths)] * len(depths)
    per_epoch = [2.1e9 * d * n / 36 for d, n in zip(depths, patches, strict=True)]
    train = sum(length * flops for length, flops in zip(lengths, per_epoch, strict=True))
    search = 0.03 * train if method == "autoprog" else 0.0
    top1 = 96.0 + 0.4 * (train / (epochs * 2.1e9 * 8)) + rng.normal(0, 0.3)
    curve, flops = [], 0.0
    for epoch in range(1, epochs + 1):
        k = min((epoch - 1) * stages // epochs, stages - 1)
        flops += per_epoch[k]
        point = {"epoch": epoch, "stage": k + 1, "depth": depths[k], "patches": patches[k], "lr": 1e-3}
        progress = 1 - np.exp(-4 * epoch / epochs)
        point |= {"train_loss": 2.3 - 1.8 * progress, "val_loss": 2.3 - 2 * progress, "flops": flops}
        curve.append(point | {"val_top1": 10 + (top1 - 10) * progress + rng.normal(0, 0.5)})
    attributes = {
        "depths": depths,
        "patches": patches,
        "resolutions": [SubNetwork(d, n).resolution(4) for d, n in zip(depths, patches, strict=True)],
        "stage_epochs": lengths,
        "val_top1": top1 + rng.normal(0, 0.2),
        "top1": top1,
        "top5": 99.9,
        "ema_top1": top1,
        "loss": 0.2,
        "train_flops": train,
        "search_flops": search,
        "total_flops": train + search,
        "train_seconds": train / 4e9,
        "search_seconds": search / 4e9,
        "loader_seconds": [0.1 * length for length in lengths],
        "stage_seconds": [1.0 * length for length in lengths],
        "wall_seconds": train / 3e9,
        "epochs": float(epochs),
        "w_scale": 1.0,
        "device": "cpu (2 threads)",
        "versions": VERSIONS,
        "curve": curve,
        "stages": [search_record(k, rng) for k in range(stages)] if method == "autoprog" else [],
    }
    return SimpleNamespace(state=TrialState.COMPLETE, user_attrs=attributes | more)


def search_record(k: int, rng: np.random.Generator) -> dict[str, Any]:
    """What a search of stage k + 1 stored; the last stage has nothing to choose."""
    chosen = [GROWING[0][k], GROWING[1][k]]
    if k == 3:
        return {
            "candidates": [],
            "losses": [],
            "loss_ses": [],
            "costs": [],
            "w": None,
            "margin": None,
            "chosen": chosen,
        }
    pairs = [[d, n] for d in GROWING[0][k:] for n in GROWING[1][k:]][:9]
    costs = [6.3e7 * d * n for d, n in pairs]
    losses = [2.2 - 0.4 * k - 0.1 * np.log(c / costs[0]) + rng.normal(0, 0.02) for c in costs]
    return {
        "candidates": pairs,
        "losses": losses,
        "loss_ses": [0.02] * len(pairs),
        "costs": costs,
        "w": 0.08,
        "margin": 0.01,
        "chosen": pairs[0],
    }


def synthetic_study(seeds: int = 3, methods: tuple[str, ...] = (), **overrides: Any) -> SyntheticStudy:
    """A study on the digits space; `overrides` replace fields of its configuration."""
    names = methods or ("full", "full-short", "linear", "autoprog", "random", "tpe")
    config = make_config("synthetic", space="digits", data={"name": "digits"}, methods=names, trials=5, seeds=seeds)
    config = config.model_copy(update=overrides)
    trials: dict[Job, Any] = {}
    waiting = SimpleNamespace(state=TrialState.WAITING, user_attrs={})
    for job in SyntheticStudy(config, {}).jobs():
        depths, patches = GROWING
        if job.method == "full":
            depths, patches = [8] * 4, [36] * 4
        elif job.method == "full-short":
            depths, patches = [8], [36]
        elif job.method in ("random", "tpe"):
            levels = np.sort(
                np.random.default_rng([len(job.method), job.seed, job.trial]).integers(0, 4, (2, 3)), axis=1
            )
            depths = [GROWING[0][level] for level in levels[0]] + [8]
            patches = [GROWING[1][level] for level in levels[1]] + [36]
        epochs = 24 if job.method == "full-short" else 40
        trials[job] = finished(
            job.method, job.seed, job.trial, depths, patches, epochs, scheduled_epochs=config.recipe.epochs
        )
    if ("tpe" in names or not methods) and seeds > 1:
        trials[Job("tpe", 1, 4)] = waiting
        trials[Job("tpe", 0, 4)] = SimpleNamespace(state=TrialState.FAIL, user_attrs={"error": "loss: not finite"})
    return SyntheticStudy(config, trials)


def with_accuracies(linear: Sequence[float], full: Sequence[float], method: str = "linear") -> pd.DataFrame:
    """A trials table of full and another method with these accuracies, a seed each."""
    frame = trials_frame(synthetic_study(seeds=len(full), methods=("full", method)))
    for name, values in ((method, linear), ("full", full)):
        for column in ("top1", "val_top1"):
            frame.loc[frame["method"] == name, column] = list(values)
    return frame


def frame_of(trials: Sequence[tuple[str, str, float, float]]) -> pd.DataFrame:
    """A trials table of (method, state, cost, top1); the trial's number is its place."""
    rows = [
        {
            **dict.fromkeys(c.name for c in COLUMNS),
            "method": method,
            "seed": 0,
            "trial": i,
            "state": state,
            "total_flops": cost,
            "train_seconds": cost / 2,
            "search_seconds": cost / 2,
            "top1": top1,
            "val_top1": top1,
        }
        for i, (method, state, cost, top1) in enumerate(trials)
    ]
    return pd.DataFrame(rows, columns=[c.name for c in COLUMNS])


def clock_rows(method: str, seed: int, mixed: float | None) -> list[dict[str, object]]:
    """A run's clock in three stages: the probe at tick 4, patches grow at 18, depth at 29."""
    found = []
    for stage, tick in enumerate((0, 4, 18, 29), start=1):
        for axis, small, full, at in (("depth", 2, 6, 29), ("patches", 9, 25, 18)):
            found.append(
                {
                    "method": method,
                    "seed": seed,
                    "trial": 0,
                    "stage": stage,
                    "axis": axis,
                    "tick": float(tick),
                    "step": 70 * tick,
                    "size": full if tick >= at else small,
                    "grew": tick == at,
                    "probed": 76 * (tick == 4),
                    "mixing": 200.0 if tick >= 4 else None,
                    "deadline": at if 4 <= tick <= at else None,
                    "mixed": mixed if tick == at else None,
                    "watched": 490 if tick == at else 0,
                }
            )
    return found
