"""Population based training: at a stage boundary, who copies whom, and where a copy explores.

Source: Jaderberg et al., "Population based training of neural networks", 2017. The population's members train side by
side, each under its own schedule; what they explore is the growth schedule's levels. Where the paper draws whom a weak
member copies, ours pairs by rank, so that no two members copy the same. Accuracy alone decides, as in the paper: PBT
knows no cost.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from autoprog_search.space import GrowthSpace, Levels


def exploit(accuracies: Mapping[int, float]) -> dict[int, int]:
    """Whose run each member goes on with: the worse half copies the better, rank by rank; the others keep their own.

    Args:
        accuracies: of the members by number, at the boundary. Of equal ones the lower number counts as better; of an
            odd population the one in the middle copies nobody.
    """
    ranked = sorted(accuracies, key=lambda member: (-accuracies[member], member))
    half = len(ranked) // 2
    return {member: member for member in ranked} | dict(zip(ranked[len(ranked) - half :], ranked[:half], strict=True))


def explore(space: GrowthSpace, levels: Levels, stage: int, rng: Random) -> Levels:
    """A schedule that leaves a copied one at a stage, by one level on one axis; later stages never shrink below it.

    Args:
        stage: the one that opens, above 1. Where the stage before leaves it no other level, the schedule stays.
    """
    (least_i, least_j), (i, j) = levels[stage - 2], levels[stage - 1]
    steps = [
        (a, b)
        for a, b in ((i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1))
        if least_i <= a < len(space.depths) and least_j <= b < len(space.patches)
    ]
    return space.repair([*levels[: stage - 1], rng.choice(steps), *levels[stage:]]) if steps else levels
