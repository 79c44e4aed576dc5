"""The closed form against torch's own counter, `torch.utils.flop_counter.FlopCounterMode`.

Attention is counted on the math backend: the counter knows its matrix products one by one, while it takes the backward
pass of fused attention for 2.5 forward passes (the recomputation, which is no work of the model).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from autoprog_search.cost import ModelCost, Polynomial
from autoprog_search.growth.elastic import ElasticModel
from autoprog_search.schedule import SubNetwork
from autoprog_search.space import GrowthSpace
from tests.strategies import sub_networks


@cache
def elastic_of(name: str) -> ElasticModel:
    space = GrowthSpace.load(name)
    return ElasticModel.from_space(space, num_classes=10, in_chans=space.model_args.get("in_chans", 3)).eval()


def counted(run: Callable[[], object]) -> int:
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


def images_for(elastic: ElasticModel, sub_network: SubNetwork, batch: int) -> torch.Tensor:
    channels = elastic.model.patch_embed.proj.in_channels
    side = sub_network.resolution(elastic.patch_size)
    return torch.zeros(batch, channels, side, side)


@pytest.mark.parametrize("sub_network", GrowthSpace.load("digits").sub_networks, ids=str)
def test_every_sub_network_of_digits_costs_what_torch_counts(sub_network):
    elastic, batch = elastic_of("digits"), 3
    elastic.activate(sub_network)
    images = images_for(elastic, sub_network, batch)
    with torch.no_grad():
        assert counted(lambda: elastic(images)) == batch * elastic.cost.forward_flops(sub_network)


@pytest.mark.parametrize("depth", [6, 12])
def test_deit_tiny_costs_what_torch_counts(depth):
    elastic = elastic_of("deit_tiny")
    sub_network = SubNetwork(depth, elastic.full.patches if depth == 12 else 49)
    elastic.activate(sub_network)
    images = images_for(elastic, sub_network, 1)
    with torch.no_grad():
        assert counted(lambda: elastic(images)) == elastic.cost.forward_flops(sub_network)


def test_deit_tiny_at_224_px_is_the_literatures_1_26_gmacs():
    space = GrowthSpace.load("deit_tiny")
    elastic = ElasticModel.from_space(space, num_classes=1000)
    assert elastic.cost.forward_flops(space.full) == pytest.approx(2.52e9, rel=0.01)


@pytest.mark.parametrize("sub_network", [SubNetwork(3, 9), SubNetwork(5, 25), SubNetwork(6, 36)], ids=str)
def test_a_training_step_is_three_forward_passes(sub_network):
    elastic, batch = elastic_of("digits"), 2
    elastic.activate(sub_network)
    images = images_for(elastic, sub_network, batch)
    step = counted(lambda: elastic(images).sum().backward())
    embedding = 2 * elastic.model.patch_embed.proj.weight.numel() * sub_network.patches
    images_gradient = batch * embedding  # which nobody needs: torch leaves it out
    assert step + images_gradient == elastic.cost.step_flops(sub_network, batch)
    assert elastic.cost.step_flops(sub_network, batch) == 3 * batch * elastic.cost.forward_flops(sub_network)
    elastic.zero_grad(set_to_none=True)


COST = ModelCost(Polynomial(17, 7), (Polynomial(2, 11, 13),))
TWO_STACKS = ModelCost(Polynomial(17, 7), (Polynomial(0, 5), Polynomial(2, 11, 13)), {3: (1, 2), 5: (2, 3)})


def test_the_closed_form_by_hand():
    # 4 patches: 17 + 4 * 7 for the rest, 2 blocks of 2 + 4 * 11 + 16 * 13.
    assert COST.forward_flops(SubNetwork(2, 4)) == 45 + 2 * 254
    assert TWO_STACKS.forward_flops(SubNetwork(5, 4)) == 45 + 2 * 20 + 3 * 254


def test_a_vits_polynomials_by_hand():
    """12 d^2 per token and 2 d per pair of tokens, in multiply-adds; a class token makes n patches n + 1 tokens."""
    elastic, width = elastic_of("deit_tiny"), 192
    linear, pair = 2 * 12 * width**2, 2 * 2 * width
    n = 49
    block = linear * (n + 1) + pair * (n + 1) ** 2
    assert elastic.cost.blocks == (Polynomial(linear + pair, linear + 2 * pair, pair),)
    assert elastic.cost.blocks[0].at(n) == block
    assert elastic.cost.rest == Polynomial(2 * width * 10, 2 * 3 * 16**2 * width)


@given(a=st.integers(0, 10**12), b=st.integers(0, 10**9), c=st.integers(0, 10**6))
def test_a_polynomial_is_found_from_three_points(a, b, c):
    wanted = Polynomial(a, b, c)
    assert Polynomial.through({n: wanted.at(n) for n in (4, 9, 16)}) == wanted


def test_what_is_not_quadratic_is_no_models_cost():
    with pytest.raises(ValueError, match="quadratic"):
        Polynomial.through({4: 64, 9: 729, 16: 4097})


@given(a=sub_networks, b=sub_networks)
def test_a_larger_sub_network_costs_more(a, b):
    if a != b and a.depth <= b.depth and a.patches <= b.patches:
        assert COST.forward_flops(a) < COST.forward_flops(b)
