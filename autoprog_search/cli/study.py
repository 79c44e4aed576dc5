"""`autoprog-search study`: create, run and look at studies."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from autoprog_search.cli import completion
from autoprog_search.cli.doctor import doctor
from autoprog_search.cli.loggers import logger_option
from autoprog_search.cli.main import Session, check_together, others
from autoprog_search.cli.results import compare, plot, regret, report
from autoprog_search.cli.tables import Format, echo_table, format_option, plain_rows
from autoprog_search.cli.watch import watch
from autoprog_search.engines.engine import ENGINES, Needs
from autoprog_search.errors import AutoProgError, RunFailedError, printable
from autoprog_search.methods.registry import METHODS
from autoprog_search.runs.growths import growth_lines

if TYPE_CHECKING:
    from autoprog_search.space import GrowthSpace
    from autoprog_search.study.config import StudyConfig
    from autoprog_search.study.store import StoredStudy
    from autoprog_search.training.world import World

DEFAULT_METHODS = ("full", "full-short", "linear", "autoprog")


def methods_help() -> str:
    """Every method and what it is, a line each."""
    width = max(map(len, METHODS))
    return "\n".join(["\b", "Methods:", *(f"  {name:{width}}  {info.description}" for name, info in METHODS.items())])


def engines_help() -> str:
    """Every engine and what it is."""
    return "Who runs the trials: " + "; ".join(f"{name}, {info.description}" for name, info in ENGINES.items()) + "."


@click.group()
@click.pass_context
def study(ctx: click.Context) -> None:
    """Studies: methods that choose growth schedules, compared on the same space, data, recipe and seeds."""
    check_together(ctx, "run")


for command in (doctor, watch, compare, regret, plot, report):
    study.add_command(command)


@study.command("create", epilog=methods_help())
@click.argument("name")
@click.option(
    "--space",
    shell_complete=completion.spaces,
    help="Growth space: a preset (see `space list`) or a YAML file. On a table: its own.",
)
@click.option(
    "--data",
    default="digits",
    show_default=True,
    help="`digits`, `fashion_mnist`, a timm data set name (torch/..., hfds/..., wds/...), an image folder, or "
    "`table:NAME`: look results up (see `table list`).",
)
@click.option("--data-root", default="", help="Folder of a named data set.")
@click.option(
    "--methods",
    shell_complete=completion.methods,
    help=f"Comma-separated. Default: {','.join(DEFAULT_METHODS)}; on a table no full-short.",
)
@click.option("--trials", type=click.IntRange(1), default=8, show_default=True, help="Of methods that learn by trials.")
@click.option("--seeds", type=click.IntRange(1), default=3, show_default=True, help="Every method runs once a seed.")
@click.option("--recipe", help="Recipe: a name or a YAML file. Default: the space's.")
@click.option("--config", type=click.Path(path_type=Path, dir_okay=False), help="Take all from another study.yaml.")
@click.option("--storage", default="", help="URL of an Optuna storage. Default: SQLite in the study's folder.")
@click.option("--artifacts", default="", help="URL or folder that keeps checkpoints and weights, too: file:, s3:, ...")
@click.option("--set", "overrides", multiple=True, metavar="FIELD=VALUE", help="Such as recipe.lr=3e-4. Repeatable.")
@click.option("--skip-if-exists", is_flag=True, help="Do nothing where the study exists.")
@click.pass_obj
def create(
    session: Session,
    name: str,
    space: str | None,
    data: str,
    data_root: str,
    methods: str | None,
    trials: int,
    seeds: int,
    recipe: str | None,
    config: Path | None,
    storage: str,
    artifacts: str,
    overrides: tuple[str, ...],
    skip_if_exists: bool,
) -> None:
    """Write a study's configuration and its trials; `study run` runs them.

    Every field of the configuration can be set: recipe.*, growth.*, data.*, nni.*, methods.NAME.trials, tolerance,
    threads; `autoprog-search config list` shows them all.
    """
    from autoprog_search.study.creation import create_study
    from autoprog_search.study.resolve import config_from_file, make_config

    on_table = data.startswith("table:")
    chosen = [m for m in DEFAULT_METHODS if not (on_table and m == "full-short")]
    if methods is not None:
        chosen = [m.strip() for m in methods.split(",") if m.strip()]
    if config is not None:
        resolved = config_from_file(config, name, storage, overrides, artifacts)
    elif space is None and not on_table:
        raise click.UsageError("give --space (a preset or a YAML file) or --config")
    else:
        resolved = make_config(
            name,
            space=space,
            data={"name": data, "root": data_root},
            methods=chosen,
            trials=trials,
            seeds=seeds,
            recipe=recipe,
            storage=storage,
            artifacts=artifacts,
            overrides=overrides,
        )
    if not on_table and resolved.data.table is None:
        _check_models(resolved)
    created = create_study(session.root, resolved, skip_if_exists=skip_if_exists)
    if "full" not in created.config.methods:
        note = "without the method full there is nothing to compare with: no speed-ups, no differences"
        click.echo(f"note: {note}", err=True)
    count = sum(1 for _ in created.jobs())
    written = printable(str(created.folder / "study.yaml"))
    click.echo(f"{written}: {count} trials; run them with: autoprog-search study run {name}")


def _check_models(config: StudyConfig) -> None:
    """Whether the model of every method's space can be made elastic."""
    from autoprog_search.growth.space_cost import cost_of

    checked: list[GrowthSpace] = []
    for method in config.methods:
        space = config.space_of(method)
        if space not in checked:
            cost_of(space)
            checked.append(space)


@study.command("run")
@click.argument("name", shell_complete=completion.studies)
@click.option("--workers", type=click.IntRange(1, 1024), help="Trials at a time. Default: 1; on Ray as many as fit.")
@click.option("--device", default="auto", show_default=True, help="A torch device; auto takes GPUs if there are any.")
@click.option("--engine", type=click.Choice(list(ENGINES)), default="local", show_default=True, help=engines_help())
@click.option("--address", help="Of a Ray cluster, HOST:PORT or auto. Default: Ray is started here, and ended.")
@click.option("--gpus-per-trial", type=click.FloatRange(0, 1024), help="On Ray. Default: 1 where there are any.")
@click.option("--cpus-per-trial", type=click.IntRange(1, 1024), help="On Ray. Default: threads and loader processes.")
@logger_option
@click.pass_obj
def run(
    session: Session,
    name: str,
    workers: int | None,
    device: str,
    engine: str,
    address: str | None,
    gpus_per_trial: float | None,
    cpus_per_trial: int | None,
    loggers: tuple[str, ...],
) -> None:
    """Run whatever is unfinished. Stop it as you like: the same command goes on; several share the work.

    A study that came as a study.yaml, without its database, is run anew. Several processes that torchrun has started
    train each trial together (docs/distributed.md).
    """
    from autoprog_search.study.creation import complete_study
    from autoprog_search.study.store import open_study

    world = others(device)
    needs = Needs(workers, device, address, gpus_per_trial, cpus_per_trial, loggers)
    if world is not None and needs != Needs(device=device, loggers=loggers):
        raise click.UsageError("under torchrun all processes train one trial: leave --workers and Ray's options out")
    if world is not None and engine != "local":
        raise click.UsageError(f"--engine {engine}: it starts processes of its own; leave torchrun out")
    if world is not None and not world.first:
        from autoprog_search.engines.together import follow

        follow(world)
        return
    opened = open_study(session.root, name)
    complete_study(opened)
    if not run_to_end(opened, needs, engine, world):
        failed = [str(job) for job, trial in opened.trials().items() if trial.state.name == "FAIL"]
        raise RunFailedError(f"{len(failed)} trial(s) failed: {', '.join(failed)}; `study show {name}` has the rest")


def run_to_end(opened: StoredStudy, needs: Needs, engine: str = "local", world: World | None = None) -> bool:
    """Run a stored study under a display."""
    from autoprog_search.cli.progress import showing
    from autoprog_search.engines.run import run_study
    from autoprog_search.study.results import export
    from autoprog_search.study.scheduling import to_run
    from autoprog_search.study.store import open_study

    trials = to_run(opened)
    finished = sum(trial.state.is_finished() for trial in trials.values())
    try:
        with showing(len(trials), finished) as display:
            complete = run_study(opened, needs, engine, on_event=display.event, world=world)
    except BaseException:
        with suppress(Exception):  # what has finished is there to look at, however the rest ended
            export(open_study(opened.folder.parent, opened.folder.name))  # anew: waits for no server that is away
        raise
    export(opened)
    return complete


@study.command("show")
@click.argument("name", shell_complete=completion.studies)
@format_option()
@click.pass_obj
def show(session: Session, name: str, fmt: Format) -> None:
    """Show every trial: state, schedule, accuracy, cost; under a free clock also when it grew."""
    from autoprog_search.analysis.sizes import sizes_of
    from autoprog_search.study.results import clock_frame, trials_frame
    from autoprog_search.study.store import open_study

    opened = open_study(session.root, name)
    trials = opened.trials()
    frame, clock = trials_frame(opened, trials), clock_frame(opened, trials)
    if fmt == "table":
        sizes = ["depths", sizes_of(frame).column]
        costs = ["total_flops", "speedup_flops", "speedup_seconds"]
        frame = frame[["method", "seed", "trial", "state", *sizes, "val_top1", "top1", *costs]].copy()
        frame["total_flops"] = frame["total_flops"].map("{:.3e}".format)
    rows = plain_rows(frame)
    echo_table([{n: _cell(value) for n, value in row.items()} for row in rows] if fmt == "table" else rows, fmt)
    for line in growth_lines(plain_rows(clock)) if fmt == "table" else ():
        click.echo(line)


def _cell(value: object) -> object:
    return "–" if value is None else f"{value:.2f}" if isinstance(value, float) else value


@study.command("list")
@format_option()
@click.pass_obj
def list_all(session: Session, fmt: Format) -> None:
    """List the studies in the root folder."""
    from autoprog_search.faults import known_error
    from autoprog_search.study.listing import list_studies
    from autoprog_search.study.store import ENDED_WELL, open_study

    rows = []
    for name in list_studies(session.root):
        try:
            opened = open_study(session.root, name)
            states = [t.state.name for t in opened.trials().values()] if opened.has_database else []
        except Exception as error:
            known = known_error(error)
            if known is None:
                raise
            click.echo(f"warning: {known}", err=True)
            continue
        rows.append(
            {
                "name": name,
                "space": opened.config.space.name,
                "data": opened.config.data.name,
                "methods": ",".join(opened.config.methods),
                "finished": f"{sum(state in ENDED_WELL for state in states)}/{sum(1 for _ in opened.jobs())}",
                "failed": states.count("FAIL"),
            }
        )
    echo_table(rows, fmt)


@study.command("export")
@click.argument("name", shell_complete=completion.studies)
@click.pass_obj
def export(session: Session, name: str) -> None:
    """Write results, curves, estimates and clocks as CSV and parquet into the study's folder."""
    from autoprog_search.study.results import export as write
    from autoprog_search.study.store import open_study

    for path in write(open_study(session.root, name)):
        click.echo(path)


@study.command("delete")
@click.argument("name", shell_complete=completion.studies)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def delete(session: Session, name: str, yes: bool) -> None:
    """Remove a study: its trials in the storage, its weights and its folder."""
    from autoprog_search.study.deletion import delete_folder, delete_study
    from autoprog_search.study.store import open_study

    broken: AutoProgError | None = None
    try:
        opened = open_study(session.root, name)
    except AutoProgError as error:
        if not (session.root / name / "study.yaml").exists():
            raise
        broken = error
        click.echo(f"warning: {broken}", err=True)
    folder = session.root / name
    if not yes:
        click.confirm(f"Delete {printable(str(folder))} and its trials?", abort=True, err=True)
    if broken is None:
        delete_study(opened)
    else:
        delete_folder(session.root, name)
    click.echo(f"{printable(str(folder))} is deleted")
