"""Tables of a page: whole without its script, sortable and filterable with it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from autoprog_search.analysis.sizes import sizes_of
from autoprog_search.report.colours import colour_of
from autoprog_search.report.document import text
from autoprog_search.report.texts import HEADERS, comparison_rows
from autoprog_search.report.units import MISSING, unit_for

STATES = {
    "COMPLETE": "finished",
    "PRUNED": "stopped early",
    "FAIL": "failed",
    "RUNNING": "running",
    "WAITING": "waiting",
}


@dataclass(frozen=True, slots=True)
class Cell:
    """What a cell says, and by what it is sorted where that is not the number that it says."""

    said: str
    sorts: float | None = None


def table_html(label: str, headers: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """A table whose rows begin with a method's name; the part of the page that it scrolls in is called `label`."""
    head = "".join(f'<th scope="col">{text(header)}</th>' for header in headers)
    body = "\n".join(f"<tr>{_row(row)}</tr>" for row in rows)
    return (
        f'<div class="rows"><div class="scroll" tabindex="0" role="region" aria-label="{text(label)}"><table>'
        f"<thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div></div>"
    )


def comparison_table(compared: pd.DataFrame) -> str:
    """Of `analysis.compare.compare`'s table, a method a row."""
    rows = []
    for texts, numbers in zip(comparison_rows(compared), compared.to_dict("records"), strict=True):
        first = {header: numbers[names[0]] for header, (_, names) in HEADERS.items()}
        sorts = {header: float(value) for header, value in first.items() if isinstance(value, int | float)}
        rows.append([Cell(texts[header], sorts.get(header)) for header in HEADERS])
    return table_html("Comparison", list(HEADERS), rows)


def trials_table(trials: pd.DataFrame, heads: pd.DataFrame) -> str:
    """All trials, a row each; `heads` are those that stand for their method and seed."""
    flops = unit_for(float(trials["total_flops"].max()), "FLOPs")
    seconds, shown = trials["train_seconds"] + trials["search_seconds"], sizes_of(trials)
    columns = {
        "seed": trials["seed"].map(str),
        "trial": trials["trial"].map(str),
        "state": trials["state"].map(STATES),
        "stands": pd.Series("", index=trials.index).mask(_keys(trials).isin(_keys(heads)), "headline"),
        "blocks": trials["depths"].map(_steps),
        shown.title: trials[shown.column].map(_steps),
        "epochs": _numbers(trials["epochs"], "{:g}"),
        "validation top-1, %": _numbers(trials["val_top1"], "{:.2f}"),
        "test top-1, %": _numbers(trials["top1"], "{:.2f}"),
        flops.name: _numbers(trials["total_flops"] / flops.factor, "{:.4g}"),
        "seconds": _numbers(seconds, "{:.4g}"),
        "speed-up, FLOPs": _numbers(trials["speedup_flops"], "{:.2f}"),
    }
    lists = zip(trials["method"].map(str), *columns.values(), strict=True)
    return table_html("All trials", ["method", *columns], [[Cell(said) for said in row] for row in lists])


def _row(row: Sequence[Cell]) -> str:
    first, *others = row
    return f'<th scope="row">{swatch(first.said)}{text(first.said)}</th>' + "".join(map(_cell, others))


def _cell(cell: Cell) -> str:
    if cell.sorts is None:
        return f"<td>{text(cell.said)}</td>"
    return f'<td data-sort="{cell.sorts if math.isfinite(cell.sorts) else ""}">{text(cell.said)}</td>'


def swatch(method: str) -> str:
    """A dot of the method's colour."""
    return f'<span class="swatch" style="background:{colour_of(method)}"></span>'


def _keys(trials: pd.DataFrame) -> pd.Series[Any]:
    return pd.Series(list(zip(trials["method"], trials["seed"], trials["trial"], strict=True)), trials.index, object)


def _steps(sizes: list[int] | None) -> str:
    return " → ".join(map(str, sizes)) if isinstance(sizes, list) else MISSING


def _numbers(values: pd.Series[float], pattern: str) -> pd.Series[str]:
    return values.map(lambda value: pattern.format(value) if pd.notna(value) else MISSING)
