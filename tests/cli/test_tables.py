"""Long tables: people see both ends and what is left out, programs get every row."""

from __future__ import annotations

import csv
import io

from autoprog_search.cli.tables import READABLE, echo_table

ROWS = [{"trial": trial, "state": "COMPLETE"} for trial in range(READABLE + 7)]


def test_a_long_table_shows_both_ends_and_says_what_it_leaves_out(capsys):
    echo_table(ROWS, "table")
    said = capsys.readouterr()
    shown = [int(line.split("│")[1]) for line in said.out.splitlines() if "COMPLETE" in line]
    assert shown == [*range(READABLE // 2), *range(len(ROWS) - READABLE // 2, len(ROWS))]
    assert said.err == f"7 rows in the middle are left out; -f csv prints all {len(ROWS)}\n"


def test_a_table_that_can_be_read_is_whole(capsys):
    echo_table(ROWS[:READABLE], "table")
    said = capsys.readouterr()
    assert said.out.count("COMPLETE") == READABLE
    assert not said.err


def test_a_program_gets_every_row(capsys):
    echo_table(ROWS, "csv")
    said = capsys.readouterr()
    assert [int(row["trial"]) for row in csv.DictReader(io.StringIO(said.out))] == [row["trial"] for row in ROWS]
    assert not said.err
