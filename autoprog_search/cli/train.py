"""`autoprog-search train`: one run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

from autoprog_search.cli import completion
from autoprog_search.cli.loggers import logger_option
from autoprog_search.cli.main import others
from autoprog_search.cli.tables import format_option
from autoprog_search.files import WEIGHTS
from autoprog_search.loggers.registry import check_loggers
from autoprog_search.runs.growths import growth_text

OF_RUNS = ("space", "data", "recipe", "growth", "threads")
OF_STUDIES = ("name", "methods", "first_seed", "nni", "tolerance", "storage")


@click.command()
@click.option(
    "--space",
    required=True,
    shell_complete=completion.spaces,
    help="Growth space: a preset (see `space list`) or a YAML file.",
)
@click.option(
    "--schedule",
    default="autoprog",
    show_default=True,
    shell_complete=completion.schedules,
    help="autoprog, linear, full, or a YAML file.",
)
@click.option(
    "--data",
    default="digits",
    show_default=True,
    help="`digits`, `fashion_mnist`, a timm data set name (torch/..., hfds/..., wds/...), or an image folder.",
)
@click.option("--data-root", default="", help="Folder of a named data set.")
@click.option("--recipe", help="Recipe: a name or a YAML file. Default: the space's.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option(
    "--target-speedup",
    type=click.FloatRange(1),
    metavar="X",
    help="autoprog only: the whole run is to cost full training's FLOPs over X.",
)
@click.option(
    "--device", default="auto", show_default=True, help="A torch device; auto takes a GPU where there is one."
)
@click.option(
    "--threads",
    type=click.IntRange(1),
    help="Of torch, on the CPU. Default: 1, as in a study; over another number sums round differently.",
)
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="FIELD=VALUE",
    help="For example recipe.epochs=30; `config list` shows all fields. Repeatable.",
)
@logger_option
@format_option("text", "json")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder for weights and results.",
)
def train(
    space: str,
    schedule: str,
    data: str,
    data_root: str,
    recipe: str | None,
    seed: int,
    target_speedup: float | None,
    device: str,
    threads: int | None,
    overrides: tuple[str, ...],
    loggers: tuple[str, ...],
    fmt: str,
    output: Path,
) -> None:
    """Train one model under a growth schedule; interrupted, the same command goes on.

    Several processes that torchrun has started train it together (docs/distributed.md).

    Leaves weights.safetensors (the full model's: timm.create_model(NAME, checkpoint_path=...) loads it), schedule.yaml
    (what ran) and result.json in the output folder; --json prints what result.json holds.
    """
    from autoprog_search.cli.progress import showing
    from autoprog_search.interrupt import Interrupted, signals_ask
    from autoprog_search.schedule import GrowthSchedule
    from autoprog_search.study.resolve import make_config

    check_loggers(loggers)
    world = others(device)
    own = _overrides(schedule, target_speedup, threads, overrides)
    images = {"name": data, "root": data_root}
    config = make_config(
        "train", space=space, data=images, methods=["full"], trials=1, seeds=1, recipe=recipe, overrides=own
    )
    is_file = schedule.endswith((".yaml", ".yml"))
    chosen = GrowthSchedule.from_file(Path(schedule), config.space.patch_size) if is_file else schedule
    from autoprog_search.runs.train import train as run  # last: it loads torch and timm, which takes seconds

    first = world is None or world.first
    with signals_ask() as asked_to_stop, showing() if first else nullcontext() as display:
        try:
            row = run(
                config.space,
                config.data,
                schedule=chosen,
                recipe=config.recipe,
                growth=config.growth,
                seed=seed,
                device=device,
                threads=config.threads,
                out=output,
                loggers=loggers,
                on_progress=display.run if display is not None else lambda progress: None,
                should_stop=asked_to_stop,
            )
        except Interrupted:
            raise KeyboardInterrupt from None
    if first and fmt == "json":
        click.echo(json.dumps(row, indent=1))
    elif first:
        _echo(row, output / WEIGHTS)


def _overrides(
    schedule: str, target_speedup: float | None, threads: int | None, given: tuple[str, ...]
) -> tuple[str, ...]:
    """What was set, options of their own included; refused where a single run has no such setting."""
    if target_speedup is not None:
        if schedule != "autoprog":
            raise click.UsageError(f"--target-speedup is for --schedule autoprog, not {schedule}")
        given = (*given, f"growth.target_speedup={target_speedup}")
    if threads is not None:
        given = (*given, f"threads={threads}")
    for override in given:
        if override.partition("=")[0].split(".")[0] in OF_STUDIES:
            raise click.UsageError(f"--set {override}: that is a study's; a single run has {', '.join(OF_RUNS)}")
    return given


def _echo(row: Mapping[str, Any], weights: Path) -> None:
    """What ran, and how its weights are loaded."""
    click.echo(
        f"depths {row['depths']}, patches {row['patches']} of {row['resolutions']} px, test top-1 {row['top1']:.2f} %"
    )
    if grew := growth_text(row.get("clock", ())):
        click.echo(grew)
    waited = zip(row["loader_seconds"], row["stage_seconds"], strict=True)
    shares = ", ".join(f"{100 * loader / stage:.0f} %" for loader, stage in waited)
    click.echo(f"waited for images, of each stage's time: {shares}", err=True)
    arguments = {**row["create_model"], "checkpoint_path": str(weights)}
    click.echo(f"timm.create_model({', '.join(f'{name}={value!r}' for name, value in arguments.items())})")
    click.echo(weights)
