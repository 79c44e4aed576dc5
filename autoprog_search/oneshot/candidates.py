"""Lambda_k: which sub-networks a one-shot search looks at when a stage opens (section 4)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Literal

from autoprog_search.errors import SpaceError
from autoprog_search.schedule import SubNetwork
from autoprog_search.space import GrowthSpace

ForceGrowth = Literal["none", "any", "depth", "patches"]


def candidates(
    space: GrowthSpace, stage: int, current: SubNetwork | None, force_growth: ForceGrowth = "none"
) -> tuple[SubNetwork, ...]:
    """The candidates of stage k < K, the largest last.

    At stage 1 the smallest, middle and largest level of each axis; later the current depth level and the next two, and
    the current patches level and the next: growing at once in both, in one or in none.

    Args:
        space: the growth space.
        stage: k, from 1.
        current: the sub-network of stage k - 1; None at stage 1.
        force_growth: drop "not growing" (`any`), what does not grow deeper (`depth`, the released code), or what has no
            more patches (`patches`), wherever a larger candidate is left.
    """
    n_depths, n_patches = len(space.depths), len(space.patches)
    if current is None:
        depth_levels = sorted({0, n_depths // 2, n_depths - 1})
        patches_levels = sorted({0, n_patches // 2, n_patches - 1})
        return tuple(space.at(i, j) for i in depth_levels for j in patches_levels)
    i, j = space.levels_of(current)
    found = tuple(
        space.at(a, b) for a in range(i, min(i + 2, n_depths - 1) + 1) for b in range(j, min(j + 1, n_patches - 1) + 1)
    )
    grown = tuple(c for c in found if c != current)
    deeper = tuple(c for c in found if c.depth > current.depth)
    finer = tuple(c for c in found if c.patches > current.patches)
    forced = {"none": found, "any": grown, "depth": deeper, "patches": finer}[force_growth]
    return forced or grown or found


def ways_to_grow(
    operators: Sequence[str], lambda_k: Sequence[SubNetwork], current: SubNetwork | None
) -> tuple[str, ...]:
    """The operators by which a search grows its supernet in turn: all, if it has blocks that did not run before.

    Args:
        operators: the run's own first.
        lambda_k: the stage's candidates; at stage K the full network alone.
        current: the sub-network of stage k - 1; None at stage 1, where nothing grows.
    """
    deepens = current is not None and max(c.depth for c in lambda_k) > current.depth
    return tuple(operators) if deepens else (operators[0],)


def reachable(space: GrowthSpace, current: SubNetwork | None) -> tuple[SubNetwork, ...]:
    """All that a method may choose without a search: every sub-network of the space that does not shrink."""
    least = current or SubNetwork(1, 1)
    return tuple(s for s in space.sub_networks if s.depth >= least.depth and s.patches >= least.patches)


MOST_PATHS = 200_000
"""Choices in all paths together: a tenth of a second. A path is a whole run."""


def paths(space: GrowthSpace, stages: int, force_growth: ForceGrowth = "none") -> tuple[tuple[SubNetwork, ...], ...]:
    """Every way of choosing a candidate at each of the first `stages` stages, smallest choices first.

    Raises:
        SpaceError: there are more than anybody walks.
    """
    found: list[tuple[SubNetwork, ...]] = [()]
    later = cache(lambda current: candidates(space, 2, current, force_growth))  # whatever the stage
    for stage in range(1, stages + 1):
        found = [
            (*path, chosen)
            for path in found
            for chosen in (later(path[-1]) if path else candidates(space, stage, None, force_growth))
        ]
        if len(found) * stages > MOST_PATHS:
            raise SpaceError(
                f"stages: a search can go more than {len(found):,} ways through {stages} stages, too many to list; "
                "take fewer stages or levels"
            )
    return tuple(found)
