"""Run one trial of a study: claim it, build its method, train, store the row."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from optuna.trial import FrozenTrial, Trial, TrialState

from autoprog_search.choosing import Method
from autoprog_search.data.load import Data
from autoprog_search.engines.asking import method_of, open_trial
from autoprog_search.errors import RunFailedError
from autoprog_search.interrupt import StoppedEarly
from autoprog_search.methods.fixed import FixedMethod, through
from autoprog_search.methods.optuna import OptunaMethod
from autoprog_search.methods.registry import method_named
from autoprog_search.runs.program import run_program
from autoprog_search.runs.row import cost_row, result_row
from autoprog_search.schedule import SubNetwork
from autoprog_search.settings.recipe import Recipe
from autoprog_search.study.scheduling import followed
from autoprog_search.study.store import Job, StoredStudy, fail
from autoprog_search.training.checkpoint import drop_checkpoints, export_weights
from autoprog_search.training.profile import StepProfile
from autoprog_search.training.run import Run
from autoprog_search.training.spec import (
    RunSpec,
    check_search,
    equal_compute_steps,
    planned_steps,
)
from autoprog_search.training.state import Progress, RunResult
from autoprog_search.training.steps import Hooks
from autoprog_search.training.trainer import Trainer

if TYPE_CHECKING:
    import torch

CHECKPOINT, WEIGHTS = "checkpoint.pt", "weights.safetensors"


def run_trial(
    study: StoredStudy,
    job: Job,
    data: Data,
    *,
    device: torch.device,
    profile: StepProfile,
    on_progress: Callable[[Progress], None],
    should_stop: Callable[[], bool],
    method: Method | None = None,
) -> TrialState:
    """Run a trial from its checkpoint or from the start, under its own number. The caller holds its lock.

    Args:
        method: who chooses, where a host other than Optuna does; None: the method table says.

    Returns:
        COMPLETE; PRUNED where the method ended it early; FAIL where training failed, the reason is stored with the
        trial.

    Raises:
        Interrupted: `should_stop` said so.
    """
    trial = open_trial(study, job)
    folder = study.trial_folder(job)
    try:
        spec, method = plan(study, job, trial, data, method)
        run = Run(spec, data, device=device, checkpoint=folder / CHECKPOINT)
        full_flops = _full_flops(study, run.full_step_flops(), data)
        hooks = Hooks(on_progress, should_stop, stops=partial(_stops, study, job, full_flops=full_flops))
        result = Trainer(run, method, profile=profile, hooks=hooks).train()
    except StoppedEarly:
        row = cost_row(spec, run.state, run.train_flops(), profile, run.epoch_steps)
        row |= {"val_top1": row["curve"][-1]["val_top1"], "full_flops": full_flops}
        row["scheduled_epochs"] = spec.recipe.epochs
        _end(study, job, trial, row, TrialState.PRUNED)
        return TrialState.PRUNED
    except RunFailedError as error:
        fail(study, job, str(error))
        drop_checkpoints(folder / CHECKPOINT)
        return TrialState.FAIL
    finish(study, job, trial, spec, result, data, profile)
    return TrialState.COMPLETE


def finish(
    study: StoredStudy,
    job: Job,
    trial: Trial,
    spec: RunSpec,
    result: RunResult,
    data: Data,
    profile: StepProfile,
    **more: Any,
) -> None:
    """Store a trial that was trained to its end: its weights, its row, and more columns."""
    export_weights(study.trial_folder(job) / WEIGHTS, result.weights)
    row = result_row(spec, result, profile, data.train_size // spec.recipe.batch_size)
    row |= {
        "full_flops": _full_flops(study, result.step_flops_full, data),
        "scheduled_epochs": spec.recipe.epochs,
        **more,
    }
    _end(study, job, trial, row, TrialState.COMPLETE)


def _full_flops(study: StoredStudy, step_flops: int, data: Data) -> int:
    """What `full` costs, whatever the trial's own length."""
    return step_flops * _steps_of(study.config.recipe, data)


def _steps_of(recipe: Recipe, data: Data) -> int:
    """Optimiser steps of all stages together, however many they are."""
    return recipe.epochs * (data.train_size // recipe.batch_size)


def _end(study: StoredStudy, job: Job, trial: Trial, row: dict[str, Any], state: TrialState) -> None:
    """Store what a trial ended with."""
    for name, value in row.items():
        trial.set_user_attr(name, value)
    values = [row["total_flops"], row["val_top1"]] if state == TrialState.COMPLETE else None
    trial.study.tell(trial.number, values, state)
    drop_checkpoints(study.trial_folder(job) / CHECKPOINT)


def _stops(study: StoredStudy, job: Job, curve: list[dict[str, Any]], *, full_flops: float) -> bool:
    """Whether the trial's method gives it up here."""
    info = method_named(job.method)
    if info.stop is None:
        return False
    earlier = study.optuna_study(job.method, job.seed).get_trials(deepcopy=False)[: job.trial]
    return info.stops(curve, [t.user_attrs["curve"] for t in earlier if "curve" in t.user_attrs], full_flops)


def check_study(study: StoredStudy, data: Data) -> None:
    """What cannot be told before the data are open, said before any trial runs.

    Raises:
        ConfigError: a stage is less than a step long, or too short for its search.
    """
    config = study.config
    for name, own in config.methods.items():
        info, space, growth = method_named(name), config.space_of(name), config.growth_of(name)
        recipe = config.recipe.model_copy(update={"epochs": min(own.epochs, default=config.recipe.epochs)})
        if info.program is not None:
            run_program(info.program(space), RunSpec(space, recipe, growth, (), seed=0), data)
        elif info.searches_inside:
            stage_steps = planned_steps(space, recipe, data.train_size)
            check_search(RunSpec(space, recipe, growth, stage_steps, seed=0), lambda stage: True)


def plan(
    study: StoredStudy, job: Job, trial: Trial, data: Data, method: Method | None = None
) -> tuple[RunSpec, Method]:
    """What a trial trains, and who chooses unless a method is given.

    Raises:
        RunFailedError: the trial that this one follows has failed.
    """
    config, info = study.config, method_named(job.method)
    space, growth = config.space_of(job.method), config.growth_of(job.method)
    recipe = config.recipe.model_copy(update={"epochs": config.epochs(job.method, job.trial)})
    if method is None and info.program is not None:
        return run_program(
            info.program(space), RunSpec(space, recipe, growth, (), job.seed, data=config.data, method=str(job)), data
        )
    if info.budget_of is not None:
        steps = _steps_for(study, job, _steps_of(recipe, data))
        spec = RunSpec(space, recipe, growth, (steps,), job.seed, data=config.data, method=str(job))
        return spec, FixedMethod([space.full])
    stage_steps = planned_steps(space, recipe, data.train_size)
    if method is not None:
        pass
    elif info.schedule_of is not None:
        found = _finished(study, job).user_attrs
        method = FixedMethod([SubNetwork(*pair) for pair in zip(found["depths"], found["patches"], strict=True)])
    else:
        method = method_of(study, job, trial)
        if isinstance(method, OptunaMethod):
            space = method.with_lengths(space)
            stage_steps = planned_steps(space, recipe, data.train_size)
        if space.equal_compute:  # of a schedule that was drawn when the study was created
            stored = trial.study.get_trials(deepcopy=False)[job.trial]
            drawn = through(space, space.from_parameters(stored.system_attrs["fixed_params"]))
            stage_steps = equal_compute_steps(space, drawn.sub_networks, recipe, data.train_size, data.num_classes)
    spec = RunSpec(space, recipe, growth, stage_steps, job.seed, data=config.data, method=str(job))
    return spec, method


def _steps_for(study: StoredStudy, job: Job, most: int) -> int:
    """Steps of the full network for what the trial whose budget this one takes cost, search included."""
    other = _finished(study, job)
    affordable = other.user_attrs["total_flops"] / other.user_attrs["step_flops_full"]
    return max(1, min(most, round(affordable)))


def _finished(study: StoredStudy, job: Job) -> FrozenTrial:
    """The trial that this one follows."""
    other = followed(job)
    assert other is not None, "only methods that follow another ask"
    trial = study.optuna_study(other.method, other.seed).get_trials(deepcopy=False)[other.trial]
    if trial.state != TrialState.COMPLETE:
        raise RunFailedError(f"{job}: {other} failed, so there is nothing to follow")
    return trial
