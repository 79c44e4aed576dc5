"""What a run tells its loggers, when: values as they come to the host, growth as events, the weights at the end.

Nothing here asks the device for a value: losses come twenty steps at a time, when the run looks at them itself. All is
told before a checkpoint counts it, so that a run that is killed goes on without a gap.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from autoprog_search.errors import ConfigError, RunFailedError, StudyError, masked, printable, why
from autoprog_search.files import write_atomic
from autoprog_search.interrupt import StoppedEarly
from autoprog_search.loggers.logger import (
    FLOPS,
    LOSS,
    OF_EPOCHS,
    RATE,
    End,
    LoggedRun,
    Logger,
    Outcome,
    Point,
    Setting,
)
from autoprog_search.training.run import Run
from autoprog_search.training.spec import RunSpec
from autoprog_search.training.steps import Hooks

NAMES = "loggers.json"
"""In the folder of a run that is not over: by what its loggers know it."""


class Logbook:
    """Tells a run's loggers what happens. One that fails is left out from then on, with a warning.

    Args:
        loggers: no two of the same class.
        run: where it stands.
        name, group, folder: as `LoggedRun` has them.

    Raises:
        ConfigError: two are of the same class, or one cannot be used as it is.
    """

    def __init__(self, loggers: Sequence[Logger], run: Run, name: str, group: str, folder: Path | None) -> None:
        self._loggers = {type(logger).__name__: logger for logger in loggers}
        if len(self._loggers) < len(loggers):
            raise ConfigError("loggers: two are of the same class; make one a subclass with a name of its own")
        self._identity, self._folder = run.spec.identity(), folder
        self._taken: list[tuple[int, int, float]] = []  # of steps whose losses are still on the device
        known = self._known()
        names: dict[str, str] = {}
        settings = settings_of(run.spec) if loggers else {}
        told = LoggedRun(printable(name), printable(group), folder, settings, run.state.step, _flops(run))
        for kind in [*self._loggers]:
            begin = partial(_start, run=told, known_as=known.get(kind))
            if isinstance(called := self._try(kind, begin, ConfigError), str):
                names[kind] = called
        self._keep({**known, **names})

    def hooks(self, hooks: Hooks) -> Hooks:
        """Those, but that the four around steps, epochs and stages are the loggers'."""
        if not self._loggers:
            return hooks
        return replace(hooks, after_step=self._after_step, on_losses=self._on_losses, on_epoch=self._on_epoch,
                       on_stage=self._on_stage)  # fmt: skip

    def finish(self, end: End) -> None:
        """End the session; once a run is over, nobody goes on with what its loggers called it."""
        self._tell(lambda logger: logger.finish(end))
        self._loggers = {}
        if self._folder is not None and end.outcome != "interrupted":
            with suppress(OSError):  # a name that is left is another run's at worst, and then not taken
                (self._folder / NAMES).unlink()

    # ── what the run tells ──────────────────────────────────────────────────────────────────────────────────────

    def _after_step(self, run: Run) -> None:
        self._taken.append((run.state.step, _flops(run), run.step.optimizer.param_groups[0]["lr"]))

    def _on_losses(self, run: Run, losses: Sequence[float]) -> None:
        points = [
            Point(step, flops, {LOSS: loss, RATE: float(rate), FLOPS: float(flops)})
            for (step, flops, rate), loss in zip(self._taken, losses, strict=True)
        ]
        self._taken = []
        self._tell(lambda logger: logger.log(points))

    def _on_epoch(self, run: Run) -> None:
        row = run.state.curve[-1]
        values = {ours: float(row[name]) for name, ours in OF_EPOCHS.items()}
        self._tell(lambda logger: logger.log([Point(run.state.step, row["flops"], values)]))

    def _on_stage(self, run: Run) -> None:
        text = stage_text(run)
        self._tell(lambda logger: logger.event(run.state.step, text))

    # ── telling ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _tell(self, call: Callable[[Logger], object]) -> None:
        for kind in [*self._loggers]:
            self._try(kind, call)

    def _try(self, kind: str, call: Callable[[Logger], object], wrong: type[Exception] | tuple[()] = ()) -> object:
        """What the logger answers; `wrong` is a user's mistake, which is not for us to pass over."""
        try:
            return call(self._loggers[kind])
        except wrong:
            raise
        except Exception as error:  # noqa: BLE001 - a server that is away, a disk that is full: each has its own
            del self._loggers[kind]
            _warn(f"{kind} failed ({why(error)}) and is left out of this run from here")
            return None

    # ── going on ────────────────────────────────────────────────────────────────────────────────────────────────

    def _known(self) -> Mapping[str, str]:
        """By what loggers know the run, if it was begun before."""
        try:
            stored = json.loads((self._folder / NAMES).read_bytes()) if self._folder is not None else {}
            return stored["names"] if stored.get("run") == self._identity else {}
        except (OSError, ValueError, AttributeError, KeyError):
            return {}  # a log that begins anew harms no run

    def _keep(self, names: Mapping[str, str]) -> None:
        if self._folder is None or not names:
            return
        stored = {"run": self._identity, "names": names}
        try:
            write_atomic(self._folder / NAMES, json.dumps(stored).encode())
        except StudyError as error:
            _warn(f"{error}: interrupted, the run will be another one to its loggers")


@contextmanager
def logged(
    loggers: Sequence[Logger], run: Run, *, name: str, group: str = "", folder: Path | None = None
) -> Iterator[Logbook]:
    """A run's loggers; whoever finishes the run says so, else the session ends as the exception says.

    Raises:
        ConfigError: two loggers are of the same class, or one cannot be used as it is.
    """
    book = Logbook(loggers, run, name, group, folder)
    outcome: Outcome = "interrupted"
    try:
        yield book
    except StoppedEarly:
        outcome = "stopped early"
        raise
    except RunFailedError:
        outcome = "failed"
        raise
    finally:
        book.finish(End(outcome))


def results_of(row: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a result row."""
    return {name: float(value) for name, value in row.items() if isinstance(value, int | float)}


def settings_of(spec: RunSpec) -> dict[str, Setting]:
    """All that decides a run's result, flat: `recipe.lr`, `growth.operator`, `space.depths`.

    Control characters are spelt out, tags left as they are: each logger's page escapes what is HTML there.
    """
    whole = {
        "method": spec.method,
        "seed": spec.seed,
        "steps": spec.steps,
        "space": spec.space.decisive,
        "recipe": spec.recipe.model_dump(mode="json"),
        "growth": spec.growth.decisive(spec.space),
        "data": spec.data.model_dump(mode="json", include=spec.data.decisive),
    }
    return dict(_flat(whole, ""))


def _flat(values: Mapping[str, Any], before: str) -> Iterator[tuple[str, Setting]]:
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{before}{name}.")
        else:
            plain = isinstance(value, int | float | bool | None)
            yield printable(before + name), value if plain else printable(masked(str(value)))


def stage_text(run: Run) -> str:
    """What has just been decided of a stage, in a line.

    For example `stage 2 of 3 trains 3 blocks x 9 patches (of 4 candidates, searched for 12 steps), grown from 2 blocks
    x 4 patches: validation top-1 41.20 % before, 39.00 % after growing into the supernet`.
    """
    state = run.state
    record, before, grew = state.stages[-1], state.previous, state.growth_top1[-1]
    of = f" of {len(run.ends)}" if run.spec.space.clock == "stages" else ""
    text = f"stage {state.stage}{of} trains {record.chosen}"
    if record.candidates:
        text += f" (of {len(record.candidates)} candidates, searched for {record.searched_steps} steps)"
    if before is not None and record.chosen != before:
        text += f", grown from {before}"
    if grew is not None:
        top1 = f"validation top-1 {grew[0]:.2f} % before, {grew[1]:.2f} % after"
        text += f": {top1}" + (" growing into the supernet" if record.candidates else "")
    return text


def _start(logger: Logger, run: LoggedRun, known_as: str | None) -> str | None:
    return logger.start(run, known_as)


def _warn(text: str) -> None:
    logging.getLogger("autoprog_search").warning(f"logger: {text}; the run goes on")


def _flops(run: Run) -> int:
    return run.train_flops() + run.state.search_flops
