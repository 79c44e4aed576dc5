"""A logger that remembers what it was told, for tests of whoever tells it."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from autoprog_search.loggers.logger import LOSS, End, LoggedRun, Point
from autoprog_search.training.run import Run
from tests.tiny import tiny_config, tiny_run

HOSTILE = "\x1b[31m<script>\x9b2J\u202e"
SPELT_OUT = r"\x1b[31m<script>\x9b2J\u202e"


def hostile_run() -> Run:
    """A run that is called what no file of settings may say; an Optuna study of one's own may."""
    run = tiny_run(tiny_config())
    run.spec = replace(run.spec, method=HOSTILE)
    return run


@dataclass
class Remembering:
    """Attributes are what it was told; `fails`: the name of the call that raises, as a server that is away would."""

    fails: str = ""
    run: LoggedRun | None = None
    known_as: str | None = None
    points: list[Point] = field(default_factory=list)
    events: list[tuple[int, str]] = field(default_factory=list)
    end: End | None = None

    def start(self, run: LoggedRun, known_as: str | None) -> str:
        self._may_fail("start")
        self.run, self.known_as = run, known_as
        return known_as or "number 7"

    def log(self, points: Sequence[Point]) -> None:
        self._may_fail("log")
        self.points += points

    def event(self, step: int, text: str) -> None:
        self._may_fail("event")
        self.events.append((step, text))

    def finish(self, end: End) -> None:
        self._may_fail("finish")
        self.end = end

    def of(self, name: str) -> list[tuple[int, float]]:
        """(step, value) of a value's points."""
        return [(point.step, point.values[name]) for point in self.points if name in point.values]

    def _may_fail(self, call: str) -> None:
        if self.fails == call:
            raise ConnectionError("http://me:secret@server/ is away")


class Writing(Remembering):
    """At each run's end it adds a line to the file that TOLD names: who was told, of which run, how much."""

    def finish(self, end: End) -> None:
        super().finish(end)
        assert self.run is not None
        line = [os.environ["RANK"], self.run.name, len(self.of(LOSS)), end.results["top1"]]
        with Path(os.environ["TOLD"]).open("a") as file:
            file.write(json.dumps(line) + "\n")
