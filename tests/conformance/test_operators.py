"""Every growth operator of the table, under the suite that ships; and what only some of them promise."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch

from autoprog_search.errors import GrowthError
from autoprog_search.growth.elastic import ElasticModel
from autoprog_search.growth.operators import GROWTH_OPERATORS, GrowthOperator, interpolation, new_blocks
from autoprog_search.schedule import SubNetwork
from autoprog_search.testing.operators import GROWN, SMALL, GrowthOperatorCase, RunInProgress, _run_in_progress
from tests.growth.models import images, tiny


class TestGrowthOperators(GrowthOperatorCase):
    @pytest.fixture(params=GROWTH_OPERATORS.values(), ids=GROWTH_OPERATORS.keys())
    def operator(self, request: pytest.FixtureRequest) -> GrowthOperator:
        return request.param


class TestMomentumGrowth(GrowthOperatorCase):
    """Again, on stacking's chain: an operator's chain is explicit, so that an ablation can hold it fixed."""

    @pytest.fixture
    def operator(self) -> GrowthOperator:
        return GrowthOperator(interpolation, "MoGrow on the lowest chain", donors="ema_for_all", chain="lowest")

    def test_mogrow_is_interpolation_applied_to_the_ema_weights(self, run: RunInProgress):
        for name in ("mogrow", "mogrow_new"):
            twin, reference = deepcopy(run), deepcopy(run.momentum)
            reference.grow(GROWN, "interpolation")
            origin = twin.grow(GROWTH_OPERATORS[name], GROWN)
            grown, expected = twin.elastic.model.state_dict(), reference.model.state_dict()
            from_ema = [n for n in grown if name == "mogrow" or _block(n) in origin]
            assert len(from_ema) == len(grown) or name == "mogrow_new"
            assert all(torch.equal(grown[n], expected[n]) for n in from_ema)
            assert all(torch.equal(v, expected[n]) for n, v in twin.momentum.model.state_dict().items())

    def test_mogrow_leaves_a_network_that_does_not_grow_alone(self, run: RunInProgress):
        before = deepcopy(run.elastic.model.state_dict())
        assert run.grow(GROWTH_OPERATORS["mogrow"], SMALL) == {}
        assert all(torch.equal(v, before[n]) for n, v in run.elastic.model.state_dict().items())


def _block(name: str) -> int | None:
    return int(name.split(".")[1]) if name.startswith("blocks.") else None


# ── exact maps, by hand ─────────────────────────────────────────────────────────────────────────────────────────────


def origin_of(name: str, active: tuple[int, ...], grown: tuple[int, ...]) -> dict[int, int | None]:
    blocks = [torch.nn.Linear(1, 1) for _ in range(grown[-1] + 1)]
    return GROWTH_OPERATORS[name].grow(blocks, blocks, active, grown, None)  # type: ignore[arg-type]


def test_interpolation_copies_the_nearest_active_block_below():
    assert origin_of("interpolation", (0, 2, 4), (0, 1, 2, 3, 4, 5)) == {1: 0, 3: 2, 5: 4}
    assert origin_of("interpolation", (0, 4), (0, 1, 2, 3, 4)) == {1: 0, 2: 0, 3: 0}  # never from another new block


def test_stacking_repeats_the_stack():
    assert origin_of("stacking", (0, 1, 2), tuple(range(6))) == {3: 0, 4: 1, 5: 2}
    assert origin_of("stacking", (0, 1), tuple(range(6))) == {2: 0, 3: 1, 4: 0, 5: 1}  # j mod d
    assert origin_of("stacking", (0, 1, 2, 3), tuple(range(6))) == {4: 0, 5: 1}


def test_a_new_block_below_all_active_ones_has_no_donor_and_nothing_is_written():
    blocks = [torch.nn.Linear(1, 1) for _ in range(4)]
    before = deepcopy([block.state_dict() for block in blocks])
    with pytest.raises(GrowthError, match=r"block 0 .*1"):
        interpolation(blocks, blocks, (1, 2), (0, 1, 2, 3))
    assert all(torch.equal(b.weight, s["weight"]) for b, s in zip(blocks, before, strict=True))


def test_growth_never_drops_a_block():
    assert new_blocks((0, 2), (0, 1, 2, 3)) == [1, 3]
    with pytest.raises(GrowthError, match="block 2 "):
        new_blocks((0, 2), (0, 1, 3))


# ── split ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_split_divides_the_last_projections_by_the_number_of_copies():
    """Block 0 and its two copies take a third each, block 4 and its one a half; block 3 has no copy."""
    elastic = ElasticModel(tiny("deit"), depths=(3, 6))
    before, ends = deepcopy(elastic.blocks), elastic.adapter.residual_ends
    origin = elastic._write(GROWTH_OPERATORS["split"], elastic.blocks, elastic.blocks, tuple(range(6)))
    assert origin == {}  # it runs all: nothing is new
    elastic._run((0, 3, 4))
    origin = elastic._write(GROWTH_OPERATORS["split"], elastic.blocks, elastic.blocks, tuple(range(6)))
    assert origin == {1: 0, 2: 0, 5: 4}
    for index, (donor, k) in enumerate([(0, 3), (0, 3), (0, 3), (3, 1), (4, 2), (4, 2)]):
        for name, parameter in elastic.blocks[index].named_parameters():
            share = k if name.rpartition(".")[0] in ends else 1
            torch.testing.assert_close(parameter, before[donor].get_parameter(name) / share)


@torch.no_grad()
def test_split_preserves_constant_branches_exactly_and_others_to_first_order():
    """Branches of size e: three blocks that add f(h) / 3 differ from one that adds f(h) by the order of e squared."""

    def moved(size: float, constant: bool) -> float:
        elastic = ElasticModel(tiny("vit with a class token"), depths=(2, 6)).eval()
        for block in elastic.blocks:
            for name in elastic.adapter.residual_ends:
                end = block.get_submodule(name)
                end.weight.mul_(0 if constant else size)
                end.bias.mul_(size)
        elastic.activate(SubNetwork(2, 36))
        before = elastic(images())
        elastic.grow(elastic.full, "split")
        return float((elastic(images()) - before).abs().max())

    assert moved(1.0, constant=True) < 1e-5
    large, small = moved(0.05, constant=False), moved(0.005, constant=False)
    assert 50 < large / small < 200  # a tenth of the branches, a hundredth of the error


def test_split_divides_each_emas_own_blocks(run_of_split: RunInProgress):
    ends = run_of_split.elastic.adapter.residual_ends
    for ema in (run_of_split.momentum, run_of_split.estimation):
        before = deepcopy(ema.blocks)
        twin = deepcopy(run_of_split)
        grown = twin.momentum if ema is run_of_split.momentum else twin.estimation
        for new, donor in twin.grow(GROWTH_OPERATORS["split"], GROWN).items():
            for index in (new, donor):
                for name in ends:
                    weight = grown.blocks[index].get_submodule(name).weight
                    torch.testing.assert_close(weight, before[donor].get_submodule(name).weight / 2)


@pytest.fixture
def run_of_split() -> RunInProgress:
    return deepcopy(_run_in_progress("even"))
