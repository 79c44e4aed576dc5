"""Hypothesis strategies for the package's values."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from autoprog_search.choosing import Estimate
from autoprog_search.schedule import SubNetwork
from autoprog_search.space import GrowthSpace, Levels

SMALL: dict[str, Any] = {
    "name": "small",
    "model": "vit_tiny_patch16_224",
    "depth": 4,
    "resolution": 24,
    "patch_size": 4,
    "depths": [2, 3, 4],
    "resolutions": [12, 24],
    "stages": 3,
}
"""Fields of a space with 18 schedules."""


@st.composite
def growth_spaces(draw: DrawFn, max_levels: int = 4, max_stages: int = 5) -> GrowthSpace:
    """Spaces small enough to enumerate (at most 1,225 schedules), of one to `max_stages` equally long stages."""
    depths = sorted(draw(st.sets(st.integers(1, 24), min_size=1, max_size=max_levels)))
    grids = sorted(draw(st.sets(st.integers(1, 16), min_size=1, max_size=max_levels)))
    patch_size = draw(st.sampled_from([4, 14, 16]))
    return GrowthSpace.model_validate(
        {
            "name": "drawn",
            "model": "vit_tiny_patch16_224",
            "depth": depths[-1],
            "resolution": grids[-1] * patch_size,
            "patch_size": patch_size,
            "depths": depths,
            "resolutions": [g * patch_size for g in grids],
            "stages": draw(st.integers(1, max_stages)),
        }
    )


def any_levels(space: GrowthSpace) -> st.SearchStrategy[Levels]:
    """One pair of levels a stage, monotone or not."""
    pair = st.tuples(st.integers(0, len(space.depths) - 1), st.integers(0, len(space.patches) - 1))
    return st.lists(pair, min_size=space.stages, max_size=space.stages).map(tuple)


@st.composite
def estimates(draw: DrawFn, min_size: int = 2, max_size: int = 9) -> tuple[Estimate, ...]:
    """Estimates of distinct sub-networks, with losses and costs of a plausible size (costs may repeat)."""
    count = draw(st.integers(min_size, max_size))
    losses = draw(st.lists(st.integers(100, 3000), min_size=count, max_size=count, unique=True))
    costs = draw(st.lists(st.integers(1, 1000), min_size=count, max_size=count))
    return tuple(
        Estimate(SubNetwork(i + 1, 4), loss / 1000, 0.01, cost * 1e6)
        for i, (loss, cost) in enumerate(zip(losses, costs, strict=True))
    )


squares = st.integers(1, 64).map(lambda side: side**2)
sub_networks = st.builds(SubNetwork, st.integers(1, 48), squares)
