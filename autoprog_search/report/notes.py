"""What a study's numbers do and do not show, in sentences made from the numbers alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from autoprog_search.analysis.findings import TRAINING_PAYS, Findings, Halving
from autoprog_search.methods.registry import method_named
from autoprog_search.report.texts import interval_text, times_text


def reading_notes(found: Findings) -> list[str]:
    """Sentences on unfinished trials, on each method's difference to full, and on what intervals and headlines mean."""
    notes = [_unfinished_note(found, what, counts) for what, counts in found.unfinished.items()]
    notes += [_halving_note(halving) for halving in found.halvings]
    notes += [_difference_note(row, paired) for row, paired in found.differences]
    intervals = sum(math.isfinite(row["difference_low"]) for row, _ in found.differences)
    if intervals:
        notes.append(
            "Intervals are Student's t over seeds, paired with full of the same seed"
            + (f"; they are not corrected for comparing {intervals} methods at once." if intervals > 1 else ".")
        )
    notes.append(
        "Where a method has several trials, the one that stands for it (its headline) is picked on validation accuracy "
        f"alone: the cheapest within {found.tolerance:g} points of full of the same seed, else the most accurate. The "
        "test split is only reported."
    )
    if found.waited:
        shares = ", ".join(f"{100 * share:.0f} %" if math.isfinite(share) else "-" for share in found.waited)
        notes.append(f"Training waited for images, stage by stage: {shares} of the time.")
    if len(found.devices) > 1:
        notes.append(
            f"Trials ran on {len(found.devices)} devices ({'; '.join(found.devices)}): compare FLOPs, not seconds."
        )
    if found.versions > 1:
        notes.append(f"Trials ran under {found.versions} sets of library versions.")
    return notes


def _unfinished_note(found: Findings, what: str, counts: Mapping[str, int]) -> str:
    """How many trials did not end as they were to, and of which methods."""
    counted = (
        "they count as trials and in what was spent, in nothing else"
        if what == "stopped early"
        else "no number here includes them"
    )
    methods = ", ".join(f"{method} {n}" for method, n in counts.items())
    return f"Trials {what}: {sum(counts.values())} of {found.trials} ({methods}); {counted}."


def _halving_note(found: Halving) -> str:
    """Whether there are data enough for growth to show what it is worth."""
    text = interval_text(found.change, found.low, found.high)
    verdict = (
        "more training pays here, so growing has something to win over training shorter"
        if found.training_pays
        else f"less than {TRAINING_PAYS:g} point, so more training hardly pays here and training shorter is a rival"
    )
    seeds = f"{found.seeds} seed" + ("s" if found.seeds > 1 else "")
    return (
        f"full of {found.epochs / 2:g} epochs instead of {found.epochs:g}: {text} points of validation accuracy over "
        f"{seeds}; {verdict}."
    )


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
