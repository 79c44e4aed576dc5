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

from autoprog_search.cost import ModelCost, count_steps
from autoprog_search.growth.elastic import ElasticModel
from autoprog_search.schedule import SubNetwork
from autoprog_search.space import GrowthSpace
from tests.test_schedule import sub_networks


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
    images_gradient = batch * elastic.cost.per_patch * sub_network.patches  # which nobody needs: torch leaves it out
    assert step + images_gradient == elastic.cost.step_flops(sub_network, batch)
    assert elastic.cost.step_flops(sub_network, batch) == 3 * batch * elastic.cost.forward_flops(sub_network)
    elastic.zero_grad(set_to_none=True)


COST = ModelCost(per_patch=7, per_token=11, per_token_pair=13, per_image=17, prefix_tokens=1)


def test_the_closed_form_by_hand():
    # 4 patches and a class token: 4 * 7 to embed, 2 blocks of 5 * 11 + 25 * 13, and the head's 17.
    assert COST.forward_flops(SubNetwork(2, 4)) == 28 + 2 * (55 + 325) + 17


@given(a=sub_networks, b=sub_networks)
def test_a_larger_sub_network_costs_more(a, b):
    if a != b and a.depth <= b.depth and a.patches <= b.patches:
        assert COST.forward_flops(a) < COST.forward_flops(b)


@given(parts=st.lists(st.tuples(sub_networks, st.integers(0, 50)), max_size=8), batch=st.integers(1, 64))
def test_a_runs_cost_is_the_sum_over_its_steps(parts, batch):
    one_by_one = sum(COST.step_flops(s, batch) for s, steps in parts for _ in range(steps))
    assert COST.steps_flops(count_steps(parts), batch) == one_by_one
