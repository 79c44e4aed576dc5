"""`autoprog-search space`: look at growth spaces."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from autoprog_search.cli.tables import FORMATS, Format, echo_table

if TYPE_CHECKING:
    from autoprog_search.space import GrowthSpace


@click.group()
def space() -> None:
    """Growth spaces: which depths and patch counts a schedule may grow through."""


@space.command("list")
@click.option("-f", "--format", "fmt", type=click.Choice(FORMATS), default="table", show_default=True)
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
@click.argument("name")
@click.option("-f", "--format", "fmt", type=click.Choice(FORMATS), default="table", show_default=True)
def show(name: str, fmt: Format) -> None:
    """Show a preset's (or a YAML file's) stages under the `linear` schedule, and the levels it grows through."""
    from autoprog_search.methods.fixed import linear
    from autoprog_search.space import GrowthSpace

    chosen = GrowthSpace.load(name)
    rows = []
    for k, (i, j) in enumerate(linear(chosen), start=1):
        sub_network = chosen.at(i, j)
        rows.append(
            {
                "stage": k,
                "depth": sub_network.depth,
                "patches": sub_network.patches,
                "resolution": sub_network.resolution(chosen.patch_size),
                "share": round(chosen.stage_lengths[k - 1] if chosen.stage_lengths else 1 / chosen.stages, 4),
            }
        )
    title = f"{chosen.name} ({chosen.model}): the linear schedule, one of {chosen.count():,}"
    echo_table(rows, fmt, title=title)
    if fmt == "table":
        click.echo(f"depths: {_join(chosen.depths)}; resolutions: {_join(_resolutions(chosen))} px")
        click.echo(f"patches of {chosen.patch_size} px: {_join(chosen.patches)}; recipe: {chosen.recipe}")


@space.command("validate")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
def validate(files: tuple[str, ...]) -> None:
    """Check growth spaces in YAML files; the first wrong field ends with exit code 2."""
    from autoprog_search.space import GrowthSpace

    for file in files:
        checked = GrowthSpace.load(file)
        click.echo(f"{file}: {checked.count():,} schedules over {len(checked.sub_networks)} sub-networks")


def _resolutions(space: GrowthSpace) -> list[int]:
    return [s.resolution(space.patch_size) for s in (space.at(0, j) for j in range(len(space.patches)))]


def _join(values: Iterable[int]) -> str:
    return ", ".join(str(v) for v in values)
