"""What a study will take, said before it runs: from the schedules that are known and the step profile."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from random import Random

from autoprog_search.methods.fixed import Program, through
from autoprog_search.methods.registry import method_named
from autoprog_search.space import GrowthSpace
from autoprog_search.study.scheduling import to_run
from autoprog_search.study.store import StoredStudy
from autoprog_search.training.profile import Profiles, StepProfile


@dataclass(frozen=True)
class Budget:
    """What is left to run.

    Attributes:
        trials: unfinished ones.
        core_seconds: training seconds of all of them by the profile, one after the other.
        full_runs: the same as a multiple of one full run.
    """

    trials: int
    core_seconds: float
    full_runs: float

    @property
    def text(self) -> str:
        """One line for people."""
        return (
            f"{self.trials} trials to run, about the time of {self.full_runs:.1f} full runs: "
            f"{self.core_seconds / 60:.1f} minutes one after the other"
        )


def budget(study: StoredStudy, profiles: Profiles, train_size: int) -> Budget:
    """Add up what the unfinished trials will train, as far as it is known now.

    A search's schedule is not: AutoProg (and full-short, which takes its budget) is taken to cost what `linear` does,
    a TPE trial what the mean of 200 uniform schedules does.
    """
    config = study.config
    full = profiles[config.space.patches_by].seconds[config.space.full]

    def full_seconds(epochs: float) -> float:
        return epochs * (train_size // config.recipe.batch_size) * full

    @cache  # once a method, not once a trial
    def mean_draw(method: str) -> float:
        space, rng = config.space_of(method), Random(0)
        profile = profiles[space.patches_by]
        return sum(mean_cost(space, through(space, space.sample(rng)), profile) for _ in range(200)) / 200

    parts = []
    for job, trial in to_run(study).items():
        if not trial.state.is_finished():
            space = config.space_of(job.method)
            program = method_named(job.method).expected(space, trial.system_attrs.get("fixed_params", {}))
            cost = mean_draw(job.method) if program is None else mean_cost(space, program, profiles[space.patches_by])
            parts.append(cost * full_seconds(config.epochs(job.method, job.trial)))
    return Budget(len(parts), sum(parts), sum(parts) / full_seconds(config.recipe.epochs))


def mean_cost(space: GrowthSpace, program: Program, profile: StepProfile) -> float:
    """Seconds of a program's mean step over those of a full step."""
    if space.equal_compute and not program.shares:
        return 1.0  # that is what its stages are made for, in FLOPs
    shares = program.shares or space.stage_lengths or (1 / space.stages,) * space.stages
    pairs = zip(shares, program.sub_networks, strict=True)
    return sum(share * profile.seconds[sub_network] for share, sub_network in pairs) / profile.seconds[space.full]
