"""What a study says of each method: its comparison, and how much of what was to be compared is there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from autoprog_search.methods.registry import method_named


@dataclass(frozen=True)
class Verdict:
    """Of one method.

    Attributes:
        row: its row of `analysis.compare.compare`; None where none of its trials has finished.
        short_speedup: full's FLOPs over full-short's; NaN without.
        seeds: that the study has of it; the next three are those without a finished trial.
        failed_seeds: all of their trials have ended, and some failed.
        stopped_seeds: all of their trials were stopped early.
        unfinished_seeds: some of their trials are still to run.
        trials: that the study has of it at the length that is compared, all seeds.
        failed_trials: of these.
        searched_by: the method whose search found its schedules, not counted in its cost.
        one_device: whether the study's finished trials all ran on the same, so that seconds can be compared.
    """

    method: str
    row: Mapping[Any, Any] | None
    short_speedup: float
    seeds: int
    failed_seeds: int
    stopped_seeds: int
    unfinished_seeds: int
    trials: int
    failed_trials: int
    searched_by: str | None
    one_device: bool


def verdicts(trials: pd.DataFrame, compared: pd.DataFrame) -> tuple[Verdict, ...]:
    """One a method, in the order of the trials table.

    Args:
        compared: what `analysis.compare.compare` makes of the trials.
    """
    rows: dict[str, Mapping[Any, Any]] = {str(row["method"]): row for row in compared.to_dict("records")}
    short = rows["full-short"]["speedup_flops"] if "full-short" in rows else float("nan")
    lengths = trials[(trials["method"] == "full") & (trials["trial"] == 0)]["scheduled_epochs"].dropna()
    if len(lengths):  # of a sweep the other lengths are not compared; trials that have not run have no length yet
        trials = trials[trials["scheduled_epochs"].isna() | trials["scheduled_epochs"].isin(lengths)]
    done = trials[trials["state"] == "COMPLETE"]
    one_device = len(done[["device", "world_size"]].drop_duplicates()) <= 1
    return tuple(
        _verdict(str(method), group, rows.get(str(method)), short, one_device)
        for method, group in trials.groupby("method", sort=False)
    )


def _verdict(method: str, trials: pd.DataFrame, row: Mapping[Any, Any] | None, short: float, one: bool) -> Verdict:
    states = [set(group["state"]) for _, group in trials.groupby("seed")]
    without = [seed for seed in states if "COMPLETE" not in seed]
    failed = sum(seed in ({"FAIL"}, {"FAIL", "PRUNED"}) for seed in without)
    stopped = without.count({"PRUNED"})
    return Verdict(
        method=method,
        row=row,
        short_speedup=short,
        seeds=len(states),
        failed_seeds=failed,
        stopped_seeds=stopped,
        unfinished_seeds=len(without) - failed - stopped,
        trials=len(trials),
        failed_trials=int((trials["state"] == "FAIL").sum()),
        searched_by=method_named(method).searched_by(),
        one_device=one,
    )
