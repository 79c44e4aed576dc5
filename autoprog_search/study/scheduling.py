"""Which trial may run next: pure functions of what is stored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from optuna.trial import FrozenTrial

from autoprog_search.errors import ConfigError
from autoprog_search.methods.registry import method_named
from autoprog_search.settings.retired import refusal
from autoprog_search.study.store import Job, StoredStudy


def followed(job: Job) -> Job | None:
    """The trial whose budget or whose schedule this one takes."""
    other = method_named(job.method).follows(job.trial)
    return Job(other[0], job.seed, other[1]) if other is not None else None


def is_ready(job: Job, trials: Mapping[Job, FrozenTrial]) -> bool:
    """Whether all that a trial depends on has ended: earlier trials it learns from, the trial that it follows."""
    other = followed(job)
    if other is not None and not trials[other].state.is_finished():
        return False
    earlier = method_named(job.method).learns_from(job.trial)
    return all(trials[Job(job.method, job.seed, t)].state.is_finished() for t in earlier)


def unfinished(trials: Mapping[Job, FrozenTrial]) -> list[Job]:
    """Trials that still have to run, in the order to try them: long chains first, so that they do not end alone.

    Then trials that others follow, then the rest in the study's order.
    """
    counts = Counter((job.method, job.seed) for job in trials)
    waited_for = {followed(job) for job in trials}

    def order(job: Job) -> tuple[int, bool, int]:
        learns_from = method_named(job.method).learns_from
        return -len(learns_from(counts[job.method, job.seed])), job not in waited_for, len(learns_from(job.trial))

    return sorted((job for job, trial in trials.items() if not trial.state.is_finished()), key=order)


def runnable(trials: Mapping[Job, FrozenTrial]) -> Iterator[Job]:
    """Unfinished trials that are ready; one that another worker runs is among them, its lock tells."""
    return (job for job in unfinished(trials) if is_ready(job, trials))


def to_run(study: StoredStudy) -> dict[Job, FrozenTrial]:
    """The study's trials as they are stored now, without those that are left and cannot be run."""
    trials = study.trials()
    left = set(_left_over(study, trials))
    return {job: trial for job, trial in trials.items() if job not in left}


def check_runs(study: StoredStudy, trials: Mapping[Job, FrozenTrial]) -> None:
    """Whether no trial is left that cannot be run.

    Raises:
        ConfigError: one is: no code runs its settings any more (the line names the last commit that could), or it
            follows such a one, or one that is not there.
    """
    left = list(_left_over(study, trials))
    retired = {job.method: study.config.retired[job.method] for job in left if job.method in study.config.retired}
    if retired:
        raise ConfigError(f"methods: {refusal(retired)}. Run them there, or take them out of study.yaml")
    for job in left:
        raise ConfigError(f"methods: {job.method} follows {followed(job)}, which is not there")


def _left_over(study: StoredStudy, trials: Mapping[Job, FrozenTrial]) -> Iterator[Job]:
    """Unfinished trials that need what is retired, and those that follow one of them, or one that is not there."""

    def is_left(job: Job) -> bool:
        return job not in trials or (job.method in study.config.retired and not trials[job].state.is_finished())

    for job, trial in trials.items():
        other = followed(job)
        if not trial.state.is_finished() and (is_left(job) or (other is not None and is_left(other))):
            yield job
