"""`autoprog-search study watch`: where a study stands, from any machine that reaches its storage."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import click

from autoprog_search.cli import completion
from autoprog_search.cli.main import Session
from autoprog_search.cli.progress import PLAIN_EVERY, duration
from autoprog_search.cli.tables import format_option
from autoprog_search.errors import printable
from autoprog_search.report.units import flops_text

if TYPE_CHECKING:
    from rich.console import RenderableType

    from autoprog_search.analysis.standing import Finished, Running, StudyStanding
    from autoprog_search.study.store import Job


@click.command("watch")
@click.argument("name", shell_complete=completion.studies)
@click.option("--once", is_flag=True, help="Show where it stands now, and end.")
@click.option(
    "--every", type=click.FloatRange(0.2), default=3.0, show_default=True, metavar="SECONDS", help="How often to look."
)
@format_option("text", "json")
@click.pass_obj
def watch(session: Session, name: str, once: bool, every: float, fmt: str) -> None:
    """Show what runs, what has ended, the best so far, and how long it may take; ends when the study does.

    Reads the study's storage and writes nothing, so that any machine that shares it can watch (docs/watching.md).
    """
    from autoprog_search.analysis.standing import Watch, study_standing
    from autoprog_search.study.store import open_study

    if fmt == "json" and not once:
        raise click.UsageError("--json is one look, one document: give --once too")
    opened, heard = open_study(session.root, name), Watch()

    def look() -> StudyStanding:
        return study_standing(opened, watch=heard)

    try:
        if fmt == "json":
            click.echo(json.dumps(document(look()), indent=1))
        elif once:
            _print(picture(look()))
        elif sys.stdout.isatty():
            _watch_live(look, every)
        else:
            _watch_lines(look, every)
    except KeyboardInterrupt:
        click.echo("no longer watched; the study goes on", err=True)


def _watch_live(look: Callable[[], StudyStanding], every: float) -> None:
    from rich.live import Live

    standing = look()
    with Live(picture(standing), auto_refresh=False) as live:
        while not standing.over:
            time.sleep(every)
            standing = look()
            live.update(picture(standing), refresh=True)


def _watch_lines(look: Callable[[], StudyStanding], every: float) -> None:
    told: dict[Job, float] = {}
    while True:
        standing = look()
        for line in new_lines(standing, told):
            click.echo(line)
        if standing.over:
            return
        time.sleep(every)


def _print(shown: RenderableType) -> None:
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else 120).print(shown)


# ── lines ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def new_lines(standing: StudyStanding, told: dict[Job, float]) -> Iterator[str]:
    """What has happened since the last look: trials that began, went on by a quarter, or ended.

    Args:
        told: share of each trial that was told so far, 2 where its end was; brought up to date.
    """
    for running in standing.running:
        share = running.share
        if running.job not in told or share - told[running.job] >= PLAIN_EVERY:
            told[running.job] = share
            yield f"{share:5.0%}  {running.job}: {described(running)}"
    for job, state in standing.ended.items():
        if told.get(job) != 2:
            told[job] = 2
            yield f"ended  {job}: {state.lower()} [{len(standing.ended)}/{standing.trials}]"
    if standing.over:
        yield summary(standing)


def described(running: Running) -> str:
    """Where a trial stands, in words."""
    found = running.standing
    if found is None:
        return "silent" if running.silent else "starting"
    parts = [f"epoch {found.epoch:.1f}/{found.epochs:g}", f"{found.depth} blocks x {found.patches} patches"]
    parts += ["searching"] if found.phase == "search" else []
    parts += [f"val {found.val_top1:.2f} %"] if found.val_top1 is not None else []
    parts += [flops_text(found.flops), f"{duration(found.seconds_left)} left", printable(found.worker)]
    return ", ".join([*parts, *(["silent"] if running.silent else [])])


def summary(standing: StudyStanding) -> str:
    """The study in one line."""
    failed = sum(method.failed for method in standing.methods)
    parts = [f"{standing.name}: {len(standing.ended)}/{standing.trials} trials ended"]
    parts += [f"{failed} failed"] if failed else []
    if not standing.over:
        left = standing.seconds_left
        parts.append(f"{len(standing.running)} running on {standing.workers} worker(s)")
        parts.append("time left not known yet" if left is None else f"about {duration(left)} left")
    if standing.best is not None:
        parts.append(f"best so far {standing.best.job}, {_reached(standing.best)}")
    return ", ".join(parts)


def _reached(found: Finished) -> str:
    return f"val {found.val_top1:.2f} % at {found.share:.2f} of full's FLOPs"


# ── for programs ──────────────────────────────────────────────────────────────────────────────────────────────────


def document(standing: StudyStanding) -> dict[str, Any]:
    """The study as it stands, in raw numbers: a job is an object of its own, and `ended` a list."""
    ended = [{"job": asdict(job), "state": state} for job, state in standing.ended.items()]
    return asdict(replace(standing, ended={})) | {"ended": ended, "over": standing.over}


# ── a picture ─────────────────────────────────────────────────────────────────────────────────────────────────────


def picture(standing: StudyStanding) -> RenderableType:
    """The study as it stands: a line of all, what runs, a row a method."""
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    trials = Table.grid(padding=(0, 1))
    for running in standing.running:
        words = Text(described(running), style="yellow" if running.silent else "")
        trials.add_row(Text(str(running.job)), ProgressBar(total=1.0, completed=running.share, width=20), words)
    methods = Table("method", "ended", "failed", "best so far", box=None, padding=(0, 2, 0, 0))
    for method in standing.methods:
        best = "" if method.best is None else f"seed {method.best.job.seed}, {_reached(method.best)}"
        cells = (method.method, f"{method.ended}/{method.trials}", str(method.failed or ""), best)
        methods.add_row(*map(Text, cells))
    return Group(Text(summary(standing), style="bold"), trials, methods)
