"""A run's growths in a line."""

from __future__ import annotations

from autoprog_search.runs.growths import AT_ONCE, growth_text

STAYED = {"axis": "depth", "grew": False}


def row(axis: str, size: int, step: int, mixing: float | None, mixed: float | None) -> dict[str, object]:
    where = {"axis": axis, "size": size, "step": step, "tick": 36 * step / 2520}
    return {**where, "grew": True, "mixing": mixing, "mixed": mixed, "watched": 1190}


def test_growths_in_words():
    rows = [STAYED, row("patches", 25, 840, 250.4, 269.9), row("depth", 6, 2040, 14.0, None)]
    assert growth_text(rows) == (
        "grew to 25 patches at step 840 (0.33): mixing expected 250 steps, came 270; "
        "to 6 blocks at step 2,040 (0.81): mixing expected 14 steps, loss not back after 1,190"
    )
    assert (
        growth_text([row("depth", 6, 2040, None, 12.0)])
        == "grew to 6 blocks at step 2,040 (0.81): loss back after 12 steps"
    )


def test_a_run_that_did_not_grow_has_no_line():
    assert growth_text([]) == growth_text([STAYED]) == ""


def test_a_run_whose_deadline_had_passed_before_it_began_says_so():
    assert growth_text([STAYED, {"axis": "patches", "grew": False, "deadline": 0}]) == AT_ONCE
