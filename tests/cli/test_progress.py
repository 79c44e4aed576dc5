"""What `study run` says of its trials is text, whatever their errors hold."""

from __future__ import annotations

import io
import logging
from types import SimpleNamespace

import pytest
from rich.console import Console

from autoprog_search.cli.progress import Display
from autoprog_search.engines.events import Event
from autoprog_search.faults import Warnings
from autoprog_search.study.store import Job

HOSTILE = "\x1b[2J[red]pip install 'autoprog-search[figures]'[/x] :boom:\n\x9b31m"
SPELT_OUT = r"\x1b[2J[red]pip install 'autoprog-search[figures]'[/x] :boom:\n\x9b31m"


@pytest.mark.parametrize("live", [True, False])
def test_a_trials_error_moves_no_cursor_and_is_no_markup(live, capsys):
    screen = io.StringIO()
    shown = SimpleNamespace(console=Console(file=screen, width=200), update=lambda table: None)
    Display(2, 0, shown if live else None).event(Event("fail", Job("full", 0, 0), message=HOSTILE))
    (line,) = (screen.getvalue() if live else capsys.readouterr().err).splitlines()
    assert line.startswith(f"FAILED full seed 0: {SPELT_OUT} [1/2, ")


def test_a_warning_is_a_line():
    told: list[str] = []
    Warnings(told.append).emit(logging.LogRecord("a", logging.WARNING, "", 0, "%s", (HOSTILE,), None))
    assert told == [SPELT_OUT]
