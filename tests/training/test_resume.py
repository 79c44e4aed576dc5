"""A run that is interrupted anywhere ends with the same bits as one that is not (on the CPU)."""

from __future__ import annotations

import pytest
import torch

from autoprog_search.errors import ConfigError
from autoprog_search.training.interrupt import Interrupted
from autoprog_search.training.state import RunResult
from tests.tiny import levels, tiny_config, tiny_trainer

CONFIG = tiny_config(
    "recipe.mixup=0.2", "recipe.drop_path=0.1", "growth.search_points=2"
)  # all that draws random numbers is on
SEARCH_OF_STAGE_1 = 18  # two steps for each of 9 candidates


def run_interrupted(path, stops: tuple[int, ...], method=None) -> RunResult:
    """Stop at each of these steps, each time in a new trainer, as a new process would."""
    for stop in stops:
        trainer = tiny_trainer(CONFIG, method, checkpoint=path)
        trainer._should_stop = lambda trainer=trainer, stop=stop: trainer.state.step >= stop
        with pytest.raises(Interrupted):
            trainer.run()
        assert trainer.state.step == stop
    return tiny_trainer(CONFIG, method, checkpoint=path).run()


def same_bits(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="module")
def undisturbed() -> RunResult:
    return tiny_trainer(CONFIG).run()


@pytest.mark.parametrize(
    "stops",
    [(3,), (SEARCH_OF_STAGE_1 - 2,), (SEARCH_OF_STAGE_1 + 1, 31), (29, 30), (44, 61, 89)],
    ids=["search", "between evaluations", "training, search of stage 2", "stage boundary", "often"],
)
def test_resumed_run_is_bit_identical(stops, undisturbed, tmp_path):
    resumed = run_interrupted(tmp_path / "checkpoint.pt", stops)
    assert same_bits(resumed.weights, undisturbed.weights)
    assert (resumed.val, resumed.test, resumed.test_ema) == (undisturbed.val, undisturbed.test, undisturbed.test_ema)
    assert resumed.state.curve == undisturbed.state.curve
    assert resumed.state.stages == undisturbed.state.stages
    assert resumed.state.steps == undisturbed.state.steps
    assert resumed.state.search_flops == undisturbed.state.search_flops


def test_fixed_schedule_resumes_with_ema_growth(tmp_path):
    config_method = levels(CONFIG, (0, 0), (1, 1), (2, 2))
    undisturbed = tiny_trainer(CONFIG, config_method).run()
    resumed = run_interrupted(tmp_path / "checkpoint.pt", (30, 47), config_method)
    assert same_bits(resumed.weights, undisturbed.weights)


def test_another_seed_ends_elsewhere(undisturbed):
    """The negative control: equality above is not because nothing was trained."""
    other = tiny_trainer(CONFIG, seed=1).run()
    assert not same_bits(other.weights, undisturbed.weights)


def test_killed_between_the_last_search_step_and_its_estimate(undisturbed, tmp_path, monkeypatch):
    """A timed checkpoint may fall there; the estimate is made all the same."""
    path = tmp_path / "checkpoint.pt"
    trainer = tiny_trainer(CONFIG, checkpoint=path)

    def killed(lambda_k):
        trainer._save()
        raise KeyboardInterrupt

    monkeypatch.setattr(trainer, "_estimate", killed)
    with pytest.raises(KeyboardInterrupt):
        trainer.run()
    assert trainer.state.phase == "search"
    resumed = tiny_trainer(CONFIG, checkpoint=path).run()
    assert resumed.state.stages == undisturbed.state.stages
    assert same_bits(resumed.weights, undisturbed.weights)


def test_checkpoint_of_another_run_is_refused(tmp_path):
    path = tmp_path / "checkpoint.pt"
    trainer = tiny_trainer(CONFIG, checkpoint=path)
    trainer._should_stop = lambda: trainer.state.step >= 3
    with pytest.raises(Interrupted):
        trainer.run()
    with pytest.raises(ConfigError, match=r"checkpoint.pt is of a run with other settings"):
        tiny_trainer(CONFIG, seed=1, checkpoint=path)
