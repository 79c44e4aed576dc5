"""What a study's trials did and did not show, as numbers: what is unfinished, each method against full, the waiting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from autoprog_search.analysis.compare import compare
from autoprog_search.analysis.headline import headline

UNFINISHED = {"stopped early": ("PRUNED",), "failed": ("FAIL",), "not finished": ("RUNNING", "WAITING")}
"""What became of trials that were not trained to their end, and their states."""


@dataclass(frozen=True)
class Findings:
    """Of a study's trials.

    Attributes:
        trials: how many there are.
        tolerance: within which of full's accuracy the headline trials were picked, points.
        unfinished: how many were not trained to their end, by what became of them (`UNFINISHED`) and method.
        differences: `compare`'s row of every method but full, and with how many seeds of full it is paired.
        waited: share of each stage's training time that all finished trials waited for images; NaN where none passed.
        devices: that finished trials ran on.
        versions: how many sets of library versions they ran under.
    """

    trials: int
    tolerance: float
    unfinished: dict[str, dict[str, int]]
    differences: tuple[tuple[Mapping[Any, Any], int], ...]
    waited: tuple[float, ...]
    devices: tuple[str, ...]
    versions: int


def findings(trials: pd.DataFrame, tolerance: float) -> Findings:
    """What a frame of trials shows; the headline trials are picked within the tolerance."""
    heads = headline(trials, tolerance)
    seeds = {str(method): set(group["seed"]) for method, group in heads.groupby("method")}
    rows = compare(trials, tolerance).to_dict("records")
    done = trials[trials["state"] == "COMPLETE"]
    unfinished = {what: _methods(trials[trials["state"].isin(states)]) for what, states in UNFINISHED.items()}
    return Findings(
        trials=len(trials),
        tolerance=tolerance,
        unfinished={what: counts for what, counts in unfinished.items() if counts},
        differences=tuple(
            (row, len(seeds.get("full", set()) & seeds[row["method"]])) for row in rows if row["method"] != "full"
        ),
        waited=waited_shares(done),
        devices=tuple(str(device) for device in done["device"].dropna().unique() if device),
        versions=done["versions"].nunique(),
    )


def _methods(trials: pd.DataFrame) -> dict[str, int]:
    return {str(method): count for method, count in trials["method"].value_counts(sort=False).items()}


def waited_shares(done: pd.DataFrame) -> tuple[float, ...]:
    """How much of each stage's time its training steps waited for images, over all of these trials."""
    pairs = done[["loader_seconds", "stage_seconds"]].dropna().to_numpy().tolist()
    stages = max((len(waited) for waited, _ in pairs), default=0)
    shares = []
    for k in range(stages):
        waited, spent = (sum(pair[side][k] for pair in pairs if k < len(pair[side])) for side in (0, 1))
        shares.append(waited / spent if spent else float("nan"))
    return tuple(shares)
