"""The comparison in words."""

from __future__ import annotations

import pandas as pd
import pytest

from autoprog_search.analysis.compare import COLUMNS, compare
from autoprog_search.analysis.headline import headline
from autoprog_search.report.texts import (
    HEADERS,
    comparison_rows,
    interval_text,
)
from autoprog_search.study.results import trials_frame
from tests.synthetic import synthetic_study

DIFFERENCE = "difference to full, points [95 % interval]"


def test_rows_say_what_the_table_says(study):
    table = compare(trials_frame(study), 0.5)
    rows = comparison_rows(table)
    assert [row["method"] for row in rows] == list(table["method"])
    for row, numbers in zip(rows, table.to_dict("records"), strict=True):
        assert list(row) == list(HEADERS)
        assert row["test top-1, %"] == f"{numbers['top1']:.2f} ± {numbers['top1_se']:.2f}"
        assert row["speed-up, FLOPs"] == f"{numbers['speedup_flops']:.2f}×"
        assert row["FLOPs"].endswith(" GFLOPs")
    assert rows[0][DIFFERENCE] == "reference"
    assert rows[3][DIFFERENCE].count(",") == 1
    assert rows[1]["difference to full-short"] == "reference"
    heads = headline(trials_frame(study), 0.5).pivot(index="seed", columns="method", values="top1")
    over_short = (heads["autoprog"] - heads["full-short"]).mean()
    assert rows[3]["difference to full-short"].startswith(f"{over_short:+.2f} [")
    assert rows[3]["search, %"] == "2.9"


def test_one_seed_has_neither_error_nor_interval():
    for row in comparison_rows(compare(trials_frame(synthetic_study(seeds=1)), 0.5)):
        assert "±" not in row["test top-1, %"]
        assert "[" not in row[DIFFERENCE]


def test_without_full_there_is_nothing_to_compare_with():
    (row,) = comparison_rows(compare(trials_frame(synthetic_study(methods=("linear",))), 0.5))
    assert row[DIFFERENCE] == row["speed-up, FLOPs"] == row["speed-up, seconds"] == row["spent"] == "–"
    assert row["difference to full-short"] == "–"


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ((-0.123, -0.4, 0.16), "-0.12 [-0.40, +0.16]"),
        ((0.5, float("nan"), float("nan")), "+0.50"),
        ((float("nan"),) * 3, "–"),
    ],
)
def test_interval_text(numbers, text):
    assert interval_text(*numbers) == text


def test_several_studies_are_told_apart(study):
    table = compare(trials_frame(study), 0.5)
    rows = comparison_rows(pd.concat([table, table.assign(study="other")]))
    assert [row["study"] for row in rows] == ["synthetic"] * 6 + ["other"] * 6


def test_headers_show_known_columns():
    assert {name for _, names in HEADERS.values() for name in names} <= set(COLUMNS)
