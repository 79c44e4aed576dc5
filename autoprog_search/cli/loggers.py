"""`--logger`: who is told what runs do. It is no setting: what is logged changes no result."""

from __future__ import annotations

import click

from autoprog_search.loggers.registry import LOGGERS

logger_option = click.option(
    "--logger",
    "loggers",
    multiple=True,
    type=click.Choice(list(LOGGERS)),
    help="Log losses, accuracy, growth and weights there (docs/integrations.md). Repeatable.",
)
