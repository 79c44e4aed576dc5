"""What is printed is text, whatever it holds."""

from __future__ import annotations

import csv
import io
import json

import pytest

from autoprog_search.cli.tables import echo_sentences, echo_table

ROWS = [
    {"name": "\x1b[31mred\x1b[0m\x07", "top1": -0.5},
    {"name": "=1+1", "top1": 2.0},
    {"name": "<script>", "top1": 3},
]


def test_a_terminal_is_moved_by_no_name(capsys):
    echo_table(ROWS, "table")
    echo_sentences(["autoprog\x1b[2J: \x9b31mshown"])
    printed = capsys.readouterr().out
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in printed.replace("\n", ""))
    assert "\\x1b[31mred\\x1b[0m\\x07" in printed
    assert "autoprog\\x1b[2J: \\x9b31mshown\n" in printed
    assert "<script>" in printed


@pytest.mark.parametrize("text", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)"])
def test_a_spreadsheet_computes_no_name(text, capsys):
    echo_table([{"name": text, "top1": -0.5}], "csv")
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert row == {"name": f"'{text}", "top1": "-0.5"}


def test_a_line_is_a_row(capsys):
    echo_table([{"name": "\r=1\n\t=2\x1b"}], "csv")
    assert capsys.readouterr().out == "name\n\\r=1\\n\\t=2\\x1b\n"


@pytest.mark.parametrize("text", ["-0.5", "+3", "1e-3", "-inf", "a=b", "– not known", ""])
def test_numbers_and_words_stay_as_they_are(text, capsys):
    echo_table([{"name": text}], "csv")
    (row,) = csv.reader(capsys.readouterr().out.splitlines()[1:])
    assert row == ([text] if text else [""])


def test_json_is_what_it_was(capsys):
    echo_table(ROWS, "json")
    assert json.loads(capsys.readouterr().out) == ROWS


def test_a_terminal_gets_whole_words(capsys, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "20")
    echo_sentences(["one two three four five six"])
    assert capsys.readouterr().out == "one two three four\n  five six\n"
