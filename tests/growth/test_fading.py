"""Blocks that fade in: they count for their share, from nothing to the plain network."""

from __future__ import annotations

import torch
from timm.utils import ModelEmaV3
from torch import nn

from autoprog_search.growth.elastic import ActiveBlocks, ElasticModel
from autoprog_search.schedule import SubNetwork
from tests.growth.models import images, tiny

DEPTHS = (2, 3, 5, 6)


def test_a_fading_block_counts_for_its_share():
    blocks = ActiveBlocks([nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2)])
    first, second, third = blocks.children()
    x = torch.randn(4, 2)
    blocks.faded = {1: 0.25}
    h = first(x)
    torch.testing.assert_close(blocks(x), third(0.75 * h + 0.25 * second(h)))
    blocks.active = (0, 2)
    assert torch.equal(blocks(x), third(h))  # it does not run at all


@torch.inference_mode()
def test_blocks_fade_in_from_nothing_to_the_plain_network():
    elastic = ElasticModel(tiny("deit"), depths=DEPTHS).eval()
    plain = elastic(images())
    elastic.activate(SubNetwork(3, 36))
    without, old = elastic(images()), elastic.active
    elastic.activate(elastic.full)
    new = set(elastic.active) - set(old)
    elastic.fade(new, 0.0)
    torch.testing.assert_close(elastic(images()), without, atol=1e-6, rtol=0)
    elastic.fade(new, 0.5)
    halfway = elastic(images())
    assert not torch.allclose(halfway, without, atol=1e-3)
    assert not torch.allclose(halfway, plain, atol=1e-3)
    elastic.fade(new, 1.0)
    assert torch.equal(elastic(images()), plain)


def test_masked_growth_holds_the_ema_networks_too_until_it_is_told():
    elastic = ElasticModel(tiny("deit"), depths=DEPTHS, operator="masked").eval()
    ema = ModelEmaV3(elastic).module
    for network in (elastic, ema):
        network.activate(SubNetwork(3, 36))
    with torch.inference_mode():
        before = ema(images())
    origin = elastic.grow(SubNetwork(5, 36), momentum=ema)
    with torch.inference_mode():
        torch.testing.assert_close(ema(images()), before, atol=1e-6, rtol=0)
        ema.fade(origin, 1.0)
        assert not torch.allclose(ema(images()), before, atol=1e-3)
