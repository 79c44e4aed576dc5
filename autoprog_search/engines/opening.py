"""A trial, opened: as Optuna has it, and as its method sees it. No torch: training is another matter."""

from __future__ import annotations

from optuna.trial import Trial, TrialState

from autoprog_search.methods.plan import TrialInfo
from autoprog_search.methods.registry import method_named
from autoprog_search.study.store import Job, StoredStudy


def open_trial(study: StoredStudy, job: Job) -> Trial:
    """A trial to suggest parameters in: begun, or taken up again."""
    stored = study.optuna_study(job.method, job.seed)
    frozen = stored.get_trials(deepcopy=False)[job.trial]  # from there: this object's cache has to know the trial
    if frozen.state == TrialState.WAITING:
        study.storage.set_trial_state_values(frozen._trial_id, TrialState.RUNNING)
    sampler = method_named(job.method).sampler_for(info_of(study, job))
    if sampler is None:
        return Trial(stored, frozen._trial_id)
    stored.sampler = sampler
    if not frozen.system_attrs.get("fixed_params") and (answer := Trial(stored, frozen._trial_id).relative_params):
        # Some samplers answer all parameters at once, and otherwise when asked again: their answer is kept, as an
        # enqueued trial's parameters are.
        study.storage.set_trial_system_attr(frozen._trial_id, "fixed_params", answer)
    return Trial(stored, frozen._trial_id)


def info_of(study: StoredStudy, job: Job) -> TrialInfo:
    """What the trial's schedule may follow from."""
    config, method = study.config, job.method
    return TrialInfo(
        study=config.name,
        method=method,
        seed=job.seed,
        number=job.trial,
        trials=config.methods[method].trials,
        space=config.space_of(method),
        growth=config.growth_of(method),
        w_scale=study.w_scale(method, job.trial),
    )
