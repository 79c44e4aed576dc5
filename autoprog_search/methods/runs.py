"""What a host of experiments asks of the place where training runs are kept. Plain data: no NNI, no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from autoprog_search.choosing import Method
from autoprog_search.space import Levels


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """A training run that has ended.

    Attributes:
        levels, parameters: the schedule that it was, and the numbers that it is in a search.
        metric: the one number that a host maximises, from accuracy and cost.
        val_top1: validation accuracy, %.
        cost_share: FLOPs of training and search over those of training the full network as long.
        curve: validation accuracy after each epoch, %.
        stages: of each stage the sub-network chosen and, where it was searched, candidates, losses and costs.
    """

    trial: int
    levels: Levels
    parameters: dict[str, int]
    metric: float
    val_top1: float
    cost_share: float
    curve: tuple[float, ...]
    stages: tuple[dict[str, Any], ...]


class Runs(Protocol):
    """The runs of one experiment, numbered as trials. Each runs once, however often it is asked for.

    It is sent to other processes: it pickles, or has NNI's `_dump` and `_load`.

    Attributes:
        seed: of weights, order and augmentation.
    """

    seed: int

    def of_schedule(self, levels: Levels) -> FinishedRun:
        """Train under that schedule, or look up the run that did."""

    def of_method(self, trial: int, method: Method) -> FinishedRun:
        """Train as that trial, asking the method at each stage boundary; or look it up."""

    def of_trial(self, trial: int) -> FinishedRun:
        """Look up a run that has ended."""
