"""`autoprog-search table`: tables of growth schedules, to be looked up instead of trained."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from autoprog_search.cli.main import Session
from autoprog_search.cli.tables import Format, echo_table, format_option
from autoprog_search.errors import ConfigError

if TYPE_CHECKING:
    from autoprog_search.tables.table import GrowthTable


@click.group()
def table() -> None:
    """Tables: every schedule of a small space, trained once a seed; studies run on them in seconds."""


@table.command("make")
@click.argument("source")
@click.option("--estimates", multiple=True, metavar="STUDY", help="A study of `survey`; one for each force_growth.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), required=True, help="FILE.parquet to write."
)
@click.pass_obj
def make(session: Session, source: str, estimates: tuple[str, ...], output: Path) -> None:
    """Make a table of a study that has every schedule (`grid`), and of surveys of AutoProg's searches.

    It only reads them, so trials that are missing are run with `study run`, which can be stopped and goes on.
    """
    from autoprog_search.analysis.tabulate import tabulate
    from autoprog_search.study.store import open_study

    if output.suffix != ".parquet":
        raise ConfigError(f"output: {str(output)!r} ends in {output.suffix!r}; a table is written as .parquet")
    surveys = [open_study(session.root, name) for name in estimates]
    for path in tabulate(open_study(session.root, source), surveys, output):
        click.echo(path)


@table.command("list")
@format_option()
def list_tables(fmt: Format) -> None:
    """List the tables that come with the package."""
    from autoprog_search.tables.loading import load_table, table_names

    rows = []
    for name in table_names():
        loaded = load_table(name)
        info = loaded.info
        rows.append(
            {
                "name": name,
                "data": info.data.name,
                "space": info.space.name,
                "schedules": info.space.count(),
                "seeds": info.seeds,
                "epochs": info.recipe.epochs,
                "estimates": ", ".join(_surveyed(loaded)) or "none",
            }
        )
    echo_table(rows, fmt)


@table.command("show")
@click.argument("name")
@format_option()
def show(name: str, fmt: Format) -> None:
    """Show a table's schedules, cheapest first: cost and accuracy, mean over its seeds. NAME may be a .parquet file."""
    from autoprog_search.report.units import flops_text
    from autoprog_search.tables.loading import load_table

    loaded = load_table(name)
    space, info = loaded.info.space, loaded.info
    rows = []
    for levels, (flops, val_top1) in sorted(loaded.truth.items(), key=lambda item: item[1]):
        sub_networks = [space.at(*pair) for pair in levels]
        seeds = range(info.seeds)
        rows.append(
            {
                "depths": " ".join(str(s.depth) for s in sub_networks),
                "resolutions": " ".join(str(space.patching.image_side(s)) for s in sub_networks),
                "flops": flops_text(flops) if fmt == "table" else flops,
                "speedup": round(loaded.full_flops / flops, 3),
                "val_top1": round(val_top1, 2),
                "top1": round(sum(loaded.runs[seed, levels]["top1"] for seed in seeds) / info.seeds, 2),
            }
        )
    title = f"{loaded.name}: {info.data.name}, {info.space.model}, {info.seeds} seeds"
    echo_table(rows, fmt, title=title)
    for force_growth, (mean, error, runs) in info.search_effects.items() if fmt == "table" else ():
        click.echo(
            f"estimates under growth.force_growth {force_growth}; searching changed the validation accuracy by "
            f"{mean:+.2f} ± {error:.2f} points (mean and standard error of {runs} runs), which a lookup leaves out"
        )


@table.command("validity")
@click.argument("name")
@click.option("--estimates", metavar="STUDY", help="A study of `survey` variants, each of them one more proxy.")
@format_option()
@click.pass_obj
def show_validity(session: Session, name: str, estimates: str | None, fmt: Format) -> None:
    """How well one-shot estimates, and simpler proxies, rank a search's candidates. NAME may be a .parquet file.

    Against the accuracy that training them came to, at the end of the stage and of the run: Kendall's tau, and regret,
    what the choice that a proxy would make gives away.
    """
    from autoprog_search.analysis.validity import axis_shares, validity
    from autoprog_search.report.texts import validity_rows
    from autoprog_search.study.results import estimates_frame
    from autoprog_search.study.store import open_study
    from autoprog_search.tables.loading import load_table

    loaded = load_table(name)
    frame = validity(loaded, estimates_frame(open_study(session.root, estimates)) if estimates else None)
    rows: list[Any] = validity_rows(frame) if fmt == "table" else frame.to_dict("records")
    echo_table(rows, fmt, title=f"{loaded.name}: what ranks a search's candidates, mean ± standard error over seeds")
    if fmt == "table":
        depth, patches = axis_shares(loaded)
        click.echo(
            f"of the variance of all schedules' test accuracy the path in resolution explains {100 * patches:.0f} %, "
            f"the path in depth {100 * depth:.0f} %"
        )


def _surveyed(loaded: GrowthTable) -> list[str]:
    return list(dict.fromkeys(force_growth for force_growth, _, _ in loaded.searches))
