"""Run one trial of a study: plan it as its method says, train, store its row."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import Any

from optuna.trial import Trial, TrialState

from autoprog_search.choosing import Method
from autoprog_search.data.data_set import Data
from autoprog_search.engines.opening import info_of, open_trial
from autoprog_search.engines.workplace import Workplace
from autoprog_search.errors import RunFailedError
from autoprog_search.files import CHECKPOINT, WEIGHTS
from autoprog_search.interrupt import StoppedEarly
from autoprog_search.loggers.logbook import Logbook, results_of
from autoprog_search.loggers.logger import End
from autoprog_search.methods.asha import Curve
from autoprog_search.methods.fixed import Program
from autoprog_search.methods.plan import Course
from autoprog_search.methods.registry import method_named
from autoprog_search.runs.program import spec_under
from autoprog_search.runs.row import ResultRow, cost_row, result_row
from autoprog_search.study.artifacts import digest
from autoprog_search.study.scheduling import followed
from autoprog_search.study.store import WEIGHTS_DIGEST, Job, StoredStudy, fail
from autoprog_search.training.checkpoint import drop_checkpoints, export_weights
from autoprog_search.training.run import Run
from autoprog_search.training.spec import RunSpec, planned_steps
from autoprog_search.training.steps import Hooks
from autoprog_search.training.trainer import Trainer


def run_trial(study: StoredStudy, job: Job, place: Workplace, hooks: Hooks, method: Method | None = None) -> TrialState:
    """Run a trial from its checkpoint or from the start, under its own number. The caller has claimed it.

    Args:
        hooks: what it tells and asks; whether it is given up says its method.
        method: who chooses, where a host does; None: the method table says.

    Returns:
        COMPLETE; PRUNED where the method ended it early; FAIL where training failed, the reason is stored with the
        trial.

    Raises:
        Interrupted: a hook said so.
        LostClaim: the trial is another process's by now.
    """
    trial, checkpoint = open_trial(study, job), study.trial_folder(job) / CHECKPOINT
    try:
        spec, method = plan(study, job, trial, place.data, method)
        run = place.run(spec, checkpoint, method)
        hooks = replace(hooks, stops=partial(_stops, study, job, full_flops=_full_flops(study, run)))
        with place.logged(run, job, study) as book:
            Trainer(run, method, profile=place.profile(spec), hooks=book.hooks(hooks)).train_parts(len(run.ends))
            finish(study, job, trial, run, place, book)
    except StoppedEarly:
        row = cost_row(spec, run.state, run.train_flops(), place.profile(spec), run.epoch_steps, place.world.size)
        row["val_top1"] = row["curve"][-1]["val_top1"]
        _end(study, job, trial, run, place, row, TrialState.PRUNED)
        return TrialState.PRUNED
    except RunFailedError as error:
        fail(study, job, str(error))
        drop_checkpoints(checkpoint)
        place.kept.clear([checkpoint.parent])
        return TrialState.FAIL
    return TrialState.COMPLETE


def plan(
    study: StoredStudy, job: Job, trial: Trial, data: Data, method: Method | None = None
) -> tuple[RunSpec, Method]:
    """What a trial trains, and who chooses at its stage boundaries.

    Args:
        method: who chooses, where a host does.

    Raises:
        RunFailedError: the trial that this one follows has failed.
    """
    config, info = study.config, info_of(study, job)
    recipe = config.recipe.model_copy(update={"epochs": config.epochs(job.method, job.trial)})
    spec = RunSpec(info.space, recipe, info.growth, (), job.seed, data=config.data, method=str(job))
    if method is not None:
        course = Course(method, method if isinstance(method, Program) else None)
    else:
        course = method_named(job.method).course(info, trial, _followed_row(study, job))
    if course.program is not None:
        return spec_under(course.program, spec, data), course.method
    return replace(spec, part_steps=planned_steps(info.space, recipe, data.train_size)), course.method


def _followed_row(study: StoredStudy, job: Job) -> dict[str, Any]:
    """What is stored of the trial that this one follows; empty where it follows none."""
    other = followed(job)
    if other is None:
        return {}
    trial = study.trial(other)
    if trial.state != TrialState.COMPLETE:
        raise RunFailedError(f"{job}: {other} failed, so there is nothing to follow")
    return trial.user_attrs


def _stops(study: StoredStudy, job: Job, curve: list[dict[str, Any]], *, full_flops: float) -> bool:
    """Whether the trial's method gives it up here."""

    def earlier() -> Iterable[Curve]:
        trials = study.optuna_study(job.method, job.seed).get_trials(deepcopy=False)[: job.trial]
        return [trial.user_attrs["curve"] for trial in trials if "curve" in trial.user_attrs]

    return method_named(job.method).stops(curve, earlier, full_flops)


def finish(
    study: StoredStudy,
    job: Job,
    trial: Trial,
    run: Run,
    place: Workplace,
    book: Logbook,
    own_flops: float | None = None,
) -> None:
    """Store a trial that was trained to its end, its weights and its row, and end its log.

    Args:
        own_flops: where they are not those of the whole run.
    """
    result = run.result()
    weights = study.trial_folder(job) / WEIGHTS
    place.kept.check()
    export_weights(weights, result.weights)
    trial.set_user_attr(WEIGHTS_DIGEST, digest(weights.read_bytes()))
    place.kept.put(weights)
    row = result_row(run.spec, result, place.profile(run.spec), run.epoch_steps, place.world.size)
    if own_flops is not None:
        row["own_flops"] = own_flops
    _end(study, job, trial, run, place, row, TrialState.COMPLETE)
    book.finish(End("finished", results_of(row), weights))


def _full_flops(study: StoredStudy, run: Run) -> int:
    """What `full` costs, whatever the trial's own length."""
    return run.step_flops(run.elastic.full) * round(study.config.recipe.epochs * run.epoch_steps)


def _end(
    study: StoredStudy, job: Job, trial: Trial, run: Run, place: Workplace, row: ResultRow, state: TrialState
) -> None:
    """Store what a trial ended with."""
    row |= {"full_flops": _full_flops(study, run), "scheduled_epochs": run.spec.recipe.epochs}
    for name, value in row.items():
        trial.set_user_attr(name, value)
    values = [row["total_flops"], row["val_top1"]] if state == TrialState.COMPLETE else None
    trial.study.tell(trial.number, values, state)
    drop_checkpoints(study.trial_folder(job) / CHECKPOINT)
    place.kept.clear([study.trial_folder(job)])
