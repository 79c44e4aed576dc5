"""Stochastic depth with its rate in a tensor, against torch's Bernoulli draws and timm's own rates."""

from __future__ import annotations

import pytest
import torch
from timm.layers import DropPath as TimmDropPath
from torch import nn

from autoprog_search.growth.drop_path import DropPath
from autoprog_search.growth.elastic import ElasticModel
from autoprog_search.schedule import SubNetwork
from tests.growth.models import images, tiny

SAMPLES = 4000


def test_it_drops_samples_with_its_probability_and_scales_what_it_keeps():
    x = torch.ones(SAMPLES, 2, 3)
    drop = DropPath(0.3)
    torch.manual_seed(0)
    out = drop(x)
    torch.manual_seed(0)
    kept = torch.bernoulli(torch.tensor(0.7).expand(SAMPLES))
    torch.testing.assert_close(out, (kept / 0.7)[:, None, None].expand(-1, 2, 3))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_as_timms_in_eval_mode_at_a_rate_of_0_and_in_the_mean(dtype):
    x = torch.ones(SAMPLES, 1, dtype=dtype)
    for rate in (0.0, 0.4):
        ours, timms = DropPath(rate), TimmDropPath(rate)
        assert torch.equal(ours.eval()(x), timms.eval()(x))
        out, theirs = ours.train()(x), timms.train()(x)
        assert out.dtype == theirs.dtype == dtype
        error = 4 * (rate / (1 - rate) / SAMPLES) ** 0.5  # four standard errors of the mean
        assert float(out.float().mean()) == pytest.approx(1, abs=error + 0.01 * (dtype == torch.bfloat16))
        assert set(out.unique().tolist()) == set(theirs.unique().tolist())


def test_a_new_rate_holds_at_once_and_is_no_weight():
    drop = DropPath(0.9)
    drop.drop_prob = 0.0
    x = torch.randn(50, 4)
    assert torch.equal(drop(x), x)
    assert (drop.drop_prob, dict(drop.state_dict())) == (0.0, {})


def test_no_rate_is_compiled_in():
    """Blocks are compiled once, whatever rates they have at the depths that run."""
    compilations = []

    def counted(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> torch.fx.GraphModule:
        compilations.append(graph)
        return graph

    elastic = ElasticModel(tiny("deit", drop_path_rate=0.3), depths=(2, 4, 6)).train()
    for block in elastic.blocks:
        block.compile(dynamic=False, backend=counted)
    for depth in (2, 4, 6, 2):
        elastic.activate(SubNetwork(depth, elastic.full.patches))
        elastic(images()).sum().backward()
    assert len(compilations) == 1


def test_an_elastic_model_keeps_its_mode_and_device():
    elastic = ElasticModel(tiny("deit", drop_path_rate=0.3).eval())
    assert not any(module.training for module in elastic.blocks[-1].modules() if not isinstance(module, nn.Identity))
