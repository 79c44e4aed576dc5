"""Run a study: by an engine's workers, or by the processes that train each trial together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from optuna.trial import FrozenTrial

from autoprog_search.engines.engine import ENGINES, Ended, Needs, check_needs
from autoprog_search.engines.events import Event, Tell
from autoprog_search.errors import ConfigError, StudyError
from autoprog_search.loggers.registry import check_loggers
from autoprog_search.study.claims import Kept
from autoprog_search.study.identity import check_unchanged
from autoprog_search.study.scheduling import check_runs, to_run, unfinished
from autoprog_search.study.store import ENDED_WELL, Job, StoredStudy

if TYPE_CHECKING:
    from autoprog_search.training.world import World

NO_NEEDS = Needs()


def run_study(
    study: StoredStudy,
    needs: Needs = NO_NEEDS,
    engine: str = "local",
    *,
    on_event: Tell = lambda event: None,
    world: World | None = None,
) -> bool:
    """Run whatever is unfinished; safe to call again, and at the same time from elsewhere.

    Args:
        engine: a name in ENGINES.
        world: the processes that train each trial together, in place of workers; this is rank 0.

    Returns:
        Whether every trial of the study has ended without failure.

    Raises:
        StudyError: study.yaml or the data are not those that it was created with; or a worker died and left trials:
            what has finished is stored and the rest can be resumed.
        ConfigError: all has run but trials under settings that were taken out; the engine cannot give what it is asked
            for; or there is no such logger, or nothing for it to log.
        MissingExtraError: what the engine, or a logger, needs is not installed.
        KeyboardInterrupt: a signal asked to stop; workers have written their checkpoints.
    """
    check_loggers(needs.loggers)
    if needs.loggers and study.config.data.table is not None:
        raise ConfigError("logger: results of a table are looked up, not trained; leave --logger out")
    check_unchanged(study)
    check_needs(engine, needs)
    if world is not None:
        from autoprog_search.engines.together import run_together  # loads torch, as workers do

        run_together(study, world, on_event, loggers=needs.loggers)
    elif unfinished(to_run(study)):
        _check_end(study, ENGINES[engine].loaded()(study, needs, on_event), on_event)
    trials = study.trials()
    _clear_up(study, trials)
    check_runs(study, trials)
    states = [trial.state.name for trial in trials.values()]
    return all(state in ENDED_WELL for state in states)


def _check_end(study: StoredStudy, ended: Ended, tell: Tell) -> None:
    what = ended.error or ended.died
    if left := unfinished(to_run(study)):
        # Asked to stop by a signal of its own, a worker ends as if it were done.
        again = f"{len(left)} trial(s) are not finished; run the study again, it resumes"
        raise StudyError(ended.error or f"{what or 'a worker was stopped'}, and {again}")
    if what is not None:
        tell(Event("warning", message=f"{what}; the others finished its trials"))


def _clear_up(study: StoredStudy, trials: Mapping[Job, FrozenTrial]) -> None:
    """Remove the checkpoints of trials that have ended: a worker that was killed right then left them."""
    if study.config.data.table is None:
        finished = [study.trial_folder(job) for job, trial in trials.items() if trial.state.is_finished()]
        for left in (path for folder in finished for path in folder.glob("*.pt*")):
            left.unlink(missing_ok=True)
        Kept(artifacts=study.artifacts).clear(finished)
