"""A study's configuration: resolved, overridable, refused in one line."""

from __future__ import annotations

import pytest

from autoprog_search.errors import AutoProgError
from autoprog_search.study.config import make_config
from tests.tiny import tiny_config


def make(**changes):
    arguments = {"space": "digits", "data": {"name": "digits"}, "methods": ["full", "random"], "trials": 4, "seeds": 2}
    return make_config(changes.pop("name", "s"), **{**arguments, **changes})


def test_trials_are_for_methods_that_learn_by_trials():
    plans = make().methods
    assert (plans["full"].trials, plans["random"].trials) == (1, 4)
    assert plans["full"].seeds == plans["random"].seeds == 2


def test_overrides_win_and_reach_every_part():
    config = make(overrides=["recipe.lr=3e-4", "growth.operator=zero_init", "methods.random.seeds=1", "tolerance=0.2"])
    assert config.recipe.lr == 3e-4
    assert config.growth.operator == "zero_init"
    assert config.methods["random"].seeds == 1
    assert config.tolerance == 0.2


def test_hash_changes_with_what_decides_results_only():
    base = make().hash()
    assert make(name="other", seeds=3, methods=["full"]).hash() == base
    assert make(overrides=["data.workers=7"]).hash() == base
    assert make(overrides=["recipe.lr=1e-4"]).hash() != base
    assert make(overrides=["growth.search_share=0.2"]).hash() != base
    assert make(overrides=["threads=2"]).hash() != base


def test_stored_configuration_reads_back():
    config = tiny_config("recipe.opt_args={betas: [0.9, 0.95]}")
    assert type(config).model_validate(config.model_dump(mode="json")) == config


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "a/b"}, ["name", "'a/b'"]),
        ({"name": "..x"}, ["name", "'..x'"]),
        ({"name": "x..y"}, ["name", "'x..y'"]),
        ({"name": ""}, ["name", "''"]),
        ({"space": "nothing"}, ["space", "'nothing'", "digits"]),
        ({"recipe": "nothing"}, ["recipe", "'nothing'", "deit"]),
        ({"methods": ["fulll"]}, ["methods", "'fulll'", "autoprog"]),
        ({"methods": []}, ["methods"]),
        ({"methods": ["full", "full-short"]}, ["full-short", "autoprog"]),
        ({"overrides": ["recipe.lrr=1"]}, ["recipe.lrr", "unknown field"]),
        ({"overrides": ["recipe.lr=fast"]}, ["recipe.lr", "'fast'"]),
        ({"overrides": ["recipe.lr=-1"]}, ["recipe.lr", "-1"]),
        ({"overrides": ["recipe.epochs=2"]}, ["epochs", "2", "stage"]),
        ({"overrides": ["recipe"]}, ["--set", "'recipe'"]),
        ({"overrides": ["nothing.at=1"]}, ["--set", "'nothing'"]),
        ({"overrides": ["name.at=1"]}, ["--set", "name"]),
        ({"overrides": ["growth.operator=magic"]}, ["operator", "'magic'", "mogrow"]),
        ({"overrides": ["growth.score=magic"]}, ["score", "'magic'", "loss_cost"]),
        ({"overrides": ["methods.full.trials=0"]}, ["methods.full.trials", "0"]),
        ({"overrides": ["recipe.lr={"]}, ["--set", "recipe.lr"]),
    ],
)
def test_wrong_input_is_one_line_that_names_it(changes, words):
    with pytest.raises(AutoProgError) as caught:
        make(**changes)
    message = str(caught.value)
    assert "\n" not in message
    assert all(word in message for word in words), message
    assert caught.value.exit_code == 2
