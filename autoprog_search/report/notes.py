"""What a study's numbers do and do not show, in sentences made from the numbers alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from scipy import stats

from autoprog_search.analysis.findings import GROWING_PAYS, TRAINING_PAYS, Findings, Halving, LastGrowth
from autoprog_search.analysis.noninferiority import POWER
from autoprog_search.report.texts import interval_text


def reading_notes(found: Findings) -> list[str]:
    """Sentences on unfinished trials, on what half the training costs, and on what intervals and headlines mean."""
    notes = [_unfinished_note(found, what, counts) for what, counts in found.unfinished.items()]
    notes += [_halving_note(halving) for halving in found.halvings]
    notes += _growth_note([grown for grown in found.grown if grown.gain < GROWING_PAYS])
    notes += _test_notes(found.tested) if found.tested else []
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


def _growth_note(small: Sequence[LastGrowth]) -> list[str]:
    """That a smaller model may do, where the last growth brought little."""
    if not small:
        return []
    gains = ", ".join(f"{grown.method} {grown.gain:+.1f}" for grown in small)
    return [
        f"From just before their last growth to their end these gained less than {GROWING_PAYS:g} point of validation "
        f"accuracy: {gains}; what the decay of the learning rate brings is in it. So the full size is hardly needed "
        "here: a smaller model, never grown, is a rival; train one beside them."
    ]


def _test_notes(tested: Sequence[int]) -> list[str]:
    """What the intervals and the numbers of seeds of the verdict rest on."""
    several = f"; they are not corrected for comparing {len(tested)} methods at once" if len(tested) > 1 else ""
    fewest = min(tested)
    low, high = ((fewest - 1) / stats.chi2.ppf([0.975, 0.025], fewest - 1)) ** 0.5
    return [
        "Intervals are 95 %, Student's t over seeds, paired with full of the same seed: they speak of other seeds on "
        f"the same test images{several}. Shown means that the interval lies on one side (2.5 % error).",
        f"A number of seeds that would show something does so with a probability of {100 * POWER:.0f} %, if the spread "
        f"between seeds is as measured; from {fewest} seeds it may be {low:.1f} to {high:.1f} times that, and the "
        "number goes with its square. Decide on a number before looking: testing again after each seed shows too much.",
    ]


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
