"""The schema of what a run leaves: columns come from the fields of a row, in their order."""

from __future__ import annotations

from typing import Annotated, TypedDict

import pytest

from autoprog_search.runs.row import (
    COLUMNS,
    ClockRow,
    Column,
    CurveRow,
    EstimateRow,
    columns_of,
    list_in,
    list_text,
)


class Row(TypedDict, total=False):
    """A row with one field of each kind, and one that is no column."""

    name: Annotated[str, "", "what it is called"]
    count: Annotated[int, "blocks", "how many"]
    share: Annotated[float | None, "%", "of the whole"]
    best: Annotated[bool, "", "whether none is better"]
    stages: Annotated[list[int], "", "an entry a stage"]
    detail: list[int]


def test_columns_are_the_fields_with_a_text_in_their_order():
    assert [(c.name, c.kind, c.unit) for c in columns_of(Row)] == [
        ("name", "text", ""),
        ("count", "count", "blocks"),
        ("share", "number", "%"),
        ("best", "flag", ""),
        ("stages", "list", ""),
    ]
    assert columns_of(Row, "best", "name")[0] == Column("best", "", "whether none is better", "flag")


def test_every_column_is_described_and_named_once():
    for columns in (COLUMNS, columns_of(CurveRow), columns_of(EstimateRow), columns_of(ClockRow)):
        assert len({column.name for column in columns}) == len(columns)
        assert all(column.description for column in columns)


@pytest.mark.parametrize("value", [[], [1, 2], [None, [51.5, 40.25]], None])
def test_csv_holds_lists_as_json(value):
    assert list_in(list_text(value) or "") == value
