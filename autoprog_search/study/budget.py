"""What a study will take, said before it runs: from the schedules that are known and the step profile."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from optuna.trial import FrozenTrial

from autoprog_search.methods.fixed import linear
from autoprog_search.methods.table import method_named
from autoprog_search.space import GrowthSpace, Levels
from autoprog_search.study.store import Job, StoredStudy
from autoprog_search.training.profile import StepProfile
from autoprog_search.training.spec import planned_steps


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


def budget(study: StoredStudy, profile: StepProfile, train_size: int) -> Budget:
    """Add up what the unfinished trials will train, as far as it is known now.

    A search's schedule is not: AutoProg (and full-short, which takes its budget) is taken to cost what `linear` does,
    a TPE trial what the mean of 200 uniform schedules does.
    """
    space, recipe = study.config.space, study.config.recipe
    stage_steps = planned_steps(space, recipe, train_size)

    def seconds(levels: Levels) -> float:
        pairs = zip(stage_steps, (space.at(*pair) for pair in levels), strict=True)
        return sum(steps * profile.seconds[sub_network] for steps, sub_network in pairs)

    rng = Random(0)
    mean_draw = sum(seconds(space.sample(rng)) for _ in range(200)) / 200
    waiting = ((job, trial) for job, trial in study.trials().items() if not trial.state.is_finished())
    expected = [_levels(space, job, trial) for job, trial in waiting]
    parts = [mean_draw if levels is None else seconds(levels) for levels in expected]
    full_seconds = sum(stage_steps) * profile.seconds[space.full]
    return Budget(len(parts), sum(parts), sum(parts) / full_seconds)


def _levels(space: GrowthSpace, job: Job, trial: FrozenTrial) -> Levels | None:
    """The trial's schedule as far as it is known or guessed; None: the mean of draws."""
    info = method_named(job.method)
    if info.levels is not None:
        return info.levels(space)
    if info.draw is not None:
        return space.from_parameters(trial.system_attrs["fixed_params"])
    return linear(space) if not info.many_trials else None
