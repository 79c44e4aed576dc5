"""`autoprog-search config`: the fields that `--set` and a study.yaml know."""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING, Any

import click

from autoprog_search.cli.tables import Format, echo_table, format_option

if TYPE_CHECKING:
    from autoprog_search.study.settings_docs import Setting

WIDTH = 100


@click.group()
def config() -> None:
    """Fields that `--set FIELD=VALUE` and a study.yaml know: their types, defaults and meaning."""


@config.command("list")
@click.argument("group", required=False)
@format_option()
def list_fields(group: str | None, fmt: Format) -> None:
    """List the fields, or those of a GROUP: study (those at the top), recipe, growth, data, space, methods, nni.

    Defaults are the class' own: a space, a recipe or a table that is named brings others. `NAME` stands for a method.
    """
    from autoprog_search.study.settings_docs import group_named, settings

    chosen = group_named(group) if group is not None else None
    found = [s for s in settings() if chosen is None or s.group == chosen or s.group.startswith(f"{chosen}.")]
    if fmt == "table":
        rows = [{"field": s.path, "type": s.kind, "default": s.default_text, "meaning": s.summary} for s in found]
    else:
        rows = [_row(s) | {"description": s.summary} for s in found]
    echo_table(rows, fmt)


@config.command("show")
@click.argument("field")
@format_option("text", "json")
def show(field: str, fmt: str) -> None:
    """Show all that there is to know about a FIELD (recipe.lr), or about each of a group's (recipe)."""
    from autoprog_search.study.settings_docs import find, groups

    found, about = find(field), groups()
    if fmt == "json":
        click.echo(json.dumps([_row(setting) for setting in found], indent=1))
        return
    if field in about:
        click.echo(textwrap.fill(about[field], WIDTH) + "\n")
    click.echo("\n\n".join(map(_page, found)))


def _row(setting: Setting) -> dict[str, Any]:
    names = {"field": setting.path, "group": setting.group, "type": setting.kind}
    return names | {"default": setting.default, "required": setting.required, "description": setting.text}


def _page(setting: Setting) -> str:
    text = textwrap.fill(setting.text, WIDTH, initial_indent="    ", subsequent_indent="    ")
    return f"{setting.path}\n    {setting.kind}; default: {setting.default_text}\n{text}"
