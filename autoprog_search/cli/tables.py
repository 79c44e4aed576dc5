"""Tables on standard output: for people, or as JSON or CSV for programs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from autoprog_search.errors import printable

if TYPE_CHECKING:
    from pandas import DataFrame

Callback = TypeVar("Callback", bound=Callable[..., Any])
Format = Literal["table", "json", "csv"]
FORMULA = ("=", "+", "-", "@")  # what a spreadsheet would compute; after a quote it is text
FORMATS = ("table", "json", "csv")
_JSON = f"{__name__}.json"  # in a context: whether --json was given
READABLE = 100
"""Rows of a table for people: nobody reads more, and to lay out 10,000 takes half a minute."""


def format_option(*formats: str) -> Callable[[Callback], Callback]:
    """`-f`, one of these formats (`FORMATS`), by default the first, and `--json` for `-f json`.

    Their callbacks meet in the context: of two options for one parameter the one left out might say its default last.
    """
    formats = formats or FORMATS

    def chosen(ctx: click.Context, _: click.Parameter, value: str) -> str:
        return "json" if ctx.meta.get(_JSON) else value

    def note(ctx: click.Context, _: click.Parameter, value: bool) -> None:
        ctx.meta[_JSON] = value

    def add(command: Callback) -> Callback:
        choice = click.Choice(formats)
        command = click.option(
            "--json", is_flag=True, is_eager=True, expose_value=False, callback=note, help="The same as -f json."
        )(command)
        return click.option(
            "-f", "--format", "fmt", type=choice, default=formats[0], show_default=True, callback=chosen
        )(command)

    return add


def echo_table(rows: Sequence[Mapping[str, Any]], fmt: Format, title: str | None = None) -> None:
    """Print rows of equal keys; of a long table for people the first and the last ones, and how many are left out."""
    if fmt == "json":
        click.echo(json.dumps([dict(row) for row in rows], indent=1))
    elif fmt == "csv":
        buffer = io.StringIO()
        writer = csv.DictWriter(buffer, fieldnames=list(rows[0]) if rows else [], lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: _csv_cell(value) for name, value in row.items()} for row in rows)
        click.echo(buffer.getvalue(), nl=False)
    else:
        left_out = len(rows) - READABLE
        _echo_rich(rows if left_out <= 0 else [*rows[: READABLE // 2], *rows[-READABLE // 2 :]], title)
        if left_out > 0:
            click.echo(f"{left_out} rows in the middle are left out; -f csv prints all {len(rows)}", err=True)


def echo_sentences(sentences: Iterable[str]) -> None:
    """Print each on a line of its own; a terminal gets no word cut in two."""
    import shutil
    import sys

    for sentence in map(printable, sentences):
        if sys.stdout.isatty():
            sentence = click.wrap_text(sentence, shutil.get_terminal_size().columns, subsequent_indent="  ")
        click.echo(sentence)


def _csv_cell(value: Any) -> Any:
    if isinstance(value, list | tuple | dict):
        return json.dumps(value)  # as results.csv holds them
    return ("'" * _computes(value) + printable(value)) if isinstance(value, str) else value


def _computes(text: str) -> bool:
    """Whether a spreadsheet would take the cell for a formula."""
    try:
        float(text)
    except ValueError:
        return text.startswith(FORMULA)
    return False


def plain_rows(frame: DataFrame) -> list[dict[str, Any]]:
    """A data frame's rows, with None for what is missing."""
    rows: list[dict[str, Any]] = frame.astype(object).where(frame.notna(), None).to_dict("records")  # type: ignore
    return rows


def _echo_rich(rows: Sequence[Mapping[str, Any]], title: str | None) -> None:
    import shutil
    import sys

    from rich.console import Console
    from rich.table import Table

    table = Table(title=printable(title or "") or None, title_justify="left", header_style="bold")
    for name in rows[0] if rows else ():
        numeric = all(isinstance(row[name], int | float) for row in rows)
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(printable(str(value)) for value in row.values()))
    # Piped into a file or a pager, a table keeps its columns whole.
    width = None if sys.stdout.isatty() else max(160, shutil.get_terminal_size().columns)
    # What stands in brackets or between colons is text, too.
    Console(width=width, markup=False, emoji=False).print(table)
