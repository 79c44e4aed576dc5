"""A run's growths under a free clock in one line of words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

from autoprog_search.space import TICKS

NAMES = {"depth": "blocks", "patches": "patches"}
AT_ONCE = "at full size from the first step, its deadline by growth.search.all_patches_steps"


def growth_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """When a run grew, and how long that took to mix.

    For example `grew to 25 patches at step 1,194 (0.47): mixing expected 200 steps, came 419`.

    Args:
        rows: of one run (`runs.row.ClockRow`).

    Returns:
        An empty text where it did not grow and was not to.
    """
    texts = [_growth_text(row) for row in rows if row["grew"]]
    if not texts:
        return AT_ONCE if any(row.get("deadline") is not None for row in rows) else ""
    return f"grew {'; '.join(texts)}"


def growth_lines(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """A line a trial that grew, of those of a study (`study.results.clock_frame`)."""
    for (method, seed, trial), of_trial in groupby(rows, key=itemgetter("method", "seed", "trial")):
        if grew := growth_text([*of_trial]):
            yield f"{method} seed {seed} trial {trial}: {grew}"


def _growth_text(row: Mapping[str, Any]) -> str:
    size, share = f"{row['size']} {NAMES[row['axis']]}", row["tick"] / TICKS
    mixing = f": {_mixing_text(row)}" if row["watched"] else ""
    return f"to {size} at step {row['step']:,} ({share:.2f}){mixing}"


def _mixing_text(row: Mapping[str, Any]) -> str:
    if row["mixing"] is None:
        return f"loss back after {row['mixed']:,.0f} steps" if row["mixed"] is not None else _not_back(row)
    came = f"came {row['mixed']:,.0f}" if row["mixed"] is not None else _not_back(row)
    return f"mixing expected {row['mixing']:,.0f} steps, {came}"


def _not_back(row: Mapping[str, Any]) -> str:
    return f"loss not back after {row['watched']:,}"
