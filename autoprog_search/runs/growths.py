"""A run's growths under a free clock in one line of words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from autoprog_search.space import TICKS

NAMES = {"depth": "blocks", "patches": "patches"}


def growth_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """When a run grew, and how long that took to mix.

    For example `grew to 25 patches at step 1,194 (0.47): mixing expected 200 steps, came 419; to 6 blocks at ...`.

    Args:
        rows: of one run (`runs.row.ClockRow`).

    Returns:
        An empty text where it did not grow.
    """
    grown = [row for row in rows if row["grew"]]
    texts = [
        f"to {row['size']} {NAMES[row['axis']]} at step {row['step']:,} ({row['tick'] / TICKS:.2f}): {_mixing_text(row)}"
        for row in grown
    ]
    return f"grew {'; '.join(texts)}" if grown else ""


def _mixing_text(row: Mapping[str, Any]) -> str:
    came = f"{row['mixed']:,.0f}" if row["mixed"] is not None else f"not in {row['watched']:,}"
    if row["mixing"] is None:
        return f"mixing came {came} steps"
    return f"mixing expected {row['mixing']:,.0f} steps, came {came}"
