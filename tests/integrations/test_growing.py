"""An elastic model under a schedule, in a loop of somebody else's."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from autoprog_search import ElasticModel, GrowthSchedule, SubNetwork
from autoprog_search.errors import GrowthError
from autoprog_search.integrations.growing import Growing, elastic_in
from tests.growth.models import tiny

STAGES = [SubNetwork(3, 9), SubNetwork(4, 16), SubNetwork(6, 36)]


def growing(operator: str = "interpolation", ema_decay: float | None = None) -> Growing:
    elastic = ElasticModel(tiny("deit"), depths=(3, 4, 6), operator=operator)
    return Growing(elastic, GrowthSchedule.of([1, 2, 1], STAGES), ema_decay)


def test_stages_are_shares_of_the_training():
    run = growing()
    assert run.elastic.sub_network == STAGES[0]
    optimizer = torch.optim.AdamW(run.elastic.parameters())
    grew = [run.grow_at(step, 40, optimizer) for step in range(40)]
    assert [step for step, grown in enumerate(grew) if grown] == [10, 30]
    assert run.elastic.sub_network == STAGES[2]


def test_the_ema_grows_along_and_the_optimiser_keeps_what_it_knows():
    run = growing("mogrow_new", 0.9)
    optimizer = torch.optim.AdamW(run.elastic.parameters())
    images = torch.randn(2, 3, 24, 24)
    run.elastic(images).sum().backward()
    optimizer.step()
    trained = set(optimizer.state)
    assert run.grow_at(1, 2, optimizer)
    assert set(optimizer.state) == trained
    assert run.ema.module.sub_network == STAGES[1]


@pytest.mark.parametrize("epochs", [49, 98])
def test_epochs_of_the_schedule_begin_where_those_of_the_training_do(epochs):
    schedule = GrowthSchedule.of([k := 31, 49 - k], [STAGES[0], STAGES[2]])
    run = Growing(ElasticModel(tiny("deit"), depths=(3, 6)), schedule)
    optimizer = torch.optim.SGD(run.elastic.parameters())
    assert [epoch for epoch in range(epochs) if run.grow_at(epoch, epochs, optimizer)] == [31 * epochs // 49]


def test_standing_changes_no_parameter():
    run = growing()
    before = {name: value.clone() for name, value in run.elastic.state_dict().items()}
    run.stand_at(9, 10)
    assert run.elastic.sub_network == STAGES[2]
    assert all(torch.equal(before[name], value) for name, value in run.elastic.state_dict().items())


def test_what_cannot_grow_is_refused_before_it_trains():
    with pytest.raises(
        GrowthError, match=r"Linear: 0 of its modules are elastic, and one grows; in its __init__: self\."
    ):
        elastic_in(nn.Linear(1, 1))
    with pytest.raises(GrowthError, match="operator: mogrow takes parameters from an EMA"):
        growing("mogrow")
    elastic = ElasticModel(tiny("deit"), depths=(3, 6))
    with pytest.raises(GrowthError, match="depth: 4 is not among this model's levels"):
        Growing(elastic, GrowthSchedule.of([1, 1], [SubNetwork(4, 16), STAGES[2]]))
    with pytest.raises(GrowthError, match="schedule: it ends with 3 blocks x 9 patches, and not with the full network"):
        Growing(elastic, GrowthSchedule.of([1], [STAGES[0]]))


def test_the_one_elastic_model_is_found():
    elastic = ElasticModel(tiny("deit"))
    assert elastic_in(nn.Sequential(elastic, nn.Identity())) is elastic
