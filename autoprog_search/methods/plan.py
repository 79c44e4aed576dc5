"""What a study tells a method, its plan and its trials, and what the method answers: how a trial goes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, model_validator

from autoprog_search.choosing import Method
from autoprog_search.errors import ConfigError, shown
from autoprog_search.fields import Epochs, Options, Settings, Whole
from autoprog_search.methods.fixed import Program
from autoprog_search.randomness import derive
from autoprog_search.schedule import MOST_EPOCHS
from autoprog_search.space import GrowthSpace

if TYPE_CHECKING:
    from autoprog_search.settings.growth import GrowthSettings

# Bounds that no study should meet: all its trials are listed whenever it is looked at.
MOST_TRIALS = 1_000_000
MOST_LENGTHS = 100  # of a sweep


class MethodPlan(Settings):
    """How often a method runs, and what is different in it from the rest of the study."""

    trials: Whole = Field(default=1, ge=1, le=MOST_TRIALS)
    """how many, for each seed."""
    seeds: Whole = Field(default=3, ge=1, le=MOST_TRIALS)
    """how many, from the study's `first_seed` on."""
    epochs: tuple[Annotated[Epochs, Field(le=MOST_EPOCHS)], ...] = Field(default=(), max_length=MOST_LENGTHS)
    """a sweep: the method's trials train so many epochs each, one after the other; empty: the recipe's."""
    growth: Options = Field(default_factory=dict)
    """fields of the study's own that are different in this method (`METHOD+VARIANT`)."""
    space: Options = Field(default_factory=dict)
    """fields of the study's own that are different in this method (`METHOD+VARIANT`)."""

    @model_validator(mode="before")
    @classmethod
    def _a_trial_each(cls, data: Any) -> Any:
        if not isinstance(data, dict) or not isinstance(lengths := data.get("epochs"), list | tuple) or not lengths:
            return data
        if data.get("trials", len(lengths)) != len(lengths):
            trials = shown(data["trials"])
            raise ConfigError(f"methods, trials: {trials} for {len(lengths)} lengths in epochs; leave it out")
        return {**data, "trials": len(lengths)}


@dataclass(frozen=True)
class Planned:
    """A method as a study plans it.

    Attributes:
        name: in the study, a variant's perhaps.
        plans: of all of the study's methods.
        space, growth: those of this method.
        epochs: the recipe's.
    """

    name: str
    plans: Mapping[str, MethodPlan]
    space: GrowthSpace
    growth: GrowthSettings
    epochs: float

    @property
    def own(self) -> MethodPlan:
        """The method's own plan."""
        return self.plans[self.name]

    def check_trials(self, most: int, what: str) -> None:
        """Whether it has no more trials than there are.

        Raises:
            ConfigError: it has.
        """
        if self.own.trials > most:
            raise ConfigError(
                f"methods, {self.name}, trials: {self.own.trials} are more than the space's {most} {what}"
            )


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
        program: the schedule, where it is known already; it may have stages of its own.
    """

    method: Method
    program: Program | None = None
