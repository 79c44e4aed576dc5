"""`autoprog-search demo`: the whole story on embedded data."""

from __future__ import annotations

import os

import click

from autoprog_search.cli.main import Session


@click.command()
@click.option("--workers", type=click.IntRange(1, 1024), help="Local processes. Default: one a CPU core.")
@click.option("--device", default="cpu", show_default=True, help="A torch device; models this small need no GPU.")
@click.pass_obj
def demo(session: Session, workers: int | None, device: str) -> None:
    """Compare six ways to train a small ViT on scikit-learn's digits; nothing is downloaded.

    full and full-short (the control), the manual linear schedule, and AutoProg with 3 seeds each; random search and TPE
    with 6 trials of one seed. It takes minutes on two CPU cores, goes on where it was interrupted, and leaves
    results.csv, report.html and the Pareto plot in the study's folder.
    """
    from importlib.resources import as_file, files

    from autoprog_search.cli.results import echo_comparison
    from autoprog_search.cli.study import run_to_end
    from autoprog_search.engines.engine import Needs
    from autoprog_search.errors import RunFailedError, StudyError
    from autoprog_search.files import write_atomic
    from autoprog_search.report.figures import FIGURES
    from autoprog_search.report.page import report_page
    from autoprog_search.report.writing import write_figure
    from autoprog_search.study.creation import create_study
    from autoprog_search.study.identity import study_hash
    from autoprog_search.study.resolve import config_from_file
    from autoprog_search.study.results import stored_frames

    workers = workers or os.cpu_count() or 1
    with as_file(files("autoprog_search.study") / "demo.yaml") as path:
        config = config_from_file(path, "demo")
    study = create_study(session.root, config, skip_if_exists=True)
    if study_hash(study.config) != study_hash(config):
        raise StudyError(f"name: {study.folder} holds a demo with other settings; `autoprog-search study delete demo`")
    plans = ", ".join(f"{name} {plan.trials * plan.seeds}" for name, plan in config.methods.items())
    click.echo(
        f"budget: {sum(1 for _ in study.jobs())} training runs of {config.recipe.epochs} epochs ({plans}) on "
        f"{workers} process(es); made to end within 8 minutes on 2 CPU cores",
        err=True,
    )
    complete = run_to_end(study, Needs(workers, device))
    echo_comparison([study])
    tables = stored_frames(study)
    write_atomic(study.folder / "report.html", report_page(tables).encode())
    figure = FIGURES["pareto"].draw(tables, "flops")
    write_figure(figure, study.folder / "pareto.html")
    try:
        write_figure(figure, study.folder / "pareto.png")
    except StudyError as error:
        click.echo(f"no pareto.png: {error}", err=True)
    for name in ("results.csv", "report.html", "pareto.html"):
        click.echo(study.folder / name)
    if not complete:
        raise RunFailedError("some trials failed; `autoprog-search study show demo` shows which")
