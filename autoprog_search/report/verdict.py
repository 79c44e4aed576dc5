"""The verdict on each method in one to three sentences, made from the numbers alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from autoprog_search.analysis.noninferiority import LEVEL, MOST_SEEDS, POWER
from autoprog_search.analysis.verdict import Verdict
from autoprog_search.report.texts import interval_text, with_error
from autoprog_search.report.units import flops_text, seconds_text

SAME_COST = 0.02  # relative: full-short takes autoprog's cost, in whole steps
READING = (
    f"Shown: the 95 % interval over seeds lies on one side. A number of seeds would show it with a power of "
    f"{100 * POWER:.0f} %, at the spread measured (docs/results.md)."
)


def verdict_text(found: Verdict) -> str:
    """What the study shows of a method: cost, accuracy, whether no more than the margin is lost; `METHOD: ` first."""
    row = found.row
    if row is None:
        return f"{found.method}: no seed has finished{_bracket(_missing(found, 0))}."
    if found.method == "full":
        cost = flops_text(row["total_flops"]) + (f", {seconds_text(row['seconds'])}" if found.one_device else "")
        top1 = with_error(row["top1"], row["top1_se"])
        return f"full, the reference: test accuracy {top1} % for {cost}, {_seeds(found, row['seeds'])}."
    if not row["paired"]:
        top1 = with_error(row["top1"], row["top1_se"])
        seeds = _seeds(found, row["seeds"])
        return f"{found.method}: test accuracy {top1} %, {seeds}; no run of full of the same seed to compare with."
    sentences = [f"{_cost(found, row)}, {_difference(found, row)}", _margin(found, row), _against_short(found, row)]
    return f"{found.method}: " + " ".join(f"{sentence}." for sentence in sentences if sentence)


# ── what it costs ─────────────────────────────────────────────────────────────────────────────────────────────────


def _cost(found: Verdict, row: Mapping[Any, Any]) -> str:
    """Of several trials what all of them took is said at once: the one that stands was chosen among them."""
    flops, trials = _times(row["speedup_flops"], "FLOPs"), row["trials"] / row["seeds"]
    seconds = f" ({_times(row['speedup_seconds'], 'seconds')})" if found.one_device else ""
    if trials > 1:
        failed = f" ({found.failed_trials} failed, not counted)" if found.failed_trials else ""
        taken = f"finding it took {trials:.3g} trials a seed and {row['spent']:.2f}× full's FLOPs{failed}"
        return f"the run that stands for it takes {flops} than full{seconds}, but {taken}"
    counted = ", search included" if row["search_share"] > 0 else ""
    if found.searched_by is not None:
        counted = f", the search of {found.searched_by} not counted"
    return f"{flops} than full{counted}{seconds}"


def _times(ratio: float, unit: str) -> str:
    """For example `2.28× fewer FLOPs`; the ratio is full's over its own."""
    if abs(ratio - 1) < 0.005:
        return f"no fewer {unit}"
    return f"{ratio:.2f}× fewer {unit}" if ratio > 1 else f"{1 / ratio:.2f}× more {unit}"


# ── how accurate it is ────────────────────────────────────────────────────────────────────────────────────────────


def _difference(found: Verdict, row: Mapping[Any, Any]) -> str:
    ends = (row["difference_low"], row["difference_high"]) if math.isfinite(row["p_margin"]) else (math.nan, math.nan)
    return f"{interval_text(row['difference'], *ends)} points, {_seeds(found, row['paired'])}"


def _margin(found: Verdict, row: Mapping[Any, Any]) -> str:
    """Whether a loss within the margin is shown, a greater one is, or how many seeds it would take."""
    margin, p = f"{row['margin']:g} points", row["p_margin"]
    if row["paired"] == 1:
        return "That is not enough to tell a difference from chance"
    if row["trained"] < row["paired"]:
        runs = f"{row['trained']} trained runs" if row["trained"] > 1 else "one trained run"
        return f"Whether accuracy is lost is not tested: these seeds look up {runs} of full again and again"
    if math.isnan(p):
        return f"All {row['paired']} seeds differ by the same, so there is no spread to test by"
    if p > LEVEL:
        worse = row["difference_high"] < -row["margin"]
        return f"A loss of more than {margin} is shown" if worse else _not_shown(row, margin)
    more = ", and so is a gain" if row["difference_low"] > 0 else ""
    more = ", and so is some loss" if row["difference_high"] < 0 else more
    where = f" for the seeds that finished, but {found.failed_seeds} failed" if found.failed_seeds else ""
    return f"That no more than {margin} are lost is shown{where} (p {_p(p)}){more}"


def _not_shown(row: Mapping[Any, Any], margin: str) -> str:
    some = ", though some loss is" if row["difference_high"] < 0 else ""
    equal, measured = row["seeds_if_equal"], row["seeds_if_measured"]
    if equal > row["paired"]:
        ways = [f"{_count(equal)} seeds would show it if in truth nothing is lost"]
        first, none = "{}", "no number would"
    else:  # there are as many: had nothing been lost, it would most likely be shown
        ways, first, none = [], "{} seeds would show it", "no number of seeds would show it"
    if row["difference"] < 0:
        number = none if row["difference"] <= -row["margin"] else first.format(_count(measured))
        ways.append(f"{number} if as much is lost as measured")
    return f"That no more than {margin} are lost is not shown{some}: {', '.join(ways)}"


def _against_short(found: Verdict, row: Mapping[Any, Any]) -> str:
    """The control of what is as cheap, where the study has it: ordinary training, only shorter."""
    low, high = row["short_low"], row["short_high"]
    same = abs(row["speedup_flops"] / found.short_speedup - 1) <= SAME_COST  # False for NaN
    alone = found.searched_by is None and row["trials"] == row["seeds"]  # all that its run took is in its cost
    if found.method == "full-short" or not (same and alone and math.isfinite(low)):
        return ""
    claim = "a gain is shown" if low > 0 else "a loss is shown" if high < 0 else "neither a gain nor a loss is shown"
    text = interval_text(row["short_difference"], low, high)
    return f"Against full-short, ordinary training at the same cost, {text} points: {claim}"


# ── numbers in words ──────────────────────────────────────────────────────────────────────────────────────────────


def _seeds(found: Verdict, counted: int) -> str:
    """For example `3 seeds`, `one seed`, `2 of 3 seeds (1 failed)`."""
    if counted == found.seeds:
        return "one seed" if counted == 1 else f"{counted} seeds"
    return f"{counted} of {found.seeds} seeds{_bracket(_missing(found, counted))}"


def _missing(found: Verdict, counted: int) -> list[str]:
    """What became of the seeds that are not counted."""
    parts = {
        "failed": found.failed_seeds,
        "stopped early": found.stopped_seeds,
        "not finished yet": found.unfinished_seeds,
    }
    unpaired = found.seeds - counted - sum(parts.values()) if counted else 0
    return [f"{count} {what}" for what, count in (parts | {"without full": unpaired}).items() if count]


def _bracket(parts: list[str]) -> str:
    return f" ({', '.join(parts)})" if parts else ""


def _count(seeds: float) -> str:
    return f"{seeds:,.0f}" if math.isfinite(seeds) else f"more than {MOST_SEEDS:,}"


def _p(p: float) -> str:
    return f"= {p:.2g}" if p >= 0.0001 else "< 0.0001"
