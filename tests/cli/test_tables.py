"""What is printed is text, whatever it holds; of long tables people see both ends, programs every row."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from autoprog_search.cli.main import cli as command_line
from autoprog_search.cli.tables import READABLE, echo_sentences, echo_table, format_option

WRITE = {
    *("dashboard", "demo", "table make"),
    *("study create", "study run", "study plot", "study report", "study export", "study delete"),
}
ROWS = [{"trial": trial, "state": "COMPLETE"} for trial in range(READABLE + 7)]
HOSTILE = [
    {"name": "\x1b[31mred\x1b[0m\x07", "top1": -0.5},
    {"name": "=1+1", "top1": 2.0},
    {"name": "<script>", "top1": 3},
]


def test_a_terminal_is_moved_by_no_name(capsys):
    echo_table(HOSTILE, "table", title="a\x1b[2J")
    echo_sentences(["autoprog\x1b[2J: \x9b31mshown"])
    printed = capsys.readouterr().out
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in printed.replace("\n", ""))
    assert "\\x1b[31mred\\x1b[0m\\x07" in printed
    assert printed.startswith("a\\x1b[2J")
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
    echo_table(HOSTILE, "json")
    assert json.loads(capsys.readouterr().out) == HOSTILE


def test_a_terminal_gets_whole_words(capsys, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "20")
    echo_sentences(["one two three four five six"])
    assert capsys.readouterr().out == "one two three four\n  five six\n"


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


@pytest.mark.parametrize(
    ("words", "fmt"),
    [
        ((), "table"),
        (("--json",), "json"),
        (("-f", "csv"), "csv"),
        (("--json", "-f", "csv"), "json"),
        (("-f", "json"), "json"),
    ],
)
def test_json_by_its_own_name(words, fmt):
    @click.command()
    @format_option()
    def command(fmt):
        click.echo(fmt)

    done = CliRunner().invoke(command, words)
    assert (done.exit_code, done.output) == (0, f"{fmt}\n")


def test_every_command_that_prints_data_has_json():
    """The others say what they have written, or serve."""

    def commands(group: click.Group, ctx: click.Context, path: str = "") -> Iterator[tuple[str, set[str]]]:
        for name in group.list_commands(ctx):
            command = group.get_command(ctx, name)
            if isinstance(command, click.Group):
                yield from commands(command, ctx, f"{name} ")
            else:
                yield path + name, {word for param in command.params for word in param.opts}

    found = dict(commands(command_line, click.Context(command_line)))
    assert {name for name, words in found.items() if "--json" not in words} == WRITE
    assert all(("--json" in words) == ("--format" in words) for words in found.values())


def test_json_of_a_command_that_prints_data():
    done = CliRunner().invoke(command_line, ["space", "list", "--json"])
    assert "digits" in {row["name"] for row in json.loads(done.output)}
