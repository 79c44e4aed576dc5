"""Run one trial of a study: claim it, build its method, train, store the row."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from optuna.trial import Trial, TrialState

from autoprog_search.choosing import Method
from autoprog_search.errors import RunFailedError
from autoprog_search.methods.fixed import FixedMethod
from autoprog_search.methods.table import method_named
from autoprog_search.study.asking import method_of, open_trial
from autoprog_search.study.store import Job, StoredStudy, fail
from autoprog_search.training.checkpoint import export_weights
from autoprog_search.training.data import Data
from autoprog_search.training.profile import StepProfile
from autoprog_search.training.spec import RunSpec, check_search, planned_steps
from autoprog_search.training.state import Progress, RunResult
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
        COMPLETE, or FAIL where training failed; the reason is stored with the trial.

    Raises:
        Interrupted: `should_stop` said so.
    """
    trial = open_trial(study, job)
    folder = study.trial_folder(job)
    try:
        spec, method = plan(study, job, trial, data, method)
        trainer = Trainer(
            spec,
            data,
            method,
            device=device,
            checkpoint=folder / CHECKPOINT,
            profile=profile,
            on_progress=on_progress,
            should_stop=should_stop,
        )
        result = trainer.run()
    except RunFailedError as error:
        fail(study, job, str(error))
        (folder / CHECKPOINT).unlink(missing_ok=True)
        return TrialState.FAIL
    export_weights(folder / WEIGHTS, result.weights)
    row = result_row(spec, result, profile, trainer.data.train_size // spec.recipe.batch_size)
    planned = planned_steps(study.config.space, spec.recipe, trainer.data.train_size)
    row["full_flops"] = result.step_flops_full * sum(planned)  # what `full` costs; full-short trains fewer steps
    for name, value in row.items():
        trial.set_user_attr(name, value)
    trial.study.tell(trial.number, [row["total_flops"], row["val_top1"]])
    (folder / CHECKPOINT).unlink(missing_ok=True)
    return TrialState.COMPLETE


def check_study(study: StoredStudy, data: Data) -> None:
    """What cannot be told before the data are open, said before any trial runs.

    Raises:
        ConfigError: a stage is too short for its search.
    """
    config = study.config
    if not any(method_named(name).searches_inside for name in config.methods):
        return
    stage_steps = planned_steps(config.space, config.recipe, data.train_size)
    check_search(RunSpec(config.space, config.recipe, config.growth, stage_steps, seed=0), lambda stage: True)


def plan(
    study: StoredStudy, job: Job, trial: Trial, data: Data, method: Method | None = None
) -> tuple[RunSpec, Method]:
    """What a trial trains, and who chooses unless a method is given.

    Raises:
        RunFailedError: the trial whose budget this one takes has failed.
    """
    config, info = study.config, method_named(job.method)
    space = config.space
    stage_steps = planned_steps(space, config.recipe, data.train_size)
    if method is None and info.budget_of is not None:
        stage_steps = (_steps_for(study, job, info.budget_of, sum(stage_steps)),)
        method = FixedMethod([space.full])
    elif method is None:
        method = method_of(study, job, trial)
    spec = RunSpec(space, config.recipe, config.growth, stage_steps, job.seed, data=config.data, method=str(job))
    return spec, method


def _steps_for(study: StoredStudy, job: Job, budget_of: str, most: int) -> int:
    """Steps of the full network for what the other method's first trial of this seed cost, search included."""
    other = study.optuna_study(budget_of, job.seed).get_trials(deepcopy=False)[0]
    if other.state != TrialState.COMPLETE:
        raise RunFailedError(f"{job}: {budget_of} of the same seed failed, so there is no budget to train to")
    affordable = other.user_attrs["total_flops"] / other.user_attrs["step_flops_full"]
    return max(1, min(most, round(affordable)))


def result_row(spec: RunSpec, result: RunResult, profile: StepProfile | None, epoch_steps: int) -> dict[str, Any]:
    """What is stored of a finished run: plain values, one a column of `study/results.py`, and its details."""
    state, space = result.state, spec.space
    chosen = [record.chosen for record in state.stages]
    train_seconds = (
        sum(count * profile.seconds[s] for s, count in state.steps.items())
        if profile is not None and all(s in profile.seconds for s in state.steps)
        else state.wall_seconds - state.search_seconds
    )
    searched = any(record.candidates for record in state.stages)
    used = profile if searched and spec.growth.score_cost == "seconds" else None  # then the profile is a cost of search
    search_flops = state.search_flops + (used.flops if used else 0)
    search_seconds = state.search_seconds + (used.profile_seconds if used else 0.0)
    return {
        "depths": [s.depth for s in chosen],
        "patches": [s.patches for s in chosen],
        "resolutions": [s.resolution(space.patch_size) for s in chosen],
        "stage_epochs": [steps / epoch_steps for steps in spec.stage_steps],
        "val_top1": result.val.top1,
        "top1": result.test.top1,
        "top5": result.test.top5,
        "ema_top1": result.test_ema.top1,
        "loss": result.test.loss,
        "train_flops": result.train_flops,
        "search_flops": search_flops,
        "total_flops": result.train_flops + search_flops,
        "train_seconds": train_seconds,
        "search_seconds": search_seconds,
        "loader_seconds": state.loader_seconds,
        "stage_seconds": state.stage_seconds,
        "wall_seconds": state.wall_seconds,
        "epochs": state.step / epoch_steps,
        "step_flops_full": result.step_flops_full,
        "curve": state.curve,
        "stages": [record.to_dict() for record in state.stages],
        "versions": versions(),
        "device": profile.device if profile is not None else "",
    }


def versions() -> str:
    """Versions of what decides a result's bits."""
    from importlib.metadata import version

    return json.dumps({name: version(name) for name in ("autoprog-search", "torch", "timm", "optuna")})
