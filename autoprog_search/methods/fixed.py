"""Fixed schedules: what anybody can write down without a search. No torch, no Optuna."""

from __future__ import annotations

from collections.abc import Sequence

from autoprog_search.choosing import Choice, StageContext
from autoprog_search.schedule import SubNetwork
from autoprog_search.space import GrowthSpace, Levels


class FixedMethod:
    """Answers from a list, one sub-network a stage."""

    def __init__(self, sub_networks: Sequence[SubNetwork]) -> None:
        self.sub_networks = tuple(sub_networks)

    def needs_estimates(self, stage: int) -> bool:
        """Never."""
        return False

    def choose(self, context: StageContext) -> Choice:
        """The stage's entry in the list."""
        return Choice(self.sub_networks[context.stage - 1])


def full(space: GrowthSpace) -> Levels:
    """The full network in every stage: ordinary training."""
    return ((len(space.depths) - 1, len(space.patches) - 1),) * space.stages


def linear(space: GrowthSpace) -> Levels:
    """Depth and resolution grow linearly from the smallest level to full size, snapped to the nearest levels.

    The manual baseline of the paper (section 3); EfficientNetV2's progressive learning grows resolution so
    (Tan and Le, ICML 2021). Halves go up.
    """
    grids = [int(n**0.5 + 0.5) for n in space.patches]
    return tuple(
        (_nearest(space.depths, k, space.stages), _nearest(grids, k, space.stages)) for k in range(space.stages)
    )


def _nearest(levels: Sequence[int], k: int, stages: int) -> int:
    share = k / (stages - 1) if stages > 1 else 1.0
    target = levels[0] + share * (levels[-1] - levels[0])
    return min(range(len(levels)), key=lambda i: (abs(levels[i] - target), -i))
