"""How a stage's new blocks come in: little by little, over its first steps (pure functions of the step)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class EaseIn:
    """The first steps of every stage, over which what is new there comes in.

    It ends with its stage at the latest: whatever grew, the network that a stage leaves is the plain one.

    Args:
        stage_steps: optimiser steps of each stage.
        share: of the run's steps, how long it takes.
    """

    stage_steps: Sequence[int]
    share: float

    def steps(self, stage: int) -> int:
        """How many steps it takes at this stage."""
        return min(max(1, round(self.share * sum(self.stage_steps))), self.stage_steps[stage - 1])

    def done(self, stage: int, step: int) -> float:
        """How far it has come at a step of the run: 0 where the stage begins, 1 from its last step on, linear between.

        Args:
            stage: k, from 1.
            step: optimiser steps of the run that have been taken.
        """
        taken = step - sum(self.stage_steps[: stage - 1])
        return min(1.0, taken / self.steps(stage))
