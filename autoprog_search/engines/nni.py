"""Run the trials of a (method, seed) in one NNI experiment, which a worker hosts.

NNI proposes schedules, or hosts the run that AutoProg steers; the study's store remembers. So an experiment that was
interrupted begins anew with the same seed, and nothing runs twice (docs/nni.md).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optuna.trial import FrozenTrial, TrialState

from autoprog_search.choosing import Choice, Method, StageContext
from autoprog_search.engines.events import Event, Tell, end_of, tell_progress
from autoprog_search.engines.opening import info_of
from autoprog_search.errors import RunFailedError, StudyError
from autoprog_search.faults import known_error
from autoprog_search.files import inside, write_atomic
from autoprog_search.interrupt import POLL_SECONDS, Interrupted, signals_ask
from autoprog_search.methods.fixed import through
from autoprog_search.methods.kinds import Hosted
from autoprog_search.methods.registry import method_named
from autoprog_search.methods.runs import FinishedRun
from autoprog_search.parameters import AXES, parameter_name, ticks_begun
from autoprog_search.schedule import SubNetwork
from autoprog_search.space import Levels
from autoprog_search.study.claims import Kept, claimed, stops_with
from autoprog_search.study.identity import check_unchanged
from autoprog_search.study.store import Job, StoredStudy, fail, open_study, record_parameters

if TYPE_CHECKING:
    from autoprog_search.engines.workplace import Workplace
    from autoprog_search.training.state import Progress

PROGRESS = "progress.json"
PROPOSED = "proposed"  # of a trial: the schedule that NNI proposed, stored in one step, unlike parameters


@dataclass
class StudyRuns:
    """The trials of a (method, seed) of a study, as NNI's evaluators ask for them (`methods.runs.Runs`).

    Args:
        root, study: folder of the studies, name of this one.
        device: a torch device's name, or `auto`.
        should_stop: asked by runs in this process. None: signals stop them, as in NNI's trial processes.
        place: where its runs train; None: opened when one needs it.
        loggers: names of those that are told of the runs, where it opens a place.
    """

    root: Path
    study: str
    method: str
    seed: int
    device: str = "auto"
    should_stop: Callable[[], bool] | None = field(default=None, repr=False)
    place: Workplace | None = field(default=None, repr=False)
    loggers: tuple[str, ...] = ()
    running: bool = field(default=False, init=False, repr=False)
    """Whether a run is under way in this process; it looks at `should_stop` itself."""
    ended_by: Exception | None = field(default=None, init=False, repr=False)
    """What ended a run in this process that ends the experiment, too: it was asked to stop, or something is broken."""

    def _dump(self) -> dict[str, Any]:
        """What NNI sends to a trial's process."""
        plain = {"study": self.study, "method": self.method, "seed": self.seed, "device": self.device}
        return {"root": str(self.root.resolve()), **plain, "loggers": list(self.loggers)}

    @classmethod
    def _load(cls, root: str, loggers: Sequence[str] = (), **fields: Any) -> StudyRuns:
        return cls(Path(root), loggers=tuple(loggers), **fields)

    # ── methods.runs.Runs ───────────────────────────────────────────────────────────────────────────────────────

    def of_schedule(self, levels: Levels) -> FinishedRun:
        """The trial that has that schedule, else the next one that has none.

        Raises:
            StudyError: all of the study's trials have other schedules, or one of these has not ended.
            RunFailedError: the run did not end well.
            Interrupted: it was asked to stop.
        """
        stored, proposal = self._stored(), [list(pair) for pair in levels]
        planned = stored.config.methods[self.method].trials
        trials = stored.optuna_study(self.method, self.seed).get_trials(deepcopy=False)[:planned]
        found = next((t for t in trials if t.user_attrs.get(PROPOSED) == proposal), None)
        if found is None:
            # A trial whose process died comes first: what is proposed next depends on its result.
            found = next((t for t in trials if not t.state.is_finished()), None)
            if found is None or PROPOSED in found.user_attrs:
                raise StudyError(f"{self.method} seed {self.seed}: no trial is free for the schedule {proposal}")
            stored.storage.set_trial_user_attr(found._trial_id, PROPOSED, proposal)
        if not found.state.is_finished():
            record_parameters(stored, found, stored.config.space.to_parameters(levels))
        return self._run(stored, found.number, through(stored.config.space, levels))

    def of_method(self, trial: int, method: Method) -> FinishedRun:
        """That trial, steered by the method.

        Raises:
            RunFailedError: the run did not end well.
            Interrupted: it was asked to stop.
        """
        stored = self._stored()
        return self._run(stored, trial, _Recorded(method, stored, stored.trial(self._job(trial))))

    def of_trial(self, trial: int) -> FinishedRun:
        """What is stored of a trial that has ended.

        Raises:
            RunFailedError: it did not end well.
        """
        stored = self._stored()
        frozen = stored.trial(self._job(trial))
        if frozen.state != TrialState.COMPLETE:
            raise RunFailedError(f"{self._job(trial)}: {frozen.user_attrs.get('error', 'it has not ended')}")
        row = frozen.user_attrs
        cost_share = row["total_flops"] / row["full_flops"]
        space = stored.config.space
        ran = [SubNetwork(*pair) for pair in zip(row["depths"], row["patches"], strict=True)]
        levels = space.levels_through(ran, row["stage_epochs"])
        return FinishedRun(
            trial=trial,
            levels=levels,
            parameters=space.to_parameters(levels),
            metric=stored.config.nni.metric(row["val_top1"], cost_share),
            val_top1=row["val_top1"],
            cost_share=cost_share,
            curve=tuple(point["val_top1"] for point in row["curve"]),
            stages=tuple(row["stages"]),
        )

    # ── how ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _stored(self) -> StoredStudy:
        return open_study(self.root, self.study, self.should_stop)

    def _job(self, trial: int) -> Job:
        return Job(self.method, self.seed, trial)

    def _run(self, stored: StoredStudy, trial: int, method: Method) -> FinishedRun:
        """Run the trial, unless it has ended; wait for whoever may be running it."""
        from autoprog_search.engines.trial import run_trial
        from autoprog_search.engines.workplace import open_workplace
        from autoprog_search.training.steps import Hooks

        job = self._job(trial)
        folder = stored.trial_folder(job)
        with (
            nullcontext(self.should_stop) if self.should_stop else signals_ask() as should_stop,
            claimed(stored, folder / ".lock", should_stop) as ours,
        ):
            if not stored.trial(job).state.is_finished():
                if self.place is None:
                    check_unchanged(stored)
                    self.place = open_workplace(stored, self.device, should_stop=should_stop, loggers=self.loggers)
                if self.ended_by is not None:
                    raise self.ended_by
                self.running = True
                try:
                    hooks = Hooks(partial(_note, folder / PROGRESS), partial(stops_with, ours, should_stop))
                    run_trial(stored, job, replace(self.place, kept=Kept(ours, stored.artifacts)), hooks, method)
                except Exception as error:
                    self.ended_by = error
                    raise
                finally:
                    self.running = False
                    (folder / PROGRESS).unlink(missing_ok=True)
        return self.of_trial(trial)


@dataclass(frozen=True)
class _Recorded:
    """A method whose choices are stored as the trial's parameters, stage by stage."""

    method: Method
    study: StoredStudy
    trial: FrozenTrial

    def needs_estimates(self, stage: int) -> bool:
        return self.method.needs_estimates(stage)

    def choose(self, context: StageContext) -> Choice:
        choice = self.method.choose(context)
        space = self.study.config.space
        levels = space.levels_of(choice.sub_network)
        if context.clock is not None:
            before = space.levels_of(context.previous) if context.previous else (0, 0)
            named = dict.fromkeys(ticks_begun(before, levels), context.clock.tick)
        else:
            named = {parameter_name(context.stage, axis): v for axis, v in zip(AXES, levels, strict=True)}
        record_parameters(self.study, self.trial, named)
        return choice


def _note(path: Path, progress: Progress) -> None:
    """Leave a run's progress where the worker that hosts the experiment looks for it."""
    write_atomic(path, json.dumps(asdict(progress)).encode())


# ── the worker's side ───────────────────────────────────────────────────────────────────────────────────────────────


def run_experiment(
    study: StoredStudy, job: Job, place: Workplace, *, tell: Tell, should_stop: Callable[[], bool]
) -> None:
    """Host the experiment that a trial belongs to, until all of its trials have ended. The caller has claimed it.

    Raises:
        StudyError: a trial's process died, NNI did not start, or it ended too soon, as when the portal stops it.
        Interrupted: `should_stop` said so.
    """
    root, name = study.folder.parent, study.folder.name
    runs = StudyRuns(root, name, job.method, job.seed, str(place.device), should_stop, place, place.loggers)
    jobs = [replace(job, trial=number) for number in range(study.config.methods[job.method].trials)]
    again = f"its logs are in {_logs(study)}; run the study again, it resumes"
    try:
        with _watched(study, jobs, tell):
            exhausted = _host(study, job, runs, tell, should_stop)
    except KeyboardInterrupt:
        exhausted = False
    except (OSError, RuntimeError) as error:
        if runs.ended_by is None and not should_stop():
            raise StudyError(f"NNI: {' '.join(str(error).split())[:200]}; {again}") from error
        exhausted = False
    if runs.ended_by is not None:
        raise runs.ended_by
    if should_stop():
        raise Interrupted
    stored = study.trials()
    for left in [each for each in jobs if not stored[each].state.is_finished()]:
        if not exhausted or PROPOSED in stored[left].user_attrs:
            raise StudyError(f"{left}: NNI has ended without its result; {again}")
        fail(study, left, f"NNI's strategy proposed no further schedule; the space has {study.config.space.count()}")
        tell(end_of(study, left))


def _host(study: StoredStudy, job: Job, runs: StudyRuns, tell: Tell, should_stop: Callable[[], bool]) -> bool:
    """NNI's part of it; whether the strategy ended with trials to spare."""
    from autoprog_search.methods import nni_experiment
    from autoprog_search.methods.nni import GrowthEvaluator

    kind, where = method_named(job.method), f"{job.method} seed {job.seed}"
    assert isinstance(kind, Hosted), "NNI hosts it"
    return nni_experiment.run_experiment(
        study.config.space,
        GrowthEvaluator(runs),
        kind.strategy_for(info_of(study, job)),
        trials=study.config.methods[job.method].trials,
        engine=study.config.nni.engine,
        folder=_logs(study),
        name=f"{study.name} {where}",
        on_portal=lambda url: tell(Event("portal", message=f"{where}: {url}")),
        should_stop=lambda: should_stop() and not runs.running and runs.ended_by is None,
    )


def _logs(study: StoredStudy) -> Path:
    """Where NNI keeps the study's experiments.

    Raises:
        StudyError: a symbolic link leads out of the study's folder.
    """
    return inside(study.folder, study.folder / "nni")


@contextmanager
def _watched(study: StoredStudy, jobs: Sequence[Job], tell: Tell) -> Iterator[None]:
    """Inside, a thread tells of trials that start, go on and end, wherever NNI runs them."""
    for job in jobs:  # left by a process that was killed
        (study.trial_folder(job) / PROGRESS).unlink(missing_ok=True)
    ended = threading.Event()
    watcher = threading.Thread(target=_watch, args=(study, jobs, tell, ended), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def _watch(study: StoredStudy, jobs: Sequence[Job], tell: Tell, ended: threading.Event) -> None:
    running: set[Job] = set()
    last = False
    try:
        stored = study.trials()
        waiting = [job for job in jobs if not stored[job].state.is_finished()]
        while waiting and not last:
            last = ended.wait(POLL_SECONDS)
            stored = study.trials()
            for job in list(waiting):
                progress = _noted(study.trial_folder(job) / PROGRESS)
                if progress is not None and job not in running:
                    running.add(job)
                    tell(Event("start", job))
                if stored[job].state.is_finished():
                    waiting.remove(job)
                    tell(end_of(study, job))
                elif progress is not None:
                    tell_progress(tell, job, progress)
    except Interrupted:
        return
    except Exception as error:
        if known_error(error) is None:
            raise
        # A storage that does not answer: whoever runs the trials meets it too, and says so.


def _noted(path: Path) -> Progress | None:
    from autoprog_search.training.state import Progress

    try:
        fields = json.loads(path.read_text())
        return Progress(**fields | {"sub_network": SubNetwork(**fields["sub_network"])})
    except (FileNotFoundError, ValueError, TypeError, KeyError):  # none yet, or damaged: the next one comes soon
        return None
