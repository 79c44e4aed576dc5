"""Comparisons, regret and validity as text, for the HTML page, the terminal and the docs."""

from __future__ import annotations

import math
from collections.abc import Callable

import pandas as pd

from autoprog_search.report.units import MISSING, flops_text, seconds_text


def target_text(bound: str, share: float, speedup: float) -> str:
    """As `analysis.targets` has them: `2.10×`, `≥ 4.00×` (the cheapest length is above the target), or never."""
    if bound == "more than":
        return f"not reached by {times_text(share)} full's cost"
    return f"≥ {times_text(speedup)}" if bound == "at most" else times_text(speedup)


def regret_rows(table: pd.DataFrame) -> list[dict[str, str]]:
    """One row a method of `analysis.regret.regret_summary`'s table, as text."""
    return [
        {
            "method": str(row["method"]),
            "seeds": str(row["seeds"]),
            "trials": f"{row['trials']:.3g}",
            "full runs": times_text(row["spent"]),
            "regret [95 % interval]": f"{row['regret']:.3f}"
            + (f" [{row['regret_low']:.3f}, {row['regret_high']:.3f}]" if math.isfinite(row["regret_low"]) else ""),
            "rank": f"{row['rank']:.2f}" if math.isfinite(row["rank"]) else MISSING,
            "until autoprog's run": _until(row["match"], row["match_never"]),
            "until its hypervolume": _until(row["volume"], row["volume_never"]),
        }
        for row in table.to_dict("records")
    ]


def validity_rows(table: pd.DataFrame) -> list[dict[str, str]]:
    """One row a (stage, proxy) of `analysis.validity.validity`'s table, as text."""
    return [
        {
            "proxy": str(row["proxy"]),
            "stage": str(row["stage"]),
            "searches": str(row["searches"]),
            "tau, end of stage": with_error(row["tau_stage"], row["tau_stage_se"]),
            "tau, end of run": with_error(row["tau_end"], row["tau_end_se"]),
            "regret, end of stage, points": with_error(row["regret_stage"], row["regret_stage_se"]),
            "regret, end of run, points": with_error(row["regret_end"], row["regret_end_se"]),
        }
        for row in table.to_dict("records")
    ]


def _until(median: float, never: float) -> str:
    """For example `4.10× (never: 20 %)`."""
    if math.isnan(median):
        return MISSING
    return (f"{median:.2f}×" if math.isfinite(median) else "never") + (f" (never: {never:.0f} %)" if never else "")


def with_error(mean: float, error: float) -> str:
    """For example `95.10 ± 0.20`; one seed has no error."""
    if not math.isfinite(mean):
        return MISSING
    return f"{mean:.2f} ± {error:.2f}" if math.isfinite(error) else f"{mean:.2f}"


def interval_text(mean: float, low: float, high: float) -> str:
    """For example `-0.12 [-0.40, +0.16]`; one seed has no interval."""
    if not math.isfinite(mean):
        return MISSING
    return f"{mean:+.2f} [{low:+.2f}, {high:+.2f}]" if math.isfinite(low) else f"{mean:+.2f}"


def times_text(ratio: float) -> str:
    """For example `1.38×`."""
    return f"{ratio:.2f}×" if math.isfinite(ratio) else MISSING


def _share_text(share: float) -> str:
    return f"{share:.1f}" if math.isfinite(share) else MISSING


HEADERS: dict[str, tuple[Callable[..., str], tuple[str, ...]]] = {
    "method": (str, ("method",)),
    "seeds": (str, ("seeds",)),
    "trials": (str, ("trials",)),
    "test top-1, %": (with_error, ("top1", "top1_se")),
    "difference to full, points [95 % interval]": (interval_text, ("difference", "difference_low", "difference_high")),
    "difference to full-short": (interval_text, ("short_difference", "short_low", "short_high")),
    "FLOPs": (flops_text, ("total_flops",)),
    "seconds": (seconds_text, ("seconds",)),
    "speed-up, FLOPs": (times_text, ("speedup_flops",)),
    "speed-up, seconds": (times_text, ("speedup_seconds",)),
    "search, %": (_share_text, ("search_share",)),
    "spent": (times_text, ("spent",)),
}
"""Header: how it shows which columns of `analysis.compare.COLUMNS`."""


def comparison_rows(table: pd.DataFrame) -> list[dict[str, str]]:
    """One row a method of `analysis.compare.compare`'s table, a text a header; `–` where there is no number.

    Tables of several studies get the study's name in front.
    """
    rows = []
    several = table["study"].nunique() > 1
    references = {"full": "difference to full, points [95 % interval]", "full-short": "difference to full-short"}
    for row in table.to_dict("records"):
        texts = {header: show(*(row[name] for name in names)) for header, (show, names) in HEADERS.items()}
        if row["method"] in references:
            texts[references[row["method"]]] = "reference"
        rows.append(({"study": str(row["study"])} if several else {}) | texts)
    return rows
