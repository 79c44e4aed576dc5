"""Runs whose small stages train on a random part of the patches: resumed, exported, at full size the same as ever."""

from __future__ import annotations

from functools import cache

import pytest
import timm

from autoprog_search.schedule import SubNetwork
from autoprog_search.training.state import RunResult
from tests.tiny import FEW, SHORT, levels, run_interrupted, same_bits, tiny_config, tiny_run, tiny_trainer

DROPPED = (*SHORT, "space.patches_by=dropout", "recipe.mixup=0.2")
CONFIG = tiny_config(*DROPPED)  # three stages of 10 steps, on 4, 9 and 16 patches
SEARCHED = tiny_config(*DROPPED, *FEW, "growth.search.estimate_images=2")
GROWING = levels(CONFIG, (0, 0), (1, 1), (2, 2))
RUNS = {"grown": (CONFIG, GROWING), "searched": (SEARCHED, None)}


@cache
def ended(name: str) -> RunResult:
    """One of the runs, undisturbed."""
    return tiny_trainer(*RUNS[name]).train()


@pytest.mark.parametrize(("name", "stops"), [("grown", (5, 9, 10, 21)), ("searched", (7, 12, 18, 21))])
def test_a_resumed_run_is_bit_identical(name, stops, tmp_path):
    (config, method), undisturbed = RUNS[name], ended(name)
    resumed = run_interrupted(config, tmp_path / "checkpoint.pt", stops, method)
    assert same_bits(resumed.weights, undisturbed.weights)
    assert (resumed.val, resumed.test, resumed.test_ema) == (undisturbed.val, undisturbed.test, undisturbed.test_ema)
    assert resumed.state.stages == undisturbed.state.stages


def test_what_is_exported_is_timms():
    model = timm.create_model(CONFIG.space.model, num_classes=10, **CONFIG.space.model_args)
    model.load_state_dict(ended("grown").weights)


def test_full_training_is_the_same_however_patches_grow():
    """To the last bit: at full size nothing is dropped, and no random number is drawn for it."""
    dropped, plain = (tiny_config(*SHORT, f"space.patches_by={by}") for by in ("dropout", "resolution"))
    results = [tiny_trainer(config, levels(config, *[(2, 2)] * 3)).train() for config in (dropped, plain)]
    assert same_bits(results[0].weights, results[1].weights)
    assert results[0].train_flops == results[1].train_flops
    grown = [tiny_trainer(config, levels(config, (0, 0), (1, 1), (2, 2))).train() for config in (dropped, plain)]
    assert not same_bits(grown[0].weights, grown[1].weights)  # the negative control
    embedding = CONFIG.recipe.batch_size * 3 * tiny_run(CONFIG).elastic.cost.embedding.pixel
    side = CONFIG.space.resolution
    unseen = sum(10 * (side**2 - patches * CONFIG.space.patch_size**2) for patches in CONFIG.space.patches)
    assert grown[0].train_flops - grown[1].train_flops == embedding * unseen  # all pixels are embedded


def test_every_candidate_is_evaluated_on_all_patches():
    """So those of one depth are one network, whose losses tie; its evaluation costs what the full patches cost."""
    state = ended("searched").state
    cost, full = tiny_run(SEARCHED).elastic.cost, SEARCHED.space.full.patches
    record = next(stage for stage in state.stages if stage.candidates)
    by_depth: dict[int, set[float]] = {}
    for candidate, loss in zip(record.candidates, record.losses, strict=True):
        by_depth.setdefault(candidate.depth, set()).add(loss)
    assert len(record.candidates) > len(by_depth)
    assert all(len(losses) == 1 for losses in by_depth.values())
    evaluated = [
        sum(cost.forward_flops(SubNetwork(depth, full)) for depth in {c.depth for c in stage.candidates})
        for stage in state.stages
        if stage.candidates
    ]
    assert state.search_flops == SEARCHED.growth.search.points * 2 * sum(evaluated)
