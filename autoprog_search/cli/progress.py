"""Progress on standard error: a live panel on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from autoprog_search.errors import printable

if TYPE_CHECKING:
    from autoprog_search.engines.events import Event
    from autoprog_search.training.state import Progress

PLAIN_EVERY = 0.25  # share of a run between two plain lines


def describe(progress: Progress) -> str:
    """A run's state in one line: stage, sub-network, loss, accuracy, images/s, time left."""
    of = f"/{progress.stages}" if progress.stages else ""
    parts = [f"stage {progress.stage}{of}", f"{progress.sub_network}"]
    if progress.phase == "search":
        parts[0] += " search"
    if progress.loss is not None:
        parts.append(f"loss {progress.loss:.3f}, val {progress.val_top1:.2f} %")
    parts.append(f"{progress.images_per_second:,.0f} images/s")
    parts.append(f"{duration(progress.seconds_left)} left")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """Seconds as `m:ss` or `h:mm:ss`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class Display:
    """Shows the events of a study, or of one run. Use as `with showing(...) as display: ... on_event=display.event`."""

    def __init__(self, trials: int, finished: int, live: Any) -> None:
        self._trials, self._finished, self._live = trials, finished, live
        self._running: dict[Any, Progress | None] = {}
        self._told: dict[Any, float] = {}
        self._begin = time.monotonic()

    def event(self, event: Event) -> None:
        """Show one event."""
        if event.kind == "profile":
            self._line(f"measuring the step time of every sub-network ({event.message})")
        elif event.kind == "budget":
            self._line(f"budget: {event.message}")
        elif event.kind == "portal":
            self._line(f"NNI's portal for {event.message}")
        elif event.kind == "warning":
            self._line(f"warning: {event.message}")
        elif event.kind == "start":
            self._running[event.job] = None
            self._line(f"start  {event.job}", live=False)
        elif event.kind == "progress":
            self._running[event.job] = event.progress
            self._plain_progress(event.job, event.progress)
        elif event.kind in ("done", "fail"):
            self._running.pop(event.job, None)
            self._finished += event.trials
            elapsed = duration(time.monotonic() - self._begin)
            word = "done  " if event.kind == "done" else "FAILED"
            self._line(f"{word} {event.job}: {event.message} [{self._finished}/{self._trials}, {elapsed}]")
        self._refresh()

    def run(self, progress: Progress) -> None:
        """Show the progress of a single run."""
        self._running["run"] = progress
        self._plain_progress("run", progress)
        self._refresh()

    def _plain_progress(self, job: Any, progress: Progress) -> None:
        share = progress.step / progress.steps
        if self._live is None and share - self._told.get(job, 0.0) >= PLAIN_EVERY:
            self._told[job] = share
            self._line(f"{share:5.0%}  {job}: {describe(progress)}")

    def _line(self, text: str, live: bool = True) -> None:
        text = printable(text)  # a trial's error, which the storage has, may be anything
        if self._live is None:
            print(text, file=sys.stderr, flush=True)
        elif live:
            self._live.console.print(text, highlight=False, markup=False, emoji=False)

    def _refresh(self) -> None:
        if self._live is None:
            return
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        table = Table.grid(padding=(0, 1))
        for job, progress in self._running.items():
            share = progress.step / progress.steps if progress else 0.0
            bar = ProgressBar(total=1.0, completed=share, width=20)
            table.add_row(str(job), bar, describe(progress) if progress else "starting")
        if self._trials:
            done = self._finished + sum(p.step / p.steps for p in self._running.values() if p)
            bar = ProgressBar(total=self._trials, completed=done, width=20)
            table.add_row("study", bar, f"{self._finished}/{self._trials} trials")
        self._live.update(table)


@contextmanager
def showing(trials: int = 0, finished: int = 0) -> Iterator[Display]:
    """A display for so many trials, of which some have ended before."""
    if not sys.stderr.isatty():
        yield Display(trials, finished, None)
        return
    from rich.console import Console
    from rich.live import Live

    with Live(console=Console(stderr=True), refresh_per_second=4, transient=True) as live:
        yield Display(trials, finished, live)
