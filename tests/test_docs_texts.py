"""Tables that only the docs show, in words."""

from __future__ import annotations

import pandas as pd

from autoprog_search.analysis.ablations import ablations
from autoprog_search.analysis.targets import cost_to_target
from autoprog_search.runs.row import CurveRow, columns_of
from docs.texts import ablation_rows, described, length_rows, markdown, target_rows
from tests.swept import EPOCHS, METHODS, swept_trials


def test_cost_to_target_in_words():
    """One row a method; a bound says so, and what is not reached has no interval."""
    trials = swept_trials(methods=METHODS | {"linear": (0.49, 3.0, 0.0)})
    table = cost_to_target(trials, EPOCHS)
    rows = {row["method"]: row for row in target_rows(table)}
    assert list(rows) == ["full", "linear", "autoprog", "random"]
    full = table[(table["method"] == "full") & (table["split"] == "test") & (table["cost"] == "flops")].iloc[0]
    interval = f"[{full['speedup_low']:.2f}, {full['speedup_high']:.2f}]"
    assert rows["full"]["FLOPs [95 % interval]"] == f"{full['speedup']:.2f}× {interval}"
    assert rows["linear"]["seconds"] == "not reached by 0.49× full's cost"
    assert rows["random"]["FLOPs without search"].startswith("≥ ")
    assert rows["random"]["lengths"] == "1"
    assert "[" not in target_rows(cost_to_target(swept_trials(seeds=1), EPOCHS))[0]["seconds"]


def test_cost_to_the_targets_of_several_lengths_in_words():
    """A column a length of full; the nearer target is never met more cheaply."""
    trials = swept_trials()
    tables = {n: (cost_to_target(trials, n, 0.5), cost_to_target(trials, n)) for n in (8, 20)}
    rows = {row["method"]: row for row in length_rows(tables)}
    assert list(rows["full"]) == ["method", "8 epochs", "20 epochs"]
    wide, near = rows["full"]["20 epochs"].split("; ")
    plain = target_rows(tables[20][1])[0]["FLOPs [95 % interval]"]
    assert plain.startswith(f"{near} [")
    assert float(wide.split("×")[0]) > float(near.rstrip("×"))
    assert rows["full"]["8 epochs"].startswith("≥ 1.00×")  # its shortest run is the target's own


def test_ablations_in_words():
    frame = swept_trials(seeds=3, methods={"full": (1.0, 1.0, 0.0), "linear": (0.5, 1.0, 0.0)})
    frame = pd.concat([frame, frame[frame["method"] == "linear"].assign(method="linear+stacking", val_top1=95.0)])
    plain, variant = ablation_rows(ablations(frame, EPOCHS))[1:]
    difference = "difference to the plain method, points [95 % interval]"
    assert (plain["method"], plain[difference]) == ("linear", "–")
    assert variant["validation top-1, %"] == "95.00 ± 0.00"
    assert variant[difference].startswith("-")
    assert variant["speed-up, FLOPs"] == "2.00×"
    assert variant["FLOPs"] == "400 GFLOPs"
    assert variant["before → after each growth, %"] == "–"


def test_markdown():
    assert markdown([{"method": "full", "seeds": "3"}]) == "| method | seeds |\n| --- | ---: |\n| full | 3 |"


def test_columns_are_described():
    last = described(columns_of(CurveRow)).splitlines()[-1]
    assert last == "| `flops` | FLOPs | training and search so far |"
