"""How often a method runs in a study."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, model_validator

from autoprog_search.errors import ConfigError, shown
from autoprog_search.fields import Options, Settings, Whole
from autoprog_search.schedule import MOST_EPOCHS

# Bounds that no study should meet: all its trials are listed whenever it is looked at.
MOST_TRIALS = 1_000_000
MOST_LENGTHS = 100  # of a sweep


class MethodPlan(Settings):
    """How often a method runs, and what is different in it from the rest of the study.

    Attributes:
        trials: how many, for each seed.
        seeds: how many, from the study's `first_seed` on.
        epochs: a sweep: the method's trials train so many epochs each, one after the other; empty: the recipe's.
        growth, space: fields of the study's own that are different in this method (`METHOD+VARIANT`).
    """

    trials: Whole = Field(default=1, ge=1, le=MOST_TRIALS)
    seeds: Whole = Field(default=3, ge=1, le=MOST_TRIALS)
    epochs: tuple[Annotated[Whole, Field(ge=1, le=MOST_EPOCHS)], ...] = Field(default=(), max_length=MOST_LENGTHS)
    growth: Options = Field(default_factory=dict)
    space: Options = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _a_trial_each(cls, data: Any) -> Any:
        if not isinstance(data, dict) or not isinstance(lengths := data.get("epochs"), list | tuple) or not lengths:
            return data
        if data.get("trials", len(lengths)) != len(lengths):
            trials = shown(data["trials"])
            raise ConfigError(f"methods, trials: {trials} for {len(lengths)} lengths in epochs; leave it out")
        return {**data, "trials": len(lengths)}
