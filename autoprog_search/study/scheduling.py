"""Which trial may run next: pure functions of what is stored."""

from __future__ import annotations

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

    def chain(job: Job) -> int:
        count = sum(1 for j in trials if (j.method, j.seed) == (job.method, job.seed))
        return len(method_named(job.method).learns_from(count))

    def place(job: Job) -> int:
        return len(method_named(job.method).learns_from(job.trial))

    waited_for = {followed(job) for job in trials}
    jobs = [job for job, trial in trials.items() if not trial.state.is_finished()]
    return sorted(jobs, key=lambda job: (-chain(job), job not in waited_for, place(job)))


def runnable(trials: Mapping[Job, FrozenTrial]) -> Iterator[Job]:
    """Unfinished trials that are ready; one that another worker runs is among them, its lock tells."""
    return (job for job in unfinished(trials) if is_ready(job, trials))


def check_runs(study: StoredStudy, trials: Mapping[Job, FrozenTrial]) -> None:
    """Whether no trial is left that no code runs any more.

    Raises:
        ConfigError: one is; the line names the last commit that could run it.
    """
    left = {job.method: study.config.retired.get(job.method) for job in unfinished(trials)}
    if needed := {method: fields for method, fields in left.items() if fields}:
        raise ConfigError(f"methods: {refusal(needed)}. Run them there, or take them out of study.yaml")
