"""The `autoprog-search` command: groups that load when called, and the one place where errors become exit codes."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import click

from autoprog_search.errors import AutoProgError

COMMANDS = {
    "config": ("autoprog_search.cli.config:config", "Fields that --set and a study.yaml know: list, show."),
    "demo": ("autoprog_search.cli.demo:demo", "The whole story on embedded data, in minutes on two CPU cores."),
    "space": ("autoprog_search.cli.space:space", "Growth spaces: list, show, validate."),
    "study": ("autoprog_search.cli.study:study", "Studies: create, run, compare methods, plot, report."),
    "table": ("autoprog_search.cli.table:table", "Tables of all schedules of a space: make, list, show."),
    "train": ("autoprog_search.cli.train:train", "Train one model under a growth schedule."),
}


@dataclass(frozen=True)
class Session:
    """What every command shares: the folder that studies live in."""

    root: Path


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called, so that `--help` waits for nothing."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of the commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--root",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("studies"),
    show_default=True,
    envvar="AUTOPROG_SEARCH_ROOT",
    help="Folder that studies live in (or set AUTOPROG_SEARCH_ROOT).",
)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(package_name="autoprog-search")
@click.pass_context
def cli(ctx: click.Context, root: Path, debug: bool) -> None:
    """Find and run growth schedules for training vision Transformers.

    A schedule starts training with fewer layers on fewer patches and grows in stages. AutoProg (CVPR 2022) finds one
    during the run itself; random search, TPE and manual schedules are compared with it on the same space.

    Start with `autoprog-search demo`.
    """
    ctx.obj = Session(root)


def main() -> None:
    """Entry point: exit code 2 for wrong input, 1 for a failed run, 130 when interrupted."""
    debug = "--debug" in sys.argv
    try:
        cli.main(standalone_mode=False)
    except AutoProgError as error:
        if debug:
            raise
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        if debug:
            raise
        click.echo("interrupted; run the same command again to go on", err=True)
        sys.exit(130)
