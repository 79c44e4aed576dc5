"""`autoprog-search study compare`, `regret`, `plot` and `report`: what a study found."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from autoprog_search.analysis.margin import MARGIN
from autoprog_search.cli import completion
from autoprog_search.cli.main import Session
from autoprog_search.cli.tables import Format, echo_sentences, echo_table, format_option, plain_rows
from autoprog_search.report.figures import FIGURES
from autoprog_search.report.writing import STYLES

if TYPE_CHECKING:
    from autoprog_search.cost import CostKind
    from autoprog_search.study.store import StoredStudy

COSTS = ("flops", "seconds")
margin_option = click.option(
    "--margin", type=float, default=MARGIN, show_default=True, help="Points of test accuracy that may be lost."
)


@click.command("compare")
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=completion.studies)
@margin_option
@format_option()
@click.pass_obj
def compare(session: Session, names: tuple[str, ...], margin: float, fmt: Format) -> None:
    """Compare the methods of studies: accuracy, cost, speed-up over `full` of the same seed, search cost.

    First a verdict on each method: whether it is shown to lose no more than the margin, or how many seeds would show it
    (docs/results.md).
    """
    from autoprog_search.study.store import open_study

    echo_comparison([open_study(session.root, name) for name in names], margin, fmt)


def echo_comparison(studies: Sequence[StoredStudy], margin: float = MARGIN, fmt: Format = "table") -> None:
    """Print a comparison of studies: verdicts and a table for people, raw numbers for programs."""
    import pandas as pd

    from autoprog_search.analysis.compare import compare_study
    from autoprog_search.analysis.verdict import verdicts
    from autoprog_search.report.texts import comparison_rows
    from autoprog_search.report.verdict import READING, verdict_text

    pairs = [compare_study(study, margin) for study in studies]
    table = pd.concat([compared for _, compared in pairs], ignore_index=True)
    if fmt != "table":
        echo_table(plain_rows(table.replace(float("inf"), float("nan"))), fmt)  # JSON has no infinity
        return
    for study, (trials, compared) in zip(studies, pairs, strict=True):
        where = f"{study.name}, " if len(studies) > 1 else ""
        echo_sentences(where + verdict_text(verdict) for verdict in verdicts(trials, compared))
    if table["p_margin"].notna().any():
        echo_sentences([READING])
    echo_table(comparison_rows(table), fmt)


@click.command("regret")
@click.argument("name", shell_complete=completion.studies)
@format_option()
@click.pass_obj
def regret(session: Session, name: str, fmt: Format) -> None:
    """Show how soon a study's methods find good schedules: hypervolume regret, ranks, and what matching autoprog takes.

    Compute is in runs of full. On a table (`--data table:NAME`) accuracies are the table's means; elsewhere those of
    the runs themselves, noise included, on the seeds that every method has (docs/table.md).
    """
    from autoprog_search.analysis.regret import regret_summary, scored
    from autoprog_search.report.texts import regret_rows
    from autoprog_search.study.results import stored_frames
    from autoprog_search.study.store import open_study

    table = regret_summary(scored(stored_frames(open_study(session.root, name))))
    finite = table.replace(float("inf"), float("nan"))  # JSON has no infinity
    echo_table(regret_rows(table) if fmt == "table" else plain_rows(finite), fmt)


@click.command("plot")
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=completion.studies)
@click.option("--kind", type=click.Choice(list(FIGURES)), default="pareto", show_default=True)
@click.option("--cost", type=click.Choice(COSTS), default="flops", show_default=True, help="Cost to plot against.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="FILE.html, FILE.svg, FILE.pdf or FILE.png."
)
@click.option("--width", help="Of an image: 140mm, 5.5in, 397pt, 1000px (96 an inch).  [default: the style's]")
@click.option(
    "--style", type=click.Choice(list(STYLES)), default="screen", show_default=True, help="Of an image: size and font."
)
@click.pass_obj
def plot(
    session: Session,
    names: tuple[str, ...],
    kind: str,
    cost: CostKind,
    output: Path | None,
    width: str | None,
    style: str,
) -> None:
    """Draw a figure of a study: a page of its own, or an image (extra `figures`), for a paper too.

    `--style paper`: text of 8 pt in a column of 140 mm. `--kind profile` takes several studies: how often each method
    is within a factor of the cheapest that is as accurate as `full`.
    """
    from autoprog_search.report.writing import length, write_figure
    from autoprog_search.study.results import stored_frames
    from autoprog_search.study.store import open_study

    info = FIGURES[kind]
    if len(names) > 1 and info.several is None:
        several = ", ".join(other for other, its in FIGURES.items() if its.several)
        raise click.UsageError(f"--kind {kind}: draws one study, got {len(names)}; several are for: {several}")
    opened = [open_study(session.root, name) for name in names]
    studies = [stored_frames(study) for study in opened]
    figure = info.draw_several(studies, cost) if info.several else info.draw(studies[0], cost)
    output = output or opened[0].folder / f"{kind}.html"
    write_figure(figure, output, length(width) if width else None, style)
    click.echo(output)


@click.command("report")
@click.argument("name", shell_complete=completion.studies)
@margin_option
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Default: report.html beside it.")
@click.pass_obj
def report(session: Session, name: str, margin: float, output: Path | None) -> None:
    """Write one self-contained HTML page: verdict, comparison, Pareto front, schedules, curves, estimates."""
    from autoprog_search.files import write_atomic
    from autoprog_search.report.page import report_page
    from autoprog_search.study.results import stored_frames
    from autoprog_search.study.store import open_study

    opened = open_study(session.root, name)
    output = output or opened.folder / "report.html"
    write_atomic(output, report_page(stored_frames(opened), margin).encode())
    click.echo(output)
