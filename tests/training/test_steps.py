"""The loop over optimiser steps: who trains, what is told, and when it is asked to stop."""

from __future__ import annotations

import pytest

from autoprog_search.interrupt import Interrupted, StoppedEarly
from autoprog_search.training.steps import Hooks, Steps
from tests.tiny import levels, tiny_config, tiny_run, tiny_trainer

CONFIG = tiny_config("recipe.epochs=3")  # a stage is an epoch, of 15 steps
METHOD = levels(CONFIG, (0, 0), (1, 1), (2, 2))


def test_an_epoch_that_ends_inside_a_search_does_not_change_who_trains_next():
    """The evaluation runs the supernet; the same candidate drawn twice in a row must still be switched back to."""
    config = tiny_config("recipe.eval_weights=raw")
    run, ran = tiny_run(config), []
    run.state.phase, smallest = "search", config.space.at(0, 0)
    hooks = Hooks(before_step=lambda run: ran.append(run.elastic.sub_network))
    Steps(run, hooks).take(18, lambda step: smallest, config.space.full)
    assert run.epoch_steps == 15
    assert ran == [smallest] * 18
    assert [(point["depth"], point["patches"]) for point in run.state.curve] == [(smallest.depth, smallest.patches)]


def test_hooks_are_called_around_every_step():
    seen = []

    def look(run):
        seen.append((run.state.step, run.elastic.sub_network))

    tiny_trainer(CONFIG, METHOD, before_step=look, after_step=look).train()
    ran = [METHOD.sub_networks[step // 15] for step in range(45)]
    assert seen[::2] == list(enumerate(ran))
    assert seen[1::2] == list(enumerate(ran, start=1))


def test_progress_is_told_at_every_epochs_end():
    told = []
    tiny_trainer(CONFIG, METHOD, on_progress=told.append).train()
    assert {15, 30, 45} <= {progress.step for progress in told}
    last = told[-1]
    assert (last.step, last.steps, last.stage, last.stages, last.phase) == (45, 45, 3, 3, "train")
    assert last.sub_network == CONFIG.space.full
    assert last.loss > 0
    assert 0 <= last.val_top1 <= 100
    assert last.seconds_left == 0


def test_a_run_that_is_given_up_ends_with_its_epoch():
    asked = []

    def stops(curve):
        asked.append(len(curve))
        return len(curve) == 2

    trainer = tiny_trainer(CONFIG, METHOD, stops=stops)
    with pytest.raises(StoppedEarly):
        trainer.train()
    assert asked == [1, 2]
    assert trainer.run.state.step == 30
    assert trainer.run.train_flops() > 0


def test_no_step_is_taken_once_it_is_told_to_stop(tmp_path):
    trainer = tiny_trainer(CONFIG, METHOD, checkpoint=tmp_path / "checkpoint.pt", should_stop=lambda: True)
    with pytest.raises(Interrupted):
        trainer.train()
    assert trainer.run.state.step == 0
    assert tiny_run(CONFIG, checkpoint=tmp_path / "checkpoint.pt").state == trainer.run.state
