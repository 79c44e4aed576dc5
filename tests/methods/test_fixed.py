"""Fixed schedules with stages of their own, against their sources' figures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given

from autoprog_search.methods.fixed import efficienttrain, hand_timed, linear, one_layer, program_of, timm_progressive
from autoprog_search.methods.kinds import Fixed
from autoprog_search.methods.registry import METHODS, method_named
from autoprog_search.schedule import GrowthSchedule, SubNetwork
from autoprog_search.space import GrowthSpace
from tests.strategies import growth_spaces

PROGRAMS = {name: kind.schedule for name, kind in METHODS.items() if isinstance(kind, Fixed)}


@given(space=growth_spaces())
@pytest.mark.parametrize("name", PROGRAMS)
def test_every_program_grows_to_the_full_network(name, space):
    program = PROGRAMS[name](space)
    shares = program.shares or (1 / space.stages,) * space.stages
    GrowthSchedule.of(shares, program.sub_networks)  # raises where it shrinks
    assert program.sub_networks[-1] == space.full
    assert sum(shares) == pytest.approx(1)
    assert len(program.augment) in (0, len(shares))


@pytest.fixture
def deit() -> GrowthSpace:
    return GrowthSpace.load("deit_small")


def test_efficienttrain_spends_a_tenth_of_its_compute_on_each_phase(deit):
    program = efficienttrain(deit)
    assert [s.resolution(16) for s in program.sub_networks] == [96, 96, 160, 160, 160, 160, 192, 192, 224, 224]
    assert {s.depth for s in program.sub_networks} == {12}
    compute = [share * s.resolution(16) ** 2 for share, s in zip(program.shares, program.sub_networks, strict=True)]
    assert compute == pytest.approx([compute[0]] * 10)
    assert [9 * a for a in program.augment] == pytest.approx(range(10))  # RandAugment's magnitudes 0 to 9


def test_timm_progressive_gives_each_size_the_share_that_timm_draws_it():
    sampler = pytest.importorskip("timm.data.scheduled_sampler")
    space = GrowthSpace.load("digits")
    epochs = 200
    own = sampler.ScheduledBatchSampler(
        torch.utils.data.SequentialSampler(range(64)),
        batch_sizes=[8] * len(space.patches),
        num_batches=8,
        choice_schedule="progressive",
        schedule_epochs=epochs,
    )
    drawn = np.mean([own.choice_weights_for_epoch(epoch).numpy() for epoch in range(epochs)], axis=0)
    assert timm_progressive(space).shares == pytest.approx(drawn.tolist())


@pytest.mark.parametrize("clock", ["stages", "free"])
def test_hand_timed_grows_once_from_the_fewest_patches_on_all_blocks(deit, clock):
    program = hand_timed(deit.model_copy(update={"clock": clock}))
    assert program.sub_networks == (SubNetwork(12, deit.patches[0]), deit.full)
    assert program.shares == (0.75, 0.25)


def test_hand_timed_grows_deeper_where_there_are_no_more_patches(deit):
    program = hand_timed(deit.model_copy(update={"patches": (196,)}))
    assert program.sub_networks == (SubNetwork(deit.depths[0], 196), deit.full)


def test_one_layer_expands_once_and_late(deit):
    program = one_layer(deit)
    assert program.sub_networks == (SubNetwork(deit.depths[0], 196), SubNetwork(12, 196))
    assert program.shares == pytest.approx((0.8, 0.2))
    assert program.sched == "wsd"


def test_a_variant_is_the_method_of_its_first_name():
    space = GrowthSpace.load("digits")
    assert method_named("linear+zero_init") is METHODS["linear"]
    assert METHODS["linear"].program(space) == program_of(linear)(space)
