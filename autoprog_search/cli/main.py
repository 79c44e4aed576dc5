"""The `autoprog-search` command: groups that load when called, and the one place where errors become exit codes."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import click

from autoprog_search.errors import SaidElsewhere, masked, printable
from autoprog_search.faults import Warnings, among_others, known_error

if TYPE_CHECKING:
    from autoprog_search.training.world import World

COMMANDS = {
    "config": ("autoprog_search.cli.config:config", "Fields that --set and a study.yaml know: list, show."),
    "dashboard": ("autoprog_search.cli.dashboard:dashboard", "A study in optuna-dashboard."),
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
    check_together(ctx, "train", "study")


def main() -> None:
    """Entry point: exit code 2 for wrong input, 1 for a failed run, 130 when interrupted."""
    _open_standard_streams()
    logger = logging.getLogger("autoprog_search")
    if not logger.handlers:
        told = Warnings(lambda text: click.echo(f"warning: {text}", err=True))
        if among_others() and os.environ["RANK"] != "0":  # which would say all that rank 0 says once more
            told.addFilter(logging.Filter("autoprog_search.cache"))
        logger.addHandler(told)
    debug = "--debug" in sys.argv
    try:
        with _joined():
            cli.main(standalone_mode=False)
        sys.stdout.flush()  # here, where what is wrong with it can still be said
    except SaidElsewhere as error:
        sys.exit(error.exit_code)
    except click.ClickException as error:
        object.__setattr__(error, "message", _as_text(error.message))
        error.show()
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        _end_interrupted(debug)
    except click.Abort as error:
        if isinstance(error.__cause__, EOFError):  # click takes any for Ctrl-D; it was a file of ours that ended
            raise error.__cause__ from None
        if error.__cause__ is None:  # the answer to a question
            click.echo("aborted", err=True)
            sys.exit(1)
        _end_interrupted(debug)
    except Exception as error:
        known = known_error(error)
        if debug or known is None:
            raise
        _give_up_output(error)
        click.echo(f"error: {known}", err=True)
        sys.exit(known.exit_code)


def check_together(ctx: click.Context, *commands: str) -> None:
    """Refuse what several processes would each do by themselves, if torchrun has started some."""
    if among_others() and ctx.invoked_subcommand not in commands:
        raise click.UsageError(f"{ctx.invoked_subcommand}: under torchrun there are train and study run")


def others(device: str) -> World | None:
    """This process among those that torchrun has started; None where it is alone.

    Raises:
        ConfigError: a device was asked for, where each process has its own.
    """
    if not among_others():
        return None
    from autoprog_search.training.world import check_device, current_world

    world = current_world()
    check_device(world, device)
    return world


def _joined() -> AbstractContextManager[object]:
    if not among_others():
        return nullcontext()
    from autoprog_search.training.joining import joined  # loads torch

    return joined()


def _as_text(message: str) -> str:
    """What click says, of several lines perhaps: a URL may have been given to the wrong option, or a hostile name."""
    return "\n".join(map(printable, masked(message).splitlines()))


def _end_interrupted(debug: bool) -> None:
    if debug:
        raise
    click.echo("interrupted; run the same command again to go on", err=True)
    sys.exit(130)


def _open_standard_streams() -> None:
    """Give closed standard streams somewhere to go, and all of them a way to show any name.

    A file opened later would otherwise become standard output, and be written into.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115 - as long as the process
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # file names need not be UTF-8


def _give_up_output(error: Exception) -> None:
    """Where standard output is full, let Python's own last flush succeed: it would end in a traceback."""
    if not isinstance(error, OSError) or error.filename is not None:
        return
    with suppress(OSError, ValueError):  # it may be no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
