"""`autoprog-search study doctor`."""

from __future__ import annotations

import click

from autoprog_search.cli import completion
from autoprog_search.cli.main import Session
from autoprog_search.cli.tables import Format, echo_table, format_option


@click.command()
@click.argument("name", shell_complete=completion.studies)
@click.option("--repair", is_flag=True, help="Mend what can be mended; nobody may run the study meanwhile.")
@format_option()
@click.pass_obj
def doctor(session: Session, name: str, repair: bool, fmt: Format) -> None:
    """Say what is wrong with a study on disk: its storage, claims, checkpoints, weights, tables, leftovers, copies.

    No result is ever touched. Exit code 0: nothing is wrong, or all of it is mended; 1: something is left.
    """
    from autoprog_search.study.doctor import examine
    from autoprog_search.study.doctor import repair as mend
    from autoprog_search.study.store import open_study

    opened = open_study(session.root, name)
    found = (mend if repair else examine)(opened)
    rows = [
        {
            "found": finding.what,
            "mended" if repair else "--repair": _can(finding.mend is not None),
            "then": finding.advice,
        }
        for finding in found
    ]
    if rows or fmt != "table":
        echo_table(rows, fmt)
    left = [finding for finding in found if not (repair and finding.mend is not None)]
    click.echo(
        f"study {name!r}: {len(left)} of {len(found)} things are left" if found else f"study {name!r} is whole",
        err=True,
    )
    if left:
        raise SystemExit(1)


def _can(yes: bool) -> str:
    return "yes" if yes else "no"
