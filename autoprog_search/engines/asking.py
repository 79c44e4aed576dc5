"""Who chooses in a trial: its method, its parameters in Optuna, its sampler. No torch: training is another matter."""

from __future__ import annotations

from functools import partial

import optuna
from optuna.trial import Trial, TrialState

from autoprog_search.choosing import Method
from autoprog_search.methods.fixed import FixedMethod
from autoprog_search.methods.optuna import OptunaMethod, autoprog_sampler
from autoprog_search.methods.registry import method_named
from autoprog_search.methods.survey import SurveyMethod
from autoprog_search.randomness import derive
from autoprog_search.study.store import Job, StoredStudy


def open_trial(study: StoredStudy, job: Job) -> Trial:
    """A trial to suggest parameters in: begun, or taken up again."""
    stored = study.optuna_study(job.method, job.seed)
    frozen = stored.get_trials(deepcopy=False)[job.trial]
    if frozen.state == TrialState.WAITING:
        study.storage.set_trial_state_values(frozen._trial_id, TrialState.RUNNING)
    if method_named(job.method).sampler is None:
        return Trial(stored, frozen._trial_id)
    stored.sampler = sampler_of(study, job)
    if not frozen.system_attrs.get("fixed_params") and (answer := Trial(stored, frozen._trial_id).relative_params):
        # Some samplers answer all parameters at once, and otherwise when asked again: their answer is kept, as an
        # enqueued trial's parameters are.
        study.storage.set_trial_system_attr(frozen._trial_id, "fixed_params", answer)
    return Trial(stored, frozen._trial_id)


def method_of(study: StoredStudy, job: Job, trial: Trial) -> Method:
    """Who chooses in a trial that follows no other, by the method table."""
    config, info = study.config, method_named(job.method)
    space, growth = config.space_of(job.method), config.growth_of(job.method)
    if info.program is not None:
        return FixedMethod(info.program(space).sub_networks)
    if info.draw is not None:
        return OptunaMethod(trial)  # its parameters were enqueued: no sampler is asked
    if info.paths is not None:
        path = info.paths_of(space, growth.force_growth)[job.trial]
        return SurveyMethod(path, growth.rule())
    if info.searches_inside:
        return OptunaMethod(trial, ranges=info.ranges)
    return OptunaMethod(trial, ranges=info.ranges, sampler_for=partial(sampler_of, study, job))


def sampler_of(study: StoredStudy, job: Job, parameter: str = "") -> optuna.samplers.BaseSampler:
    """The trial's sampler; made anew for every parameter, what it suggests depends on the stored trials only."""
    info = method_named(job.method)
    if info.searches_inside:
        return autoprog_sampler(study.config.growth_of(job.method), job.seed, study.w_scale(job.method, job.trial))
    seed = derive(study.config.name, job.method, job.seed, job.trial, parameter) % 2**32
    return info.make_sampler(seed, study.config.methods[job.method].trials)
