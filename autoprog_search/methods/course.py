"""What a method is told of a trial, and what it answers: how the trial goes. No torch, no Optuna."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from autoprog_search.choosing import Method
from autoprog_search.methods.fixed import Program
from autoprog_search.randomness import derive
from autoprog_search.space import GrowthSpace

if TYPE_CHECKING:
    from autoprog_search.settings.growth import GrowthSettings


@dataclass(frozen=True)
class TrialInfo:
    """All that a trial's schedule may follow from, besides the trials before it.

    Attributes:
        study, method, seed, number: which trial of which study.
        trials: how many the method has for that seed.
        space, growth: the method's own.
        w_scale: multiplies the exponent of the cost in AutoProg's score.
    """

    study: str
    method: str
    seed: int
    number: int
    trials: int
    space: GrowthSpace
    growth: GrowthSettings
    w_scale: float = 1.0

    def random_seed(self, *what: str | int) -> int:
        """A seed of the method's own, of one trial, of one parameter; as large as NumPy takes."""
        return derive(self.study, self.method, self.seed, *what) % 2**32


@dataclass(frozen=True)
class Course:
    """How a trial goes, as far as it is known before it trains.

    Attributes:
        method: who is asked at each stage boundary.
        space: with the stage lengths that were chosen for the trial.
        program: the schedule, where it is known already; it may have stages of its own.
    """

    method: Method
    space: GrowthSpace
    program: Program | None = None
