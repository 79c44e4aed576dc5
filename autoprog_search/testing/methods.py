"""What every method keeps."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from random import Random

import pytest

from autoprog_search.choosing import Choice, Estimate, Method, StageContext
from autoprog_search.engines.table import ask
from autoprog_search.oneshot.candidates import ForceGrowth
from autoprog_search.schedule import SubNetwork
from autoprog_search.space import GrowthSpace
from autoprog_search.tables.table import Walk

MakeMethod = Callable[[GrowthSpace], Method]


class MethodCase:
    """What every method keeps. Supply `make_method`, which builds a fresh one, the same at every call.

    Estimates are synthetic: losses and costs of a plausible size, with noise.
    """

    seeds = range(5)

    @pytest.fixture
    def make_method(self) -> MakeMethod:
        """Builds the method under test for a space."""
        raise NotImplementedError

    @pytest.fixture
    def space(self) -> GrowthSpace:
        """Four levels of depth, three of patches, four stages."""
        full = {"model": "vit_tiny_patch16_224", "depth": 8, "resolution": 24, "patch_size": 4}
        levels = {"depths": [4, 5, 6, 8], "resolutions": [12, 16, 24], "stages": 4}
        return GrowthSpace.model_validate({"name": "conformance", **full, **levels})

    def test_it_chooses_candidates_and_never_shrinks(self, make_method: MakeMethod, space: GrowthSpace) -> None:
        """At every stage, whatever the estimates say."""
        for seed in self.seeds:
            contexts = play(make_method(space), space, seed)
            assert [context.stage for context, _ in contexts] == list(range(1, space.stages))
            for context, choice in contexts:
                assert choice.sub_network in context.candidates
            chosen = [choice.sub_network for _, choice in contexts] + [space.full]
            assert all(a.depth <= b.depth and a.patches <= b.patches for a, b in pairwise(chosen))

    def test_it_is_deterministic(self, make_method: MakeMethod, space: GrowthSpace) -> None:
        """Two of the same, given the same, choose the same."""
        for seed in self.seeds:
            assert play(make_method(space), space, seed) == play(make_method(space), space, seed)

    def test_asking_again_changes_nothing(self, make_method: MakeMethod, space: GrowthSpace) -> None:
        """A run that was interrupted after its method chose asks the same again."""
        method = make_method(space)
        for context, choice in play(method, space, 0):
            assert method.choose(context).sub_network == choice.sub_network

    def test_what_it_asks_for_does_not_depend_on_when(self, make_method: MakeMethod, space: GrowthSpace) -> None:
        """The trainer looks ahead: which stages open with a search is known before the first one."""
        method = make_method(space)
        ahead = [method.needs_estimates(k) for k in range(1, space.stages)]
        assert all(isinstance(needed, bool) for needed in ahead)
        play(method, space, 0)
        assert [method.needs_estimates(k) for k in range(1, space.stages)] == ahead


def play(
    method: Method, space: GrowthSpace, seed: int = 0, force_growth: ForceGrowth = "any"
) -> list[tuple[StageContext, Choice]]:
    """Ask a method for all stages but the last, as the trainer does, with synthetic estimates where it needs them."""

    def search(walk: Walk, allowed: tuple[SubNetwork, ...]) -> tuple[Estimate, ...]:
        return synthetic_estimates(allowed, Random(f"{seed}/{len(walk) + 1}"))

    return list(ask(method, space, force_growth, search))


def synthetic_estimates(sub_networks: tuple[SubNetwork, ...], rng: Random) -> tuple[Estimate, ...]:
    """Losses that fall slowly with the cost, and noise."""
    costs = [float(s.depth * s.patches) for s in sub_networks]
    return tuple(
        Estimate(s, 2.0 * cost**-0.1 * rng.uniform(0.9, 1.1), 0.01, cost)
        for s, cost in zip(sub_networks, costs, strict=True)
    )
