"""What a study's numbers do and do not show, in sentences made from the numbers alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from autoprog_search.analysis.compare import compare
from autoprog_search.methods.registry import method_named
from autoprog_search.report.tables import interval_text, times_text
from autoprog_search.study.results import headline


def reading_notes(trials: pd.DataFrame, tolerance: float) -> list[str]:
    """Sentences on a trials table: unfinished trials, one on each method's difference to full, what intervals mean."""
    heads, table = headline(trials, tolerance), compare(trials, tolerance)
    full_seeds = set(heads.loc[heads["method"] == "full", "seed"])
    notes = unfinished_notes(trials)
    intervals = 0
    for row in table.to_dict("records"):
        if row["method"] != "full":
            paired = full_seeds & set(heads.loc[heads["method"] == row["method"], "seed"])
            notes.append(_difference_note(row, len(paired)))
            intervals += math.isfinite(row["difference_low"])
    if intervals:
        notes.append(
            "Intervals are Student's t over seeds, paired with full of the same seed"
            + (f"; they are not corrected for comparing {intervals} methods at once." if intervals > 1 else ".")
        )
    notes.append(
        "Where a method has several trials, the one that stands for it (its headline) is picked on validation accuracy "
        f"alone: the cheapest within {tolerance:g} points of full of the same seed, else the most accurate. The test "
        "split is only reported."
    )
    done = trials[trials["state"] == "COMPLETE"]
    notes += loader_notes(done)
    devices = [str(d) for d in done["device"].dropna().unique() if d]
    if len(devices) > 1:
        notes.append(f"Trials ran on {len(devices)} devices ({'; '.join(devices)}): compare FLOPs, not seconds.")
    if done["versions"].nunique() > 1:
        notes.append(f"Trials ran under {done['versions'].nunique()} sets of library versions.")
    return notes


def loader_notes(done: pd.DataFrame) -> list[str]:
    """How much of each stage's time its training steps waited for images, over all finished trials."""
    pairs = done[["loader_seconds", "stage_seconds"]].dropna().to_numpy().tolist()
    stages = max((len(waited) for waited, _ in pairs), default=0)
    shares = []
    for k in range(stages):
        waited, spent = (sum(pair[side][k] for pair in pairs if k < len(pair[side])) for side in (0, 1))
        shares.append(f"{100 * waited / spent:.0f} %" if spent else "-")
    return [f"Training waited for images, stage by stage: {', '.join(shares)} of the time."] if shares else []


def unfinished_notes(trials: pd.DataFrame) -> list[str]:
    """How many trials were stopped early, failed or have not finished, and of which methods."""
    notes = []
    for states, what, where in (
        (("PRUNED",), "stopped early", "they count as trials and in what was spent, in nothing else"),
        (("FAIL",), "failed", "no number here includes them"),
        (("RUNNING", "WAITING"), "not finished", "no number here includes them"),
    ):
        group = trials[trials["state"].isin(states)]
        if len(group):
            counts = ", ".join(f"{method} {n}" for method, n in group["method"].value_counts(sort=False).items())
            notes.append(f"Trials {what}: {len(group)} of {len(trials)} ({counts}); {where}.")
    return notes


def _difference_note(row: Mapping[Any, Any], paired: int) -> str:
    """One method against full."""
    name, low, high = row["method"], row["difference_low"], row["difference_high"]
    text = interval_text(row["difference"], low, high)
    if not paired:
        return f"{name}: no finished trial of full for the same seed, so no difference to full."
    if not math.isfinite(low):
        note = f"{name}: {text} points against full on one seed; one seed cannot tell a difference from chance."
    elif low > 0 or high < 0:
        more = "more" if low > 0 else "less"
        note = f"{name}: {more} accurate than full, {text} points over {paired} seeds; the 95 % interval excludes 0."
    else:
        note = (
            f"{name}: {text} points against full over {paired} seeds; the 95 % interval includes 0, so neither a gain "
            "nor a loss is shown, and none within the interval is ruled out."
        )
    if math.isfinite(row["speedup_flops"]):
        note += f" FLOPs of full over its own: {times_text(row['speedup_flops'])}."
    searched = method_named(name).trials_wanted(2) > 1  # what stands for it was found by trials
    if searched and math.isfinite(row["spent"]):
        note += f" Finding these trials took {times_text(row['spent'])} the FLOPs of one run of full a seed."
    return note
