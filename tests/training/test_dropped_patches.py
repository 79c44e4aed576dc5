"""Runs whose small stages train on a random part of the patches: resumed, exported, at full size the same as ever."""

from __future__ import annotations

from functools import cache

import pytest
import timm
import torch

from autoprog_search.errors import GrowthError
from autoprog_search.growth.elastic import ElasticModel
from autoprog_search.runs.growths import growth_text
from autoprog_search.runs.row import clock_rows
from autoprog_search.schedule import SubNetwork
from autoprog_search.space import TICKS
from autoprog_search.training.state import RunResult
from tests.tiny import FEW, SHORT, levels, run_interrupted, same_bits, tiny_config, tiny_run, tiny_trainer

DROPPED = (*SHORT, "space.patches_by=dropout", "recipe.mixup=0.2")
CONFIG = tiny_config(*DROPPED)  # three stages of 10 steps, on 4, 9 and 16 patches
SEARCHED = tiny_config(*DROPPED, *FEW, "growth.search.estimate_images=2")
GROWING = levels(CONFIG, (0, 0), (1, 1), (2, 2))
ON_ALL = 20  # steps at the full learning rate, of 75
CLOCKED = tiny_config(
    *DROPPED,
    *FEW,
    "space.clock=free",
    "recipe.epochs=15",
    "recipe.sched=wsd",
    f"growth.search.all_patches_steps={ON_ALL}",
)
RUNS = {"grown": (CONFIG, GROWING), "searched": (SEARCHED, None), "clocked": (CLOCKED, None)}


@cache
def ended(name: str) -> RunResult:
    """One of the runs, undisturbed."""
    return tiny_trainer(*RUNS[name]).train()


@pytest.mark.parametrize(
    ("name", "stops"), [("grown", (5, 9, 10, 21)), ("searched", (7, 12, 18, 21)), ("clocked", (9, 20, 40))]
)
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


def test_a_clock_has_nothing_to_measure_and_leaves_the_steps_on_all_patches_that_it_promises():
    state, space, run = ended("clocked").state, CLOCKED.space, tiny_run(CLOCKED)
    assert [record.chosen for record in state.stages] == [SubNetwork(4, 4), space.full]
    assert not any(record.probe for record in state.stages)
    assert state.search_flops == 0
    grew = state.stages[0].until
    assert state.stages[0].deadlines == {"patches": grew}
    rates = [run.step.rate_at(step) / CLOCKED.recipe.lr for step in range(state.step)]
    on_all = state.steps[space.full]
    assert ON_ALL - 1 < sum(rates[-on_all:]) < ON_ALL + 1 + state.step / TICKS  # a tick is two steps


def test_it_is_not_said_when_the_loss_was_back():
    """It falls as soon as all patches are seen."""
    (row,) = [row for row in clock_rows(tiny_run(CLOCKED).spec, ended("clocked").state.stages) if row["grew"]]
    assert (row["axis"], row["mixing"], row["mixed"], row["watched"]) == ("patches", None, None, 0)
    assert growth_text([row]) == f"grew to 16 patches at step {row['step']} ({row['tick'] / TICKS:.2f})"


def test_patches_that_were_dropped_cannot_be_features_of_a_grid():
    elastic = tiny_run(CONFIG).elastic
    images = torch.zeros(2, 1, elastic.resolution, elastic.resolution)
    elastic.activate(CONFIG.space.at(0, 0))
    elastic.train()
    with pytest.raises(GrowthError, match=r"patches are dropped in train mode; call eval\(\)"):
        elastic.forward_intermediates(images)
    elastic.eval()
    assert elastic.forward_intermediates(images, intermediates_only=True)[0].shape[-1] == elastic.full.grid


def test_no_more_patches_are_kept_than_there_are():
    elastic = tiny_run(CONFIG).elastic
    with pytest.raises(GrowthError, match="patches: 25 are more than the 16"):
        elastic.activate(SubNetwork(elastic.full.depth, 25))


def test_a_model_in_eval_mode_drops_nothing_and_may_be_made_elastic_again():
    model = timm.create_model(CONFIG.space.model, num_classes=10, dynamic_img_size=True, **CONFIG.space.model_args)
    model.eval()
    elastic = ElasticModel(model, patches=CONFIG.space.patches, patches_by="dropout")
    images = torch.rand(2, 1, elastic.resolution, elastic.resolution)
    elastic.activate(CONFIG.space.at(0, 0))
    assert torch.equal(elastic(images), elastic(images))
    elastic.activate(elastic.full)
    assert ElasticModel(elastic.model).full == elastic.full


@pytest.mark.parametrize("by", ["dropout", "patch_size"])
def test_hybrids_of_convolutions_are_refused(by):
    """Part of their cost is the backbone's, which sees all pixels."""
    model = timm.create_model("vit_tiny_r_s16_p8_224", dynamic_img_size=True)
    with pytest.raises(GrowthError, match="more than one convolution; give resolution"):
        ElasticModel(model, patches=[16, 49], patches_by=by)
