"""Tables of the docs as Markdown: those that no command prints."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from autoprog_search.analysis.findings import LastGrowth
from autoprog_search.report.texts import interval_text, target_text, times_text, with_error
from autoprog_search.report.units import MISSING, flops_text
from autoprog_search.runs.row import Column


def target_rows(table: pd.DataFrame) -> list[dict[str, str]]:
    """One row a method of `analysis.targets.cost_to_target`: how many times cheaper than full it meets the target."""
    columns = {
        "FLOPs [95 % interval]": ("test", "flops"),
        "FLOPs without search": ("test", "flops_without_search"),
        "seconds": ("test", "seconds"),
        "FLOPs, validation split": ("validation", "flops"),
    }
    rows = []
    for method, group in table.groupby("method", sort=False):
        cells = {(str(row["split"]), str(row["cost"])): row for row in group.to_dict("records")}
        lengths = group[["seeds", "lengths"]].iloc[0]
        row = {"method": str(method), "seeds": str(lengths["seeds"]), "lengths": str(lengths["lengths"])}
        rows.append(row | {header: _target_cell(cells.get(key)) for header, key in columns.items()})
    return rows


def length_rows(tables: Mapping[float, tuple[pd.DataFrame, pd.DataFrame]]) -> list[dict[str, str]]:
    """One row a method, a column a length of full: how many times cheaper it meets two targets in FLOPs, on test.

    Args:
        tables: per length those of `analysis.targets.cost_to_target` with a wide and a narrow margin.
    """
    columns: dict[str, dict[str, str]] = {}
    for epochs, (wide, narrow) in tables.items():
        own, nearer = (
            {str(row["method"]): row for row in of.query("split == 'test' and cost == 'flops'").to_dict("records")}
            for of in (wide, narrow)
        )
        cells = {name: f"{_target_cell(row)}; {_target_cell(nearer[name], False)}" for name, row in own.items()}
        columns[f"{epochs:g} epochs"] = cells
    methods = dict.fromkeys(name for cells in columns.values() for name in cells)
    return [
        {"method": name} | {header: cells.get(name, MISSING) for header, cells in columns.items()} for name in methods
    ]


def _target_cell(row: Mapping[Hashable, Any] | None, with_interval: bool = True) -> str:
    """For example `2.10× [1.85, 2.40]`; 0 as an end says that some resamples do not reach the target at all."""
    if row is None:
        return MISSING
    low, high = row["speedup_low"], row["speedup_high"]
    known = with_interval and row["bound"] != "more than" and math.isfinite(low)
    interval = f" [{low:.2f}, {high:.2f}]" if known else ""
    return target_text(row["bound"], row["share"], row["speedup"]) + interval


def ablation_rows(table: pd.DataFrame) -> list[dict[str, str]]:
    """One row a method or variant of `analysis.ablations.ablations`' table."""
    return [
        {
            "method": str(row["method"]),
            "seeds": str(row["seeds"]),
            "validation top-1, %": with_error(row["val_top1"], row["val_top1_se"]),
            "difference to the plain method, points [95 % interval]": interval_text(
                row["difference"], row["difference_low"], row["difference_high"]
            ),
            "test top-1, %": with_error(row["top1"], row["top1_se"]),
            "before → after each growth, %": ", ".join(
                f"{before:.0f} → {after:.0f}" for before, after in row["growth_top1"]
            )
            or MISSING,
            "FLOPs": flops_text(row["total_flops"]),
            "speed-up, FLOPs": times_text(row["speedup_flops"]),
        }
        for row in table.to_dict("records")
    ]


def growth_rows(found: Iterable[LastGrowth]) -> list[dict[str, str]]:
    """One row a method: what its last growth brought."""
    return [
        {
            "method": growth.method,
            "runs": str(growth.runs),
            "before the last growth, %": f"{growth.before:.2f}",
            "at the end, %": f"{growth.end:.2f}",
            "gain, points": f"{growth.gain:+.2f}",
        }
        for growth in found
    ]


def markdown(rows: Sequence[Mapping[str, str]]) -> str:
    """Rows of equal keys as a Markdown table; the first column is words, the others numbers."""
    lines = [list(rows[0]), ["---", *["---:"] * (len(rows[0]) - 1)], *(list(row.values()) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def described(columns: Iterable[Column]) -> str:
    """What columns mean, as a Markdown table of words."""
    rows = [f"| `{c.name}` | {c.unit or '–'} | {c.description} |" for c in columns]
    return "\n".join(("| column | unit | meaning |", "| --- | --- | --- |", *rows))
