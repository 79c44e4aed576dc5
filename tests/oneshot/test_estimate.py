"""One-shot estimates: how long a search is, on how many images, and what a candidate's loss is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from autoprog_search.cost import ModelCost, Polynomial
from autoprog_search.errors import ConfigError
from autoprog_search.growth.elastic import ElasticModel
from autoprog_search.oneshot.estimate import (
    affordable_images,
    estimation_flops,
    evaluated_as,
    evaluation_points,
    network_losses,
    search_steps,
    summarise,
    supernet_of,
)
from autoprog_search.schedule import SubNetwork
from tests.growth.models import CLASSES, images, tiny

CANDIDATES = tuple(SubNetwork(d, n) for d in (2, 3, 5) for n in (9, 16))
COST = ModelCost(Polynomial(320, 768), (Polynomial(24_640, 24_704, 64),))

sub_networks = st.builds(SubNetwork, st.integers(1, 12), st.sampled_from([4, 9, 16]))
candidate_tuples = st.sets(sub_networks, min_size=1, max_size=9)


# ── how long, and when it is evaluated ──────────────────────────────────────────────────────────────────────────────


@given(found=candidate_tuples.map(sorted))
def test_the_supernet_is_the_smallest_network_that_holds_all(found):
    supernet = supernet_of(found)
    assert all(c.depth <= supernet.depth and c.patches <= supernet.patches for c in found)
    assert any(c.depth == supernet.depth for c in found)
    assert any(c.patches == supernet.patches for c in found)


@given(stage=st.integers(2, 5000), count=st.integers(2, 9), share=st.floats(0.01, 0.5))
def test_the_search_takes_its_share_at_least_two_steps_a_candidate_and_leaves_some(stage, count, share):
    wanted = max(round(share * stage), 2 * count)
    if wanted >= stage:
        with pytest.raises(ConfigError, match=rf"epochs: stage 3 has {stage} steps, its search takes {wanted} "):
            search_steps(3, stage, count, share)
    else:
        assert search_steps(3, stage, count, share) == wanted


@given(steps=st.integers(2, 2000), points=st.integers(1, 8))
def test_evaluation_points_lie_in_the_second_half_and_end_with_the_search(steps, points):
    found = evaluation_points(steps, points)
    assert max(found) == steps
    assert min(found) >= steps // 2
    assert min(found) >= 1  # never before any step
    assert 1 <= len(found) <= points
    if steps >= 4 * points:
        assert len(found) == points


def test_evaluation_points_by_hand():
    assert evaluation_points(100, 1) == {100}
    assert evaluation_points(100, 4) == {62, 75, 88, 100}


# ── on how many images ──────────────────────────────────────────────────────────────────────────────────────────────


@given(
    found=candidate_tuples.map(sorted),
    stage_images=st.integers(0, 10**6),
    points=st.integers(1, 6),
    share=st.floats(0.001, 0.2),
    common=st.booleans(),
)
def test_evaluations_keep_within_their_share_of_the_stages_training(found, stage_images, points, share, common):
    networks = evaluated_as(found, common)
    count = affordable_images(COST, found, networks, stage_images, points, share)
    mean = sum(COST.step_flops(c, 1) for c in found) / len(found)
    budget = share * stage_images * mean
    spent = points * estimation_flops(COST, networks, count)
    assert count >= 2  # a standard error needs them
    assert spent <= budget * (1 + 1e-9) or count == 2
    # And no image fewer than affordable.
    assert spent + points * estimation_flops(COST, networks, 1) > budget * (1 - 1e-9)


def test_what_an_evaluation_costs():
    own = sum(COST.forward_flops(c) for c in CANDIDATES)
    common = sum(COST.forward_flops(SubNetwork(depth, 16)) for depth in {c.depth for c in CANDIDATES})
    assert estimation_flops(COST, evaluated_as(CANDIDATES, False), 10) == 10 * own
    assert estimation_flops(COST, evaluated_as(CANDIDATES, True), 10) == 10 * common  # each distinct network once


# ── what a candidate's loss is ──────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def network() -> ElasticModel:
    elastic = ElasticModel(tiny("vit with a class token", drop_path_rate=0.5), depths=(2, 3, 5, 6))
    elastic.activate(supernet_of(CANDIDATES))
    return elastic.train()


def labelled(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    return images(24, batch=count), torch.arange(count) % CLASSES


@pytest.mark.parametrize("common", [False, True])
def test_losses_are_each_candidates_own_cross_entropy(network, common):
    pictures, labels = labelled(7)
    networks = evaluated_as(CANDIDATES, common)
    losses = network_losses(network, networks, [(pictures[:4], labels[:4]), (pictures[4:], labels[4:])])
    assert losses.shape == (len(CANDIDATES), 7)
    assert losses.dtype == torch.float64
    assert losses.device.type == "cpu"
    timm_model = network.model.eval()
    for row, candidate in zip(losses, CANDIDATES, strict=True):
        network.model.blocks.active = network.chain[candidate.depth]
        side = 16 if common else candidate.resolution(4)
        resized = F.interpolate(pictures, size=(side, side), mode="bilinear", align_corners=False)
        with torch.no_grad():
            probabilities = timm_model(resized).double().softmax(dim=1).numpy()
        by_hand = -np.log(probabilities[np.arange(7), labels.numpy()])
        np.testing.assert_allclose(row.numpy(), by_hand, atol=1e-5)
    alike = 2 if common else 1  # the control: no two depths, and no two resolutions, are alike
    assert len({round(float(row.mean()), 4) for row in losses}) == len(CANDIDATES) / alike


def test_the_network_is_left_as_the_supernet_it_was(network):
    supernet, active = network.sub_network, network.active
    rates = [block.drop_path1.drop_prob for block in network.blocks]
    before = {name: value.clone() for name, value in network.model.state_dict().items()}
    network_losses(network, CANDIDATES[::-1], [labelled(4)])  # the supernet first, the smallest last
    assert network.sub_network == supernet
    assert network.active == active
    assert not network.training
    assert [block.drop_path1.drop_prob for block in network.blocks] == rates
    assert all(torch.equal(value, before[name]) for name, value in network.model.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_losses_do_not_depend_on_batches_or_on_the_other_candidates(network):
    pictures, labels = labelled(6)
    together = network_losses(network, CANDIDATES, [(pictures, labels)])
    in_pairs = network_losses(network, CANDIDATES, [(pictures[i : i + 2], labels[i : i + 2]) for i in (0, 2, 4)])
    backwards = network_losses(network, CANDIDATES[::-1], [(pictures, labels)]).flip(0)
    torch.testing.assert_close(in_pairs, together, atol=1e-6, rtol=0)
    assert torch.equal(backwards, together)


def test_the_summary_is_mean_and_standard_error():
    losses = torch.tensor([[1.0, 2.0, 3.0, 6.0], [2.0, 2.0, 2.0, 2.0]], dtype=torch.float64)
    (mean, error), flat = summarise(losses)
    assert mean == 3.0
    assert error == pytest.approx((14 / 3) ** 0.5 / 2)
    assert flat == (2.0, 0.0)
