"""`autoprog-search space`: look at growth spaces."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from autoprog_search.cli import completion
from autoprog_search.cli.tables import Format, echo_table, format_option
from autoprog_search.errors import printable
from autoprog_search.report.units import flops_text

if TYPE_CHECKING:
    from autoprog_search.analysis.planning import PlannedRun, Resources
    from autoprog_search.cost import ModelCost
    from autoprog_search.space import GrowthSpace


@click.group()
def space() -> None:
    """Growth spaces: which depths and patch counts a schedule may grow through."""


@space.command("list")
@format_option()
def list_spaces(fmt: Format) -> None:
    """List the presets."""
    from autoprog_search.space import GrowthSpace

    rows = []
    for name in GrowthSpace.presets():
        preset = GrowthSpace.load(name)
        rows.append(
            {
                "name": name,
                "model": preset.model,
                "depths": _join(preset.depths),
                "resolutions": _join(_resolutions(preset)),
                "stages": preset.stages,
                "schedules": preset.count(),
                "description": preset.description,
            }
        )
    echo_table(rows, fmt)


@space.command("show")
@click.argument("name", shell_complete=completion.spaces)
@format_option()
@click.option("--epochs", type=float, help="Epochs of a run. Default: the recipe's.")
@click.option("--device", help="Also predict what runs take on this accelerator, such as h100.")
@click.option("--devices", type=int, help="How many of them. Default: 1.")
@click.option("--utilisation", type=float, help="Share of the peak that becomes the model's FLOPs. Default: 0.35.")
@click.option("--images", type=int, help="Training images an epoch. Default: ImageNet-1k's 1281167.")
def show(
    name: str,
    fmt: Format,
    epochs: float | None,
    device: str | None,
    devices: int | None,
    utilisation: float | None,
    images: int | None,
) -> None:
    """Show a preset's (or a YAML file's) stages under the `linear` schedule, and the levels it grows through.

    flops are of one image's forward pass (1,000 classes); cost is the same over the full network's. json and csv print
    one document, the stages; with --device json prints stages and schedules, csv the schedules.
    """
    from autoprog_search.analysis.planning import IMAGENET_IMAGES, Resources, accelerator_named, plan_runs
    from autoprog_search.settings.recipe import load_recipe
    from autoprog_search.space import GrowthSpace

    asked = {"devices": devices, "utilisation": utilisation, "images": images}
    given: dict[str, Any] = {option: value for option, value in asked.items() if value is not None}
    if device is None and given:
        raise click.UsageError(f"--{next(iter(given))} is part of a prediction: give --device too")
    images = given.pop("images", IMAGENET_IMAGES)
    resources = Resources(accelerator_named(device), **given) if device is not None else None
    chosen = GrowthSpace.load(name)
    recipe = load_recipe(chosen.recipe)
    epochs = recipe.epochs if epochs is None else epochs
    share = resources.share_of(recipe.batch_size) if resources is not None else None
    cost = _cost_of(chosen)
    runs = plan_runs(chosen, cost, resources, epochs, images) if resources is not None else ()
    stages = _stage_rows(chosen, cost, resources)
    bounds = _bounds(chosen, cost, epochs)
    if fmt == "json" and resources is not None:
        prediction = {**asdict(resources), "epochs": epochs, "images": images, "images_per_step": share}
        document = {"stages": stages, "schedules": [asdict(run) for run in runs], "prediction": prediction}
        click.echo(json.dumps(document, indent=1))
    elif fmt != "table":
        echo_table([asdict(run) for run in runs] or stages, fmt)
    else:
        title = f"{chosen.name} ({chosen.model}): the linear schedule, one of {chosen.count():,}"
        echo_table([{**row, "flops": flops_text(row["flops"])} for row in stages], fmt, title=title)
        click.echo(f"depths: {_join(chosen.depths)}; resolutions: {_join(_resolutions(chosen))} px")
        kept = ", kept at random while training" if chosen.patches_by == "dropout" else ""
        click.echo(
            f"patches of {_join(_patch_sizes(chosen))} px: {_join(chosen.patches)}{kept}; recipe: {chosen.recipe}"
        )
        click.echo(bounds)
        if resources is not None:
            _echo_prediction(runs, resources, epochs, images, recipe.batch_size)
            _echo_compilation(chosen, runs)


def _cost_of(space: GrowthSpace) -> ModelCost:
    from autoprog_search.growth.space_cost import cost_of  # last: it waits for torch, and wrong options should not

    return cost_of(space)


def _stage_rows(space: GrowthSpace, cost: ModelCost, resources: Resources | None) -> list[dict[str, Any]]:
    """The linear schedule's stages; where resources are planned, with the images that one device takes a second."""
    from autoprog_search.analysis.planning import images_per_second
    from autoprog_search.methods.fixed import linear, through

    program = through(space, linear(space))
    shares = program.shares or space.stage_lengths or (1 / space.stages,) * space.stages
    rows = []
    for k, (sub_network, share) in enumerate(zip(program.sub_networks, shares, strict=True), start=1):
        row = {
            "stage": k,
            "depth": sub_network.depth,
            "patches": sub_network.patches,
            "resolution": space.patching.image_side(sub_network),
            "share": round(share, 4),
            "flops": cost.forward_flops(sub_network),
            "cost": round(cost.forward_flops(sub_network) / cost.forward_flops(space.full), 4),
        }
        if resources is not None:
            row["images_per_second"] = round(images_per_second(cost, sub_network, resources))
        rows.append(row)
    return rows


def _bounds(space: GrowthSpace, cost: ModelCost, epochs: float) -> str:
    """What fixed epochs allow, in two lines."""
    from autoprog_search.analysis import planning
    from autoprog_search.methods.fixed import linear
    from autoprog_search.settings.growth import GrowthSettings

    share = planning.full_share(space, epochs)
    most = planning.most_speedup(share, planning.cheapest_cost(space, cost))
    search = GrowthSettings().search
    if space.clock == "free":
        probe = planning.probe_cost(search.probe_share, space, cost)
        last, added = "tick", f"its probe adds {100 * probe:.3g} %" if probe else "it measures nothing, and adds 0 %"
    else:
        estimates = planning.most_estimate_share(search.estimate_share, share)
        last = "stage"
        added = f"supernet steps replace training steps; its estimates add at most {100 * estimates:.3g} %"
    return (
        f"speed-up over full in FLOPs, {epochs:g} epochs: linear "
        f"{planning.speedup_of(space, cost, linear(space), epochs):.2f}×; at most {most:.2f}× "
        f"(smallest sub-network until the last {last})\n"
        f"autoprog: {added} of full's FLOPs"
    )


def _echo_prediction(
    runs: Sequence[PlannedRun], resources: Resources, epochs: float, images: int, batch_size: int
) -> None:
    accelerator, devices = resources.accelerator, resources.devices
    rows = [
        {
            "schedule": run.schedule,
            "FLOPs": flops_text(run.flops),
            "speed-up": f"{run.speedup:.2f}×",
            f"hours on {devices}": f"{run.seconds / 3600:,.2f}",
            "GPU-hours": f"{run.gpu_hours:,.2f}",
        }
        for run in runs
    ]
    click.echo(f"\na run of {epochs:g} epochs of {images:,} images, {devices} x {accelerator.name}:")
    echo_table(rows, "table")
    own = resources.share_of(batch_size)
    together = (
        f"{devices} train a run together under torchrun, a step's {batch_size:,} images are {own:,} each: what adding "
        "up gradients takes is left out, too; or they share a study's trials"
        if own
        else f"{devices} share a study's trials; a step's {batch_size:,} images do not divide among them"
    )
    shared = f"\n{together}" if devices > 1 else ""
    click.echo(
        f"predicted, not measured: {flops_text(accelerator.peak_flops)}/s {accelerator.precision} peak x utilisation "
        f"{resources.utilisation:g}; loader, evaluation and optimiser left out{shared}"
    )


def _echo_compilation(space: GrowthSpace, runs: Sequence[PlannedRun]) -> None:
    """Whether `recipe.compile` pays back within the shortest of the runs."""
    from autoprog_search.analysis.planning import compile_saves, compile_takes

    takes, shortest = compile_takes(space), min(runs, key=lambda run: run.seconds)
    saves = compile_saves(shortest)
    verdict = "pays back" if saves > takes else "does not pay back; leave it off"
    click.echo(
        f"recipe.compile: {len(space.patches)} patch counts take about {takes:.0f} s to compile, {shortest.schedule} "
        f"saves about {saves:,.0f} s (as DeiT-S on an H200): {verdict}"
    )


@space.command("validate")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@format_option("text", "json")
def validate(files: tuple[str, ...], fmt: str) -> None:
    """Check growth spaces in YAML files, and that their models exist and can be elastic.

    The first wrong field ends with exit code 2, and then json prints nothing.
    """
    from autoprog_search.errors import GrowthError
    from autoprog_search.space import GrowthSpace

    rows = []
    for file in files:
        checked = GrowthSpace.load(file)
        try:
            _cost_of(checked)
        except GrowthError as error:
            raise GrowthError(f"{file}: {error}") from None
        row = {"file": file, "schedules": checked.count(), "sub_networks": len(checked.sub_networks)}
        rows.append(row)
        if fmt == "text":
            click.echo(f"{printable(file)}: {row['schedules']:,} schedules over {row['sub_networks']} sub-networks")
    if fmt == "json":
        echo_table(rows, "json")


def _resolutions(space: GrowthSpace) -> list[int]:
    sides = space.patching.image_sides(space.patches)
    return sides[-1:] if space.patches_by == "dropout" else sides


def _patch_sizes(space: GrowthSpace) -> Iterable[int]:
    """Each size once, the fewest patches' first."""
    return dict.fromkeys(space.patching.patch_size(space.at(0, j)) for j in range(len(space.patches)))


def _join(values: Iterable[int]) -> str:
    return ", ".join(str(v) for v in values)
