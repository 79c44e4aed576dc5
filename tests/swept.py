"""Made-up results of a study whose methods sweep training lengths: a table of trials, or a published folder of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from autoprog_search.runs.row import COLUMNS
from autoprog_search.study.resolve import make_config
from autoprog_search.study.results import csv_text

EPOCHS = 20  # the recipe's
LENGTHS = (20, 8, 12, 16)  # a sweep: trial 0 is the recipe's
FLOPS = 40e9  # of an epoch of full
# Cost of an epoch over full's; points below the limit at full's cost; share of the cost that is search.
METHODS = {
    "full": (1.0, 1.0, 0.0),
    "linear": (0.49, 1.1, 0.0),
    "autoprog": (0.55, 1.0, 0.03),
    "random": (0.6, 1.4, 0.0),
}


def trial_row(method: str, seed: int, trial: int, epochs: float, flops: float, top1: float, **more: object) -> dict:
    """A finished trial; its validation accuracy is 0.5 points below its test accuracy, a second is 4 GFLOPs."""
    search = float(more.pop("search_flops", 0.0))  # type: ignore[arg-type]
    row: dict[str, object] = dict.fromkeys(column.name for column in COLUMNS)
    row |= {"study": "swept", "method": method, "seed": seed, "trial": trial, "state": "COMPLETE", "w_scale": 1.0}
    row |= {"depths": [4, 6], "resolutions": [16, 24], "patches": [16, 36], "stage_epochs": [5.0, 5.0]}
    row |= {"val_top1": top1 - 0.5, "top1": top1, "train_flops": flops - search, "search_flops": search}
    row |= {
        "total_flops": flops,
        "own_flops": flops,
        "train_seconds": (flops - search) / 4e9,
        "search_seconds": search / 4e9,
    }
    return row | {"epochs": epochs, "scheduled_epochs": float(epochs), "device": "cpu", "versions": "{}"} | more


def swept_trials(seeds: int = 5, methods: Mapping[str, tuple[float, float, float]] = METHODS) -> pd.DataFrame:
    """Accuracy rises towards 99 % with a power of the cost; a seed shifts all of its runs. `random` sweeps nothing."""
    rng, rows = np.random.default_rng(0), []
    for method, (relative, below, search) in methods.items():
        for seed in range(seeds):
            for trial, epochs in enumerate([EPOCHS] * 4 if method == "random" else LENGTHS):
                cost = relative * epochs / EPOCHS * (1 + 0.1 * trial * (method == "random"))
                top1 = 99 - below * cost**-0.8 * (relative**0.8) + 0.1 * seed + rng.normal(0, 0.08)
                flops = cost * EPOCHS * FLOPS
                rows.append(trial_row(method, seed, trial, epochs, flops, top1, search_flops=search * flops))
    frame = pd.DataFrame(rows, columns=[column.name for column in COLUMNS])
    full = frame[(frame["method"] == "full") & (frame["trial"] == 0)].set_index("seed")
    frame["speedup_flops"] = frame["seed"].map(full["total_flops"]) / frame["total_flops"]
    frame["speedup_seconds"] = frame["speedup_flops"]
    return frame


def publish(folder: Path, trials: pd.DataFrame) -> Path:
    """A folder with study.yaml and results.csv, as one is committed."""
    methods = [name for name in dict.fromkeys(trials["method"]) if "+" not in name]
    config = make_config(
        "swept", space="digits", data={"name": "digits"}, methods=methods, trials=4, seeds=5,
        overrides=[f"recipe.epochs={EPOCHS}"],
    )  # fmt: skip
    folder.mkdir(parents=True)
    (folder / "study.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False))
    (folder / "results.csv").write_text(csv_text(trials))
    return folder
