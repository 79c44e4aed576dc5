"""`autoprog-search dashboard`: a study in optuna-dashboard."""

from __future__ import annotations

import click

from autoprog_search.cli import completion
from autoprog_search.cli.main import Session

LOOPBACK = "127.0.0.1"


@click.command("dashboard")
@click.argument("name", shell_complete=completion.studies)
@click.option("--host", default=LOOPBACK, show_default=True, help="Address to listen at; another lets others in.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="0: any that is free.")
@click.pass_obj
def dashboard(session: Session, name: str, host: str, port: int) -> None:
    """Open a study in optuna-dashboard, with the verdict as a note and our figures, until Ctrl-C.

    Nothing is written into the study: what is changed there is forgotten at the end. Needs the extra `dashboard`.
    """
    from autoprog_search.report.dashboard import serve
    from autoprog_search.study.store import open_study

    opened = open_study(session.root, name)
    if host not in (LOOPBACK, "localhost", "::1"):
        click.echo(f"warning: --host {host}: whoever reaches it sees the study; there is no password", err=True)
    serve(opened, host, port, lambda url: click.echo(f"{url} shows study {opened.name}; Ctrl-C ends it"))
    click.echo("ended", err=True)
