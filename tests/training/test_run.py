"""What a run is: where it stands between two steps, and that its checkpoint brings all of it back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from autoprog_search.data.strength import FULL, Strength
from autoprog_search.oneshot.candidates import candidates
from autoprog_search.oneshot.estimate import supernet_of
from autoprog_search.training.run import Run
from tests.tiny import CPU, interrupted, levels, same_bits, tiny_config, tiny_data, tiny_run, tiny_trainer

CONFIG = tiny_config("growth.force_growth=any", "growth.search.points=2", "growth.adareg=true")


@pytest.fixture(scope="module")
def searching(tmp_path_factory) -> Run:
    """Stopped in stage 2, which began at step 30."""
    return interrupted(CONFIG, 33, checkpoint=tmp_path_factory.mktemp("run") / "checkpoint.pt").run


def test_in_a_search_it_stands_at_the_supernet(searching):
    state = searching.state
    assert (state.stage, state.phase) == (2, "search")
    assert state.previous == state.stages[0].chosen
    assert searching.candidates == candidates(CONFIG.space, 2, state.previous, "any")
    assert searching.standing == supernet_of(searching.candidates)


def test_a_checkpoint_brings_all_of_it_back(searching):
    restored = tiny_run(CONFIG, checkpoint=searching.checkpoint)
    assert restored.state.to_dict().keys() == searching.state.to_dict().keys()
    assert (restored.state.step, restored.state.stages) == (searching.state.step, searching.state.stages)
    for network, saved in zip(restored.networks, searching.networks, strict=True):
        assert same_bits(network.model.state_dict(), saved.model.state_dict())
        assert network.sub_network == restored.standing
    assert restored.train_flops() == searching.train_flops() > 0
    fresh = tiny_run(CONFIG)
    assert fresh.state.step == fresh.train_flops() == 0
    assert not same_bits(fresh.elastic.model.state_dict(), restored.elastic.model.state_dict())


def test_after_its_end_it_stands_at_the_full_network():
    config = tiny_config("recipe.epochs=3")
    trainer = tiny_trainer(config, levels(config, (0, 0), (1, 1), (2, 2)))
    trainer.train_parts(2)
    assert (trainer.run.state.stage, trainer.run.state.phase) == (3, "open")
    assert trainer.run.standing == config.space.at(1, 1)
    result = trainer.train()
    assert trainer.run.standing == trainer.run.elastic.full
    assert result.val == trainer.run.evaluate("val")


def test_a_schedules_own_strength_comes_before_adaregs(searching):
    assert searching.strength != FULL
    spec = replace(searching.spec, augment=(0.3, 0.7, 1.0))
    assert Run(spec, tiny_data(CONFIG), device=CPU).strength == Strength(augment=0.3)
